"""All labels of a project: rounds and lists, merged, with their measurements in groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qupath_her2.project.folder import project_folder
from qupath_her2.review.known_labels import known_changes
from qupath_her2.review.label_groups import LabelGroup, label_groups
from qupath_her2.review.labels import (
    CellLabel,
    labels_folder,
    list_labels,
    merged_labels,
    queue_labels,
    round_labels,
)
from qupath_her2.runs.profile_choice import laboratories

if TYPE_CHECKING:
    from qupath_her2.records import SlideRef

__all__ = ["ProjectLabels", "project_labels"]


@dataclass(frozen=True, slots=True)
class ProjectLabels:
    """Labels of a project.

    Attributes
    ----------
    labels
        One for each cell.
    groups
        Those with measurements, for each scanner, stain and laboratory, the largest first.
    notes
        Sentences about what cannot be used.
    """

    labels: tuple[CellLabel, ...]
    groups: tuple[LabelGroup, ...]
    notes: tuple[str, ...]


def project_labels(
    folder: Path,
    her2: Path,
    images: Sequence[SlideRef],
    *,
    reach_deg: float,
    lists: Sequence[Path] = (),
    queue_reader: str = "",
    controls: Sequence[CellLabel] = (),
) -> ProjectLabels:
    """Return the labels of a project.

    Parameters
    ----------
    folder
        The project, for ``cases.csv``.
    her2
        Its exchange folder.
    images
        Its images.
    reach_deg
        Largest distance of stain vectors within a group, degrees.
    lists
        Lists beside those of the project.
    queue_reader
        Who confirmed the cells of the queue that were left as they are; "" for nobody.
    controls
        Labels from control tissue.

    Returns
    -------
    ProjectLabels
        Without cells that people called differently.

    Raises
    ------
    ReviewError
        The queue is missing or damaged, where somebody confirmed it.
    """
    known = known_changes(her2)
    listed, unread = list_labels([*sorted(labels_folder(her2).glob("*.csv")), *lists])
    found = [*round_labels(known.changes), *listed, *controls]
    if queue_reader:
        found += queue_labels(her2, queue_reader, found)
    merged, n_differing = merged_labels(found)
    notes = [*known.notes, *unread]
    if known.conflicts:
        notes.append(
            f"{len(known.conflicts)} objects on which people differ are left out until they are settled"
        )
    if n_differing:
        notes.append(f"{n_differing} cells that people called differently are left out")
    groups, lost = label_groups(
        her2, images, merged, laboratories(her2, project_folder(folder)), reach_deg=reach_deg
    )
    return ProjectLabels(tuple(merged), tuple(groups), (*notes, *lost))
