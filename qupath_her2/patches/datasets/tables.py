"""Tables that come with published data sets: CSV with commas, semicolons or tabs, any spelling of the columns."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from qupath_her2.errors import PatchError

__all__ = ["find_table", "plain_name"]


def plain_name(text: str) -> str:
    """Return a column's name in lower case with its words joined by ``_``."""
    return re.sub(r"[^0-9a-z]+", "_", text.strip().casefold()).strip("_")


def find_table(folder: Path, columns: Sequence[str]) -> tuple[list[Path], list[dict[str, str]]]:
    """Return the rows of every CSV file below `folder` that has all of some columns.

    Parameters
    ----------
    folder
        Of the data set.
    columns
        As the data set's authors write them; case, spaces and signs do not count.

    Returns
    -------
    paths
        The files.
    rows
        {plain name of the column: text}, of all files.

    Raises
    ------
    PatchError
        No file has them; the message lists the files and what they have.
    """
    wanted = {plain_name(column) for column in columns}
    paths, rows, seen = [], [], []
    for path in sorted(folder.rglob("*.csv")):
        header, found = _read(path)
        seen.append(f"'{path.name}' has {', '.join(header[:6]) or 'no columns'}")
        if wanted <= {plain_name(cell) for cell in header}:
            paths.append(path)
            rows += found
    if not paths:
        there = f" There are: {'; '.join(seen[:5])}." if seen else " There is no CSV file."
        raise PatchError(
            f"No table with the columns {', '.join(columns)} below '{folder}'.{there} "
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
        # Old tables are Excel's: Latin-1 reads any byte, and the columns used are plain ASCII.
        text = data.decode("latin-1")
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(";\t,", key=first.count)
    try:
        table = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if any(row)]
    except csv.Error as error:
        raise PatchError(f"'{path}' is not CSV ({error}). Save it as CSV (UTF-8).") from error
    header = [cell.strip() for cell in table[0]] if table else []
    names = [plain_name(cell) for cell in header]
    return header, [dict(zip(names, (cell.strip() for cell in row), strict=False)) for row in table[1:]]
