"""The score that an image had before a job; it stands where other cells of the same picture could not be scored.

Whether a stain can be scored depends on the cells that are measured, too: outlines of another program may be too few,
or lie beside the nuclei. Such a refusal says nothing against a score that was made with cells of our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.runs import current_run, read_record, stored_score
from qupath_her2.records import Score, SlideScore

if TYPE_CHECKING:
    from pathlib import Path

    from qupath_her2.project.exchange.run_record import RunRecord
    from qupath_her2.runs.options import ScoreJob
    from qupath_her2.runs.types import Inputs

__all__ = ["EarlierScore", "changed_guideline", "earlier_score"]


@dataclass(frozen=True, slots=True)
class EarlierScore:
    """The score that counts for an image when a job begins.

    Attributes
    ----------
    score
        As stored.
    day
        Day on which it was stored, ISO 8601.
    has_other_cells
        It was made of the same picture, regions and pixel size, but with cells from another source than the job's.
    """

    score: SlideScore
    day: str
    has_other_cells: bool

    def stands(self, score: SlideScore) -> bool:
        """Return whether this score still counts beside the one that the job ends with."""
        return self.has_other_cells and _is_scored(self.score) and not _is_scored(score)

    @property
    def left(self) -> str:
        """The sentence that it was left as it was."""
        if self.score.score is None:
            return f"The earlier scores of the cores, of {self.day}, were left as they were."
        return f"The earlier score {self.score.score} of {self.day} was left as it was."


def earlier_score(job: ScoreJob, inputs: Inputs) -> EarlierScore | None:
    """Return the score that counts for a job's image.

    Parameters
    ----------
    job
        The image, with its scoring method.
    inputs
        From `gather_inputs`.

    Returns
    -------
    EarlierScore | None
        None where there is no score by a guideline, or where its files are damaged.
    """
    try:
        run_dir = current_run(job.out, job.image)
        if run_dir is None:
            return None
        record = read_record(run_dir)
        score = stored_score(run_dir)
    except (ExchangeError, OSError):
        # A damaged earlier run must not keep the image from being scored again.
        return None
    if score.prediction is not None or score.status == "proposed":
        return None
    return EarlierScore(score, _day(run_dir), _has_other_cells(record, job, inputs))


def changed_guideline(before: SlideScore, now: SlideScore) -> str:
    """Return a sentence on the guideline where an image was scored by another one before; "" where it was not."""
    if before.guideline == now.guideline or "scored" not in (before.status, now.status):
        return ""
    answers = f"{before.answer} before, {now.answer} now"
    return f"Another guideline than before: {now.guideline_words} instead of {before.guideline_words} ({answers})."


def _day(run_dir: Path) -> str:
    # Records hold no time, so that a repeated run gives the same bytes; the file system knows.
    return datetime.fromtimestamp((run_dir / "run.json").stat().st_mtime).astimezone().date().isoformat()


def _has_other_cells(record: RunRecord, job: ScoreJob, inputs: Inputs) -> bool:
    used = record.settings.get("used", {})
    now = job.method.record(inputs.pixel_size_um)
    return (
        used.get("method") == now["method"]
        and used.get("cells") != now.get("cells")
        and record.inputs.get("image") == inputs.fingerprint
        # Not the file: QuPath's cell detection locks the annotation that it runs in.
        and record.inputs.get("outlines") == inputs.outlines_hash
        and record.image.get("pixel_size_um") == inputs.pixel_size_um
    )


def _is_scored(score: SlideScore) -> bool:
    """Return whether the image or any of its TMA cores has a score."""
    each: tuple[Score, ...] = (score, *score.regions.values())
    return any(one.score is not None for one in each)
