"""HTML report: one self-contained file that opens offline and prints well."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import jinja2
from markupsafe import Markup

from qupath_her2.errors import OutputError
from qupath_her2.project.class_names import class_colour
from qupath_her2.project.exchange.writing import draft_of
from qupath_her2.project.visible_text import visible_text
from qupath_her2.records import CELL_CLASSES
from qupath_her2.report.overlay import NOT_MEASURED_COLOUR
from qupath_her2.report.summary_table import proposed_note, shown_score

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from qupath_her2.report.summary_table import SummaryRow

__all__ = ["ReportPictures", "count_states", "hex_colour", "report_templates", "write_html", "write_page"]


@dataclass(frozen=True, slots=True)
class ReportPictures:
    """Pictures of one image, as JPEG bytes, with what their captions need.

    Attributes
    ----------
    thumbnail
        The image with its regions; None if it could not be read.
    overlay
        The counted cells or predicted patches.
    typical
        {cell class: strip of typical cells}.
    window_um
        Width of the crop around each typical cell, µm.
    notes
        Sentences about missing pictures.
    overlays
        {title: the image with a heat map blended over it}.
    grad_cam
        Patches beside their Grad-CAM heat maps; None if not requested.
    key
        {patch class: RGB in the overlay}; empty for the key of cell classes.
    """

    thumbnail: bytes | None = None
    overlay: bytes | None = None
    typical: Mapping[str, bytes] = field(default_factory=dict)
    window_um: float = 0.0
    notes: tuple[str, ...] = ()
    overlays: Mapping[str, bytes] = field(default_factory=dict)
    grad_cam: bytes | None = None
    key: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)


def count_states(rows: Sequence[SummaryRow]) -> str:
    """Return the counts of a project in words, e.g. ``4 images: 3 scored, 1 not assessable``."""
    states = [row.state for row in rows]
    parts = [
        f"{states.count(state)} {state}"
        for state in ("scored", "predicted", "proposed", "not assessable", "failed")
        if state in states
    ]
    return f"{len(rows)} image{'' if len(rows) == 1 else 's'}" + (f": {', '.join(parts)}" if parts else "")


def hex_colour(colour: tuple[int, int, int]) -> str:
    """Return a colour, red, green and blue from 0 to 255, as HTML writes it: ``#c80000``."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _base64(data: bytes) -> Markup:
    return Markup(base64.b64encode(data).decode("ascii"))


def report_templates() -> jinja2.Environment:
    """Return the template environment of all pages: values are escaped, and undefined names are errors."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("qupath_her2.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        # Before escaping; `Markup` is our own text and left alone.
        finalize=lambda value: visible_text(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Both yield characters that need no escaping; _base64 says so by returning Markup, which also spares the escaping
    # of megabytes.
    environment.filters["base64"] = _base64
    environment.filters["hex"] = hex_colour
    return environment


def _shown(row: SummaryRow) -> SummaryRow:
    """Return a row without the numbers of what is not assessable, see `shown_score`."""
    regions = tuple(replace(one, score=one.score and shown_score(one.score)) for one in row.regions)
    return replace(row, score=row.score and shown_score(row.score), regions=regions)


def write_html(
    path: Path,
    rows: Sequence[SummaryRow],
    pictures: Iterable[ReportPictures],
    *,
    version: str,
    title: str = "HER2 report",
    notes: Sequence[str] = (),
) -> None:
    """Write the report for `rows` to `path`.

    The page loads nothing from elsewhere: pictures are embedded, there is no script, and its content security policy
    forbids both. File and case names are escaped.

    Parameters
    ----------
    path
        File to write; an existing one is replaced only when the new one is complete.
    rows
        The images, in the order in which they are shown.
    pictures
        Their pictures, in the same order; with a generator only one image's pictures are in memory at a time.
    version
        Version of this package.
    title
        Heading of the page.
    notes
        Sentences on the folder as a whole, shown below the table of images.

    Raises
    ------
    OutputError
        If `path` cannot be written.
    """
    rows = [_shown(row) for row in rows]
    # Streamed to the file: with its pictures the page can be larger than one wants as a string in memory.
    stream = (
        report_templates()
        .get_template("report.html.j2")
        .stream(
            title=title,
            rows=rows,
            notes=notes,
            proposed=proposed_note(row.score for row in rows),
            images=zip(rows, pictures, strict=True),
            counts=count_states(rows),
            classes=CELL_CLASSES,
            colours=[hex_colour(class_colour(name)) for name in CELL_CLASSES],
            not_measured_colour=hex_colour(NOT_MEASURED_COLOUR),
            version=version,
            made=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        )
    )
    write_page(path, stream)


def write_page(path: Path, parts: Iterable[str]) -> None:
    """Write a page part by part, beside the target and renamed: an interrupted one never replaces a complete one.

    Raises
    ------
    OutputError
        If `path` cannot be written.
    """
    try:
        with draft_of(path) as draft, draft.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(parts)
    except OSError as error:
        raise OutputError(
            f"The report '{path}' cannot be written: {error.strerror or error}. "
            "Free disk space, or choose another folder with --out."
        ) from error
