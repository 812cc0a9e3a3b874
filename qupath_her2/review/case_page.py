"""Page of a case for sign-off: the person's score beside the machine's, and the trail; prints on one or two sheets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from qupath_her2.project.exchange.runs import current_run, stored_score
from qupath_her2.project.exchange.writing import output_errors, replace_file
from qupath_her2.records import CELL_CLASSES
from qupath_her2.report.html import report_templates
from qupath_her2.report.pictures import shrink_jpeg
from qupath_her2.review.changes import count_changes
from qupath_her2.review.known_labels import known_changes
from qupath_her2.review.sign_off import Trail, read_trail, signed_path

if TYPE_CHECKING:
    from qupath_her2.records import SlideRef, SlideScore
    from qupath_her2.review.changes import Change

__all__ = ["case_page_path", "write_case_page"]

#: Longer side of an overlay on the page, px: half a page at 150 dpi.
_OVERLAY_PX = 900


@dataclass(frozen=True, slots=True)
class CaseImage:
    """One image of a case: its machine's score, the typed one, what people changed, and whether it changed since.

    `answer`, `reason`, `shares` (class, per cent) and `notes` are of the machine; `changes` are counts in words.
    """

    name: str
    answer: str
    reason: str
    shares: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    typed: str
    comment: str
    changes: tuple[str, ...]
    is_newer: bool
    overlay: bytes | None


def case_page_path(her2: Path, case: str) -> Path:
    """Return the page of a case."""
    return her2 / "review" / "cases" / f"{signed_path(her2, case).stem}.html"


def write_case_page(
    her2: Path, case: str, images: Sequence[SlideRef], *, version: str, now: datetime | None = None
) -> Path:
    """Write the page of a case, as it stands now.

    Parameters
    ----------
    her2
        The exchange folder.
    case
        Case id.
    images
        Its images.
    version
        Of the program.
    now
        Time on the page; None takes the clock.

    Returns
    -------
    Path
        ``her2/review/cases/<case>.html``, one file that opens offline; the browser prints it to PDF.

    Raises
    ------
    OutputError
        The page cannot be written.
    """
    trail = read_trail(signed_path(her2, case))
    known = known_changes(her2)
    moment = (now or datetime.now(timezone.utc)).astimezone(timezone.utc)
    page = (
        report_templates()
        .get_template("case.html.j2")
        .render(
            case=case,
            version=version,
            made=moment.strftime("%Y-%m-%d %H:%M UTC"),
            trail=trail,
            images=[_image(her2, ref, trail, known.changes) for ref in images],
            problems=[*trail.problems, *known.notes],
        )
    )
    path = case_page_path(her2, case)
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, page.encode())
    return path


def _image(her2: Path, ref: SlideRef, trail: Trail, changes: Sequence[Change]) -> CaseImage:
    run = current_run(her2, ref.id)
    score = stored_score(run) if run is not None and (run / "score.json").is_file() else None
    signed = trail.steps[-1].images.get(ref.id, {}) if trail.steps else {}
    picture = None if run is None else run / "overlay.jpg"
    return CaseImage(
        name=ref.name,
        answer="not scored" if score is None else score.answer,
        reason="" if score is None else score.reason,
        shares=() if score is None else _shares(score),
        notes=() if score is None else (*score.tags, *score.warnings),
        typed=signed.get("typed", ""),
        comment=signed.get("comment", ""),
        changes=tuple(count_changes(one for one in changes if one.image == ref.id and one.kind != "score")),
        # The person signed another result than the one that counts now.
        is_newer=bool(signed) and run is not None and signed.get("run") != run.name,
        overlay=shrink_jpeg(picture.read_bytes(), _OVERLAY_PX)
        if picture is not None and picture.is_file()
        else None,
    )


def _shares(score: SlideScore) -> tuple[tuple[str, str], ...]:
    # From 0 to 3+, as everywhere; a stored score has its names in the order of the alphabet.
    names = [name for name in CELL_CLASSES if name in score.shares]
    names += [name for name in score.shares if name not in CELL_CLASSES]
    known = [
        (name, f"{100 * score.shares[name]:.1f} %") for name in names if math.isfinite(score.shares[name])
    ]
    more = [] if score.h_score is None else [("H-score", f"{score.h_score:.0f}")]
    return (*known, *more, ("Cells", f"{score.n_cells:,}"))
