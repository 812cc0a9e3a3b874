"""CSV tables of published data sets: separated by commas, semicolons or tabs, with any spelling of the columns."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from qupath_her2.errors import PatchError

__all__ = ["column_key", "find_table"]


def column_key(text: str) -> str:
    """Return a column name in lower case, its words joined by ``_``."""
    return re.sub(r"[^0-9a-z]+", "_", text.strip().casefold()).strip("_")


def find_table(folder: Path, columns: Sequence[str]) -> tuple[list[Path], list[dict[str, str]]]:
    """Read every CSV file in a folder or below that has all of the given columns.

    Parameters
    ----------
    folder
        The data set's folder.
    columns
        Names of the columns; case, spaces and punctuation are ignored.

    Returns
    -------
    paths
        The files.
    rows
        The rows of all files, each as {plain name of the column: text}.

    Raises
    ------
    PatchError
        No file has the columns; the message lists the CSV files found and their columns.
    """
    wanted = {column_key(column) for column in columns}
    paths, rows, seen = [], [], []
    for path in sorted(folder.rglob("*.csv")):
        header, found = _read(path)
        seen.append(f"'{path.name}' has {', '.join(header[:6]) or 'no columns'}")
        if wanted <= {column_key(cell) for cell in header}:
            paths.append(path)
            rows += found
    if not paths:
        there = f" Found: {'; '.join(seen[:5])}." if seen else " Found no CSV file."
        raise PatchError(
            f"No table with the columns {', '.join(columns)} in '{folder}' or below.{there} "
            "Save the data set's table as CSV (UTF-8) in its folder."
        )
    return paths, rows


def _read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PatchError(f"'{path}' cannot be read: {error.strerror or error}.") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Saved by an old Excel in some 8-bit encoding. Latin-1 decodes any byte, and the columns used are ASCII.
        text = data.decode("latin-1")
    # csv.Sniffer guesses wrong on short tables; the separator is the one most frequent in the header.
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(";\t,", key=first.count)
    try:
        table = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if any(row)]
    except csv.Error as error:
        raise PatchError(f"'{path}' is not CSV ({error}). Save it as CSV (UTF-8).") from error
    header = [cell.strip() for cell in table[0]] if table else []
    names = [column_key(cell) for cell in header]
    return header, [dict(zip(names, (cell.strip() for cell in row), strict=False)) for row in table[1:]]
