"""``report.html`` of a training: curves, figures on unseen cases, and the worst mistakes with what spoke for them."""

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
    """A picture of the page: `caption` below it, its `data`, and of which `kind` (``image/jpeg`` …) these are."""

    caption: str
    data: bytes
    kind: str


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the page under one title: pictures, then tables."""

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
    """Write the page of a training; it loads nothing from anywhere, as the report of images does not.

    Parameters
    ----------
    path
        The file to replace.
    title
        Its heading.
    facts
        {what: value} of the first table.
    parts
        In the order to show them; those without pictures and tables are left out.
    version
        Of this package.
    warnings
        Sentences below the facts.

    Raises
    ------
    OutputError
        When `path` cannot be written.
    """
    page = (
        report_templates()
        .get_template("training.html.j2")
        .render(
            title=title,
            facts=facts,
            parts=[part for part in parts if part.pictures or part.tables],
            warnings=warnings,
            version=version,
            made=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        )
    )
    replace_file(path, page.encode())
