"""Training report as HTML: learning curves, metrics on the test set, and the worst errors with their Grad-CAM."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from qupath_her2.project.exchange.writing import replace_file
from qupath_her2.report.html import report_templates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from qupath_her2.scoring.agreement.tables import Table

__all__ = ["Part", "Picture", "write_training_page"]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture on the page.

    Attributes
    ----------
    caption
        Text below the picture.
    data
        Content of the picture file.
    kind
        MIME type, for example ``image/jpeg``.
    """

    caption: str
    data: bytes
    kind: str


@dataclass(frozen=True, slots=True)
class Part:
    """A section of the page under one title: pictures, then tables."""

    title: str
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()


def write_training_page(
    path: Path,
    title: str,
    facts: Mapping[str, str],
    parts: Sequence[Part],
    *,
    version: str,
    warnings: Sequence[str] = (),
) -> None:
    """Write the report of a training run; like the report of images, it loads nothing from elsewhere.

    Parameters
    ----------
    path
        File to write or replace.
    title
        Heading of the page.
    facts
        {name: value}, the first table.
    parts
        Sections in the order in which they are shown; empty ones are left out.
    version
        Version of this package.
    warnings
        Sentences below the first table.

    Raises
    ------
    OutputError
        If `path` cannot be written.
    """
    page = (
        report_templates()
        .get_template("training.html.j2")
        .render(
            title=title,
            facts=facts,
            # A run may lack whole sections, such as the errors of a network that made none.
            parts=[part for part in parts if part.pictures or part.tables],
            warnings=warnings,
            version=version,
            made=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        )
    )
    replace_file(path, page.encode())
