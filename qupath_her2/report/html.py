"""``report.html``: one file that opens offline and prints well."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import jinja2
from markupsafe import Markup

from qupath_her2.errors import OutputError
from qupath_her2.project.class_names import class_colour
from qupath_her2.records import CELL_CLASSES
from qupath_her2.report.overlay import NOT_MEASURED_COLOUR

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from qupath_her2.report.tables import SummaryRow

__all__ = ["ReportPictures", "count_states", "report_templates", "write_html"]


@dataclass(frozen=True, slots=True)
class ReportPictures:
    """The pictures of one image, as JPEG bytes.

    Attributes
    ----------
    thumbnail
        The image with its regions; None where it could not be read.
    overlay
        The counted cells.
    typical
        {cell class: strip of typical cells}.
    window_um
        Width of one typical cell's crop, µm.
    region_names
        {region UUID as text: its name}.
    notes
        Sentences about pictures that are missing.
    overlays
        {what it shows: the image with a map laid over it}.
    looked
        Patches beside what in them spoke for the image's class; None where nobody asked.
    key
        {class of patches in the overlay: its RGB}; empty leaves the cells' own.
    """

    thumbnail: bytes | None = None
    overlay: bytes | None = None
    typical: Mapping[str, bytes] = field(default_factory=dict)
    window_um: float = 0.0
    region_names: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    overlays: Mapping[str, bytes] = field(default_factory=dict)
    looked: bytes | None = None
    key: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)


def count_states(rows: Sequence[SummaryRow]) -> str:
    """Return the counts of a project in words, e.g. ``4 images: 3 scored, 1 not assessable``."""
    states = [row.state for row in rows]
    parts = [
        f"{states.count(state)} {state}"
        for state in ("scored", "predicted", "not assessable", "failed")
        if state in states
    ]
    return f"{len(rows)} image{'' if len(rows) == 1 else 's'}" + (f": {', '.join(parts)}" if parts else "")


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _base64(data: bytes) -> Markup:
    return Markup(base64.b64encode(data).decode("ascii"))


def report_templates() -> jinja2.Environment:
    """Return the templates of all pages: what is put into them is escaped, what is missing is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("qupath_her2.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["base64"] = _base64
    environment.filters["hex"] = _hex
    return environment


def write_html(
    path: Path,
    rows: Sequence[SummaryRow],
    pictures: Iterable[ReportPictures],
    *,
    version: str,
    title: str = "HER2 report",
) -> None:
    """Write the report of all `rows` to `path`.

    The page loads nothing from anywhere: pictures are inside it, there is no script, and its content security
    policy forbids both. Names of files and cases are escaped.

    Parameters
    ----------
    path
        The file to replace, once the new one is complete.
    rows
        The images, in the order to show them.
    pictures
        Their pictures, in the same order; a generator keeps one image's pictures in memory at a time.
    version
        The version of this package.
    title
        Heading of the page.

    Raises
    ------
    OutputError
        When `path` cannot be written.
    """
    stream = (
        report_templates()
        .get_template("report.html.j2")
        .stream(
            title=title,
            rows=rows,
            images=zip(rows, pictures, strict=True),
            counts=count_states(rows),
            classes=CELL_CLASSES,
            colours=[_hex(class_colour(name)) for name in CELL_CLASSES],
            not_measured_colour=_hex(NOT_MEASURED_COLOUR),
            version=version,
            made=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        )
    )
    partial = path.with_name(path.name + ".tmp")
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(stream)
        partial.replace(path)
    except OSError as error:
        raise OutputError(
            f"The report '{path}' cannot be written: {error.strerror or error}. "
            "Free the space or choose another folder with --out."
        ) from error
    finally:
        partial.unlink(missing_ok=True)
