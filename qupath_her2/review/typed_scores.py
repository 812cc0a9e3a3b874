"""Scores that people typed in QuPath, as readings for ``review agreement``.

Each score that a reader typed for an image is a reading; where she typed another one later, that is her next round.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qupath_her2.errors import ReviewError
from qupath_her2.project.exchange.writing import output_errors, replace_file
from qupath_her2.project.spreadsheet import csv_bytes, spreadsheet_text

if TYPE_CHECKING:
    from qupath_her2.records import SlideRef
    from qupath_her2.review.round_files import Round

__all__ = ["typed_readings", "write_typed_readings"]


def typed_readings(rounds: Sequence[Round], images: Sequence[SlideRef]) -> list[tuple[str, ...]]:
    """Return (case, slide, reader, round, value) of each score that was typed, images of no case under their name.

    Parameters
    ----------
    rounds
        Rounds of all people, oldest first.
    images
        Images of the project; scores of others keep the id as their name.

    Returns
    -------
    list[tuple[str, ...]]
        In the order of slides and readers; the round counts from 1 for each reader and slide.
    """
    said: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for found in rounds:
        for one in found.changes:
            # A later round repeats what still holds: the same round and value are one reading.
            if one.change == "score typed" and not one.is_undone:
                said[one.image, one.author].setdefault(f"{one.time} {one.round}", one.after)
    names = {ref.id: ref for ref in images}
    rows: list[tuple[str, ...]] = []
    for (image, author), values in sorted(said.items()):
        ref = names.get(image)
        slide = image if ref is None else spreadsheet_text(ref.name)
        case = slide if ref is None or ref.case.case is None else spreadsheet_text(ref.case.case)
        rows += [(case, slide, author, str(number), value) for number, value in enumerate(values.values(), 1)]
    return rows


def write_typed_readings(path: Path, rows: Sequence[tuple[str, ...]]) -> Path:
    """Write readings as ``review agreement`` reads them.

    Raises
    ------
    ReviewError
        Nobody has typed a score.
    OutputError
        The file cannot be written.
    """
    if not rows:
        raise ReviewError(
            "No round holds a score that a person typed. Type 'HER2 reader score' into the metadata of images in "
            "QuPath (right-click an image in the project list), and collect."
        )
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, csv_bytes([("case", "slide", "reader", "round", "value"), *rows]))
    return path
