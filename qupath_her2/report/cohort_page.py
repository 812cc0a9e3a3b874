"""``cohort.html``: one page for thousands of slides, with links to what was counted in each."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from qupath_her2.project.class_names import class_colour
from qupath_her2.provenance import versions
from qupath_her2.records import CELL_CLASSES
from qupath_her2.report.cohort_checks import CHECKED, drifts, group_effects, outliers
from qupath_her2.report.html import hex_colour, report_templates, write_page
from qupath_her2.scoring.rules import SCORES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["write_cohort_page"]

#: Outliers listed; of more, the number is said.
_MOST_OUTLIERS = 50


def write_cohort_page(
    path: Path,
    rows: Sequence[Mapping[str, Any]],
    *,
    counts: str,
    time_shares: Mapping[str, float],
    notes: Sequence[str],
) -> None:
    """Write the page of a cohort.

    Parameters
    ----------
    path
        File to write; an existing one is replaced only when the new one is complete.
    rows
        The cohort's table, from `cohort_rows`.
    counts
        The state of the batch in words, as ``status`` says it.
    time_shares
        {step: share of the time of all workers, 0 to 1}.
    notes
        Sentences on the cohort as a whole.

    Raises
    ------
    OutputError
        The page cannot be written.
    """
    images = [row for row in rows if row["level"] == "image"]
    found = outliers(images)
    page = (
        report_templates()
        .get_template("cohort.html.j2")
        .stream(
            title="HER2 cohort",
            counts=counts,
            time_shares=time_shares,
            notes=notes,
            version=versions()["qupath-her2"],
            made=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            distribution=_distribution(images),
            failures=[row for row in images if row["status"] == "failed"],
            effects=group_effects(images),
            drifts=drifts(images),
            outliers=found[:_MOST_OUTLIERS],
            n_outliers=len(found),
            checked=CHECKED,
            images=images,
            n_regions=Counter(row["image"] for row in rows if row["level"] != "image"),
            link=_link,
            colours={
                score: hex_colour(class_colour(name))
                for score, name in zip(SCORES, CELL_CLASSES, strict=True)
            },
        )
    )
    write_page(path, page)


def _distribution(images: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """Return (score or state, images): scores in their order, then the rest by number."""
    counts = Counter(
        str(row["score"] or row["predicted_class"] or row["status"])
        for row in images
        if row["status"] != "failed"
    )
    scores = [(score, counts.pop(score)) for score in SCORES if score in counts]
    return [*scores, *counts.most_common()]


def _link(row: Mapping[str, Any]) -> str:
    """Return the address of the picture of what was counted, from the page; "" where there is no result."""
    return f"{quote(row['folder'])}/overlay.jpg" if row["folder"] else ""
