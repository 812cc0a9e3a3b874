"""Collecting: what people changed in an exchange folder since the program wrote it becomes a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from qupath_her2.errors import ExchangeError
from qupath_her2.project.cases import metadata_column
from qupath_her2.project.exchange.correction_files import corrections_path, read_corrections
from qupath_her2.project.exchange.images import read_metadata
from qupath_her2.project.exchange.runs import current_run, stored_score
from qupath_her2.project.exchange.writing import output_errors, replace_file
from qupath_her2.project.spreadsheet import spreadsheet_text
from qupath_her2.review.cell_changes import WrittenCells, cell_changes
from qupath_her2.review.changes import Change, sorted_changes, with_authors
from qupath_her2.review.conflicts import Conflict, conflicts_csv
from qupath_her2.review.known_labels import known_changes
from qupath_her2.review.region_changes import (
    compared_run,
    is_geojson,
    read_drawn,
    region_changes,
    written_regions,
)
from qupath_her2.review.round_files import (
    Round,
    next_number,
    read_copies,
    read_rounds,
    round_name,
    write_round,
)
from qupath_her2.review.written_proposals import regions_before

if TYPE_CHECKING:
    from qupath_her2.records import SlideRef

__all__ = ["READER_COMMENT", "READER_SCORE", "Collected", "collect", "find_changes", "save_conflicts"]

#: Metadata of an image in QuPath in which a person types her own score; the program never fills it in.
READER_SCORE = "HER2 reader score"
READER_COMMENT = "HER2 reader comment"


@dataclass(frozen=True, slots=True)
class Collected:
    """Outcome of a collection.

    Attributes
    ----------
    round
        The new round; None if nothing changed since the last one.
    folder
        Its folder.
    changes
        Everything that differs from what was written.
    conflicts
        Objects that people left in different states.
    notes
        What could not be compared, and rounds that are damaged.
    """

    round: Round | None
    folder: Path | None
    changes: tuple[Change, ...]
    conflicts: tuple[Conflict, ...]
    notes: tuple[str, ...]


def collect(her2: Path, images: Sequence[SlideRef], author: str, *, now: datetime | None = None) -> Collected:
    """Collect the changes of all images into a new round.

    Parameters
    ----------
    her2
        The exchange folder, with the state of QuPath as it was last exported.
    images
        Its images.
    author
        Who made the changes that no earlier round has.
    now
        Time of the round; None takes the clock.

    Returns
    -------
    Collected
        The round, if there is anything new.

    Raises
    ------
    ExchangeError
        ``images.json`` is damaged.
    OutputError
        The round cannot be written.
    """
    one, notes = find_changes(her2, images, author, now=now)
    notes += read_copies(her2)[1]
    if not one.new:
        return Collected(None, None, one.changes, known_changes(her2).conflicts, tuple(notes))
    folder = write_round(her2, one)
    conflicts = known_changes(her2).conflicts
    save_conflicts(her2, conflicts)
    return Collected(one, folder, one.changes, tuple(conflicts), tuple(notes))


def find_changes(
    her2: Path, images: Sequence[SlideRef], author: str, *, now: datetime | None = None
) -> tuple[Round, list[str]]:
    """Return the round that `collect` would write, without writing it, and what could not be compared.

    Parameters
    ----------
    her2
        The exchange folder, with the state of QuPath as it was last exported.
    images
        Its images.
    author
        Who made the changes that no earlier round has.
    now
        Time of the round; None takes the clock.

    Returns
    -------
    round : Round
        `round.new` are the changes since the last round; there may be none.
    notes : list[str]
        Sentences.

    Raises
    ------
    ExchangeError
        ``images.json`` is damaged.
    """
    rounds, notes = read_rounds(her2)
    metadata = read_metadata(her2)
    found: list[Change] = []
    for ref in images:
        try:
            changes, more = image_changes(her2, ref, metadata.get(ref.id, {}))
        except ExchangeError as error:
            # One damaged image must not hold back the corrections of the others; its known state is kept.
            notes.append(f"{ref.name} was not compared: {error}")
            changes = _known(rounds, ref.id)
            more = []
        found += changes
        notes += [f"{ref.name}: {one}" for one in more]
    ids = {ref.id for ref in images}
    for image in sorted({one.image for known in rounds for one in known.changes} - ids):
        notes.append(f"image '{image}' of earlier rounds is no longer in the project; its changes are kept")
        found += _known(rounds, image)
    moment = (now or datetime.now(timezone.utc)).astimezone(timezone.utc)
    time = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    if rounds and rounds[-1].time > time:
        notes.append(
            f"the clock says {time}, and round {rounds[-1].name} is of {rounds[-1].time}: one of the two was wrong; "
            "rounds keep the order of their numbers"
        )
    number = next_number(her2)
    name = round_name(number, author)
    earlier = [one for known in rounds for one in known.changes]
    changes = with_authors(found, earlier, author, time, name)
    one = Round(name, number, author, time, tuple(changes), tuple(notes))
    return one, notes


def image_changes(her2: Path, ref: SlideRef, metadata: Mapping[str, str]) -> tuple[list[Change], list[str]]:
    """Return the differences of one image, without authors, and what could not be compared.

    Parameters
    ----------
    her2
        The exchange folder.
    ref
        The image.
    metadata
        Its metadata in QuPath, where people type their scores.

    Returns
    -------
    changes : list[Change]
        In the order of a round.
    notes : list[str]
        Sentences.

    Raises
    ------
    ExchangeError
        A file of the image is damaged; the message names it.
    """
    notes: list[str] = []
    changes = _score_changes(her2, ref, metadata)
    path = ref.regions_path
    if path is not None and not is_geojson(path):
        notes.append(f"regions in '{path.name}' are not compared: only GeoJSON has UUIDs")
    elif path is not None:
        scored, is_whole = written_regions(her2, ref.id)
        now = read_drawn(path)
        before = regions_before(her2, ref, scored, now)
        # Of an image without a score, proposals alone were written by the program: all else is the first drawing.
        if not is_whole and compared_run(her2, ref.id) is None:
            now = {uuid: one for uuid, one in now.items() if uuid in before}
        changes += region_changes(ref.id, before, now, is_whole=is_whole)
        if not is_whole and scored:
            notes.append(
                "only regions that were scored are compared: the image was scored by an older version"
            )
    if path is not None:
        corrections = read_corrections(corrections_path(path, ref.id))
        more, words = cell_changes(ref.id, corrections, WrittenCells(her2, ref.id))
        changes += more
        notes += words
    # As a spreadsheet keeps them, so that what is read back equals what was found.
    plain = [
        replace(
            one,
            before=spreadsheet_text(one.before),
            after=spreadsheet_text(one.after),
            name=spreadsheet_text(one.name or ref.name),
        )
        for one in changes
    ]
    return sorted_changes(plain), notes


def _score_changes(her2: Path, ref: SlideRef, metadata: Mapping[str, str]) -> list[Change]:
    score = metadata_column(metadata, (READER_SCORE,)) or ""
    comment = metadata_column(metadata, (READER_COMMENT,)) or ""
    changes = []
    if score:
        changes.append(Change(ref.id, "score", "", "score typed", _machine_score(her2, ref.id), score))
    if comment:
        changes.append(Change(ref.id, "score", "", "comment typed", "", comment))
    return changes


def _machine_score(her2: Path, image: str) -> str:
    run = current_run(her2, image)
    if run is None or not (run / "score.json").is_file():
        return ""
    return stored_score(run).answer


def _known(rounds: Sequence[Round], image: str) -> list[Change]:
    """Return the last known state of an image, of which nothing was undone."""
    for known in reversed(rounds):
        changes = [one for one in known.changes if one.image == image]
        if changes:
            return [one for one in changes if not one.is_undone]
    return []


def save_conflicts(her2: Path, conflicts: Sequence[Conflict]) -> Path:
    """Write ``her2/review/conflicts.csv``; without conflicts it holds the header alone."""
    path = her2 / "review" / "conflicts.csv"
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, conflicts_csv(conflicts))
    return path
