"""Tables on the terminal that never cut a cell: what does not fit is laid out further down, in full.

rich shortens cells with an ellipsis where a table is wider than the terminal. A name or a number that cannot be read
whole, or copied, is worse than a longer table, so tables are laid out here.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import typer
from rich.cells import cell_len, set_cell_size

if TYPE_CHECKING:
    from qupath_her2.scoring.agreement.tables import Table

__all__ = ["say_figures", "say_table", "table_lines", "terminal_width"]

#: A pipe has no width: 100 columns keep a row of scores on one line there.
_PIPE_WIDTH = 100
_GAP = "  "
_INDENT = "  "


def terminal_width() -> int:
    """Return the width of the terminal in columns; 100 where there is none, unless COLUMNS says otherwise."""
    return shutil.get_terminal_size((_PIPE_WIDTH, 24)).columns


def table_lines(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int,
    left: Collection[int] = (),
    details: Sequence[Sequence[str]] = (),
) -> list[str]:
    """Lay out a table whose first column names the rows.

    Columns that do not fit follow in further blocks that repeat the names. If names take more than half of the width,
    each has a line of its own, with its row below.

    Parameters
    ----------
    header
        Headings of the C columns.
    rows
        C cells each; the first is a name.
    width
        Columns of the terminal.
    left
        Indices of columns besides the first that are aligned left; the others are numbers and aligned right.
    details
        Sentences for each row, put below it and wrapped between words; empty for none.

    Returns
    -------
    list of str
        Lines of at most `width` columns, unless a single cell or word is wider.
    """
    cells = [header, *rows]
    sizes = [max(cell_len(row[column]) for row in cells) for column in range(len(header))]
    is_wide = sizes[0] + sum(len(_GAP) + size for size in sizes[1:]) > width
    widest = max(sizes[1:], default=0)
    names_apart = is_wide and (sizes[0] > width // 2 or sizes[0] + len(_GAP) + widest > width)
    first = len(_INDENT) - len(_GAP) if names_apart else sizes[0]
    lines: list[str] = []
    blocks = _blocks(sizes, width, first)
    for number, block in enumerate(blocks):
        lines += [""] if number else []
        for index, row in enumerate(cells):
            rest = _GAP.join(_cell(row[column], sizes[column], column in left) for column in block)
            if names_apart:
                lines += [row[0], f"{_INDENT}{rest}".rstrip()]
            else:
                lines.append(f"{_cell(row[0], sizes[0], True)}{_GAP if block else ''}{rest}".rstrip())
            if details and index > 0 and number == len(blocks) - 1:
                lines += _wrapped(details[index - 1], width)
    return lines


def say_table(
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: Collection[int] = (),
    details: Sequence[Sequence[str]] = (),
    notes: Sequence[str] = (),
) -> None:
    """Print a table on standard output, its title above it and its notes below; see `table_lines`.

    Parameters
    ----------
    title
        A line above the table.
    header, rows, left, details
        As for `table_lines`.
    notes
        Sentences below the table.
    """
    width = terminal_width()
    lines = table_lines(header, rows, width=width, left=left, details=details)
    below = _wrapped([f"* {note}" for note in notes], width, indent="")
    for line in (title, *lines, *below):
        typer.echo(line)


def say_figures(table: Table) -> None:
    """Print a table of metrics, as `scoring.agreement` and `report.pixel_tables` make them, and an empty line."""
    # Their cells are text such as "92.5 % (90.1–94.3), 120/130": aligned left, they can be compared down a column.
    say_table(table.title, table.header, table.rows, left=range(len(table.header)), notes=table.notes)
    typer.echo()


def _blocks(sizes: Sequence[int], width: int, first: int) -> list[list[int]]:
    """Return the columns after the first in groups that fit beside it, at least one column in each."""
    blocks: list[list[int]] = [[]]
    used = first
    for column, size in enumerate(sizes[1:], start=1):
        if blocks[-1] and used + len(_GAP) + size > width:
            blocks.append([])
            used = first
        blocks[-1].append(column)
        used += len(_GAP) + size
    return blocks


def _cell(text: str, size: int, is_left: bool) -> str:
    # By columns of the terminal and not by characters: a CJK character takes two, a combining accent none.
    return set_cell_size(text, size) if is_left else " " * (size - cell_len(text)) + text


def _wrapped(sentences: Sequence[str], width: int, indent: str = _INDENT) -> list[str]:
    """Return sentences wrapped between words only: names, DOIs and paths are never torn apart."""
    return [
        line
        for sentence in sentences
        for line in textwrap.wrap(
            sentence,
            max(20, width),
            initial_indent=indent,
            subsequent_indent=indent + _INDENT,
            break_long_words=False,
            break_on_hyphens=False,
        )
    ]
