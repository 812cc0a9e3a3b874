"""Queue: the cells whose review teaches most, each with the reason why it was chosen.

Cells on which plausible cut-points disagree (`informative_cells`), or, where none are given, cells near a cut-point
(uncertainty sampling, Lewis & Gale 1994, doi 10.1007/978-1-4471-2099-5_1), cells that two sources of cells call
differently (query by committee, Seung et al. 1992, doi 10.1145/130385.130417), and cells of rare classes come first.
Cases take turns, and of cells that look alike, or lie beside each other, one is asked.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.membrane.grading import Estimates, GradingSettings, grade
from qupath_her2.records import NOT_MEASURED, CellTable
from qupath_her2.review.informative_cells import information, with_chance
from qupath_her2.scoring.guidelines import GUIDELINES
from qupath_her2.scoring.rules import cell_classes
from qupath_her2.setting_ranges import Range, Seed, check_settings

__all__ = ["Chosen", "QueueImage", "QueueSettings", "choose_cells"]

OWN_OD = "HER2: Membrane own DAB OD"
COMPLETENESS = "HER2: Membrane completeness"
UNCERTAINTY = "HER2: Network uncertainty"
#: Distance to a cut-point within which a cell is near it: root of OD, and share of the outline.
_NEAR_ROOT_OD, _NEAR_COMPLETENESS = 0.05, 0.06
#: A class is rare where fewer cells of the image have it.
_RARE_SHARE = 0.1
#: Cells of one case closer than this in both measurements look alike.
_ALIKE = 0.015
LATERAL = "HER2: Membrane is lateral"
#: Cells of an image that are compared by their information at most: a sample of a large slide has enough of each kind.
_MOST_COMPARED = 20_000
#: Centroids of the same cell in two detections, in radii of the cell.
_SAME_CELL = 0.7


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """Size of a queue.

    Attributes
    ----------
    n
        Number of cells.
    seed
        Decides between cells of equal worth.
    """

    n: Annotated[int, Range(1, 100_000)] = 60
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True)
class QueueImage:
    """One scored image.

    Attributes
    ----------
    image, case
        Ids; images of unknown cases count as a case each.
    table
        Its cells.
    grading
        The cut-points that they were graded with.
    others
        {source of cells: table of another run of the same image}.
    labelled
        UUIDs of cells that somebody labelled; they are not asked again.
    plausible
        Cut-points that the labels so far leave plausible; empty asks for cells near those of `grading`.
    guideline
        Key of the guideline whose table gives the classes.
    """

    image: str
    case: str
    table: CellTable
    grading: GradingSettings
    others: Mapping[str, CellTable]
    labelled: frozenset[str] = frozenset()
    plausible: tuple[GradingSettings, ...] = ()
    guideline: str = "breast-2018"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A cell of the queue.

    Attributes
    ----------
    image, case
        Ids.
    uuid
        UUID of the cell.
    row
        Its row in the table of the image.
    x, y
        Centroid, level-0 pixels.
    class_name
        Class that the program gave it.
    reasons
        Why it was chosen, the strongest first.
    """

    image: str
    case: str
    uuid: str
    row: int
    x: float
    y: float
    class_name: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Candidate:
    image: QueueImage
    row: int
    worth: float
    reasons: tuple[str, ...]
    look: tuple[float, float]


def choose_cells(images: Sequence[QueueImage], settings: QueueSettings | None = None) -> list[Chosen]:
    """Return the cells to review, in the order in which they teach most.

    Parameters
    ----------
    images
        Scored images.
    settings
        Number of cells.

    Returns
    -------
    list[Chosen]
        At most `settings.n`; fewer where there are no more cells that differ.
    """
    s = settings or QueueSettings()
    rng = np.random.default_rng(s.seed)
    by_case: dict[str, list[_Candidate]] = defaultdict(list)
    for image in images:
        by_case[image.case] += _candidates(image, rng, s.n)
    turns = [_distinct(sorted(found, key=lambda one: -one.worth)) for found in by_case.values()]
    chosen = itertools.islice(_in_turn(turns), s.n)
    return [_chosen(one) for one in chosen]


def _in_turn(sources: Iterable[Iterator[_Candidate]]) -> Iterator[_Candidate]:
    """Yield from each source in turn until all are empty."""
    left = list(sources)
    while left:
        still = []
        for source in left:
            one = next(source, None)
            if one is not None:
                yield one
                still.append(source)
        left = still


def _distinct(candidates: Iterable[_Candidate]) -> Iterator[_Candidate]:
    """Yield candidates that neither look like one before nor touch it."""
    looks: list[tuple[float, float]] = []
    places: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for one in candidates:
        xy = _xy(one.image.table, one.row)
        radius = _radius(one.image.table, one.row)
        near = np.array(places[one.image.image]).reshape(-1, 2) - xy
        is_alike = len(looks) > 0 and (np.abs(np.array(looks) - one.look).max(axis=1) < _ALIKE).any()
        if is_alike or (np.hypot(*near.T) < 4 * radius).any():
            continue
        looks.append(one.look)
        places[one.image.image].append((float(xy[0]), float(xy[1])))
        yield one


def _candidates(image: QueueImage, rng: np.random.Generator, n: int) -> list[_Candidate]:
    table = image.table
    measured = np.isfinite(table.column(OWN_OD)) & np.isfinite(table.column(COMPLETENESS))
    free = measured & (table.cell_class != NOT_MEASURED)
    rows = np.flatnonzero(free)
    if image.labelled:
        ids = [str(UUID(bytes=table.uuid[row].tobytes())) for row in rows.tolist()]
        rows = rows[[one not in image.labelled for one in ids]]
    root, complete = np.sqrt(np.maximum(table.column(OWN_OD), 0)), table.column(COMPLETENESS)
    worth = np.zeros(len(table))
    reasons: dict[int, list[tuple[float, str]]] = defaultdict(list)
    teaching = _undecided(image, rng) if image.plausible else _near(image, root, complete)
    for found in (teaching, _disagreeing(image), _rare(image), _uncertain(image)):
        for row, value, reason in found:
            worth[row] += value
            reasons[row].append((value, reason))
    # Random among equals, so that the last of a long list are not all from one corner of the slide.
    order = rows[np.lexsort((rng.random(len(rows)), -worth[rows]))]
    # Far more than can be chosen: most neighbours and look-alikes drop out.
    return [
        _Candidate(
            image,
            row,
            float(worth[row]),
            tuple(reason for _, reason in sorted(reasons[row], reverse=True)) or ("typical of its image",),
            (float(root[row]), float(complete[row])),
        )
        for row in order[: 50 * n].tolist()
    ]


def _near(
    image: QueueImage, root: NDArray[np.float32], complete: NDArray[np.float32]
) -> Iterator[tuple[int, float, str]]:
    """Yield cells near a cut-point that decides on their class: worth 1 on it, 0 where they are no longer near."""
    s = image.grading
    for name, cut in (("faint", s.faint_od), ("moderate", s.moderate_od), ("intense", s.intense_od)):
        distance = np.abs(root - np.sqrt(cut)) / _NEAR_ROOT_OD
        # A cell without a stained outline is negative whatever its density.
        for row in np.flatnonzero((distance < 1) & (complete >= s.min_completeness)).tolist():
            yield row, 1 - float(distance[row]), f"density {root[row] ** 2:.3f} OD, {name} from {cut:g}"
    for name, share in (("stained", s.min_completeness), ("complete", s.complete_from)):
        distance = np.abs(complete - share) / _NEAR_COMPLETENESS
        for row in np.flatnonzero((distance < 1) & (root**2 >= s.faint_od)).tolist():
            yield row, 1 - float(distance[row]), f"completeness {complete[row]:.2f}, {name} from {share:g}"


def _undecided(image: QueueImage, rng: np.random.Generator) -> Iterator[tuple[int, float, str]]:
    """Yield cells whose label tells about the cut-points, most worth about 2: the strongest reason to ask."""
    table = image.table
    rows = np.flatnonzero(table.cell_class != NOT_MEASURED)
    if len(rows) > _MOST_COMPARED:
        rows = np.sort(rng.choice(rows, _MOST_COMPARED, replace=False))
    columns = [table.column(name)[rows] for name in (OWN_OD, COMPLETENESS)]
    lateral = (
        table.column(LATERAL)[rows] > 0 if LATERAL in table.measurement_names else np.zeros(len(rows), bool)
    )
    own = Estimates(columns[0], columns[1], lateral)
    told = information(own, image.guideline, image.plausible)
    # The scale does not matter among them; beside the other reasons the best of an image counts 2.
    worth = with_chance(2 * told / max(float(told.max(initial=0)), 1e-9), rng)
    classes = np.array([_classes(own, one, image.guideline) for one in image.plausible])
    for number, row in enumerate(rows.tolist()):
        low, high = int(classes[:, number].min()), int(classes[:, number].max())
        if told[number] > 0 and low < high:
            names = f"{table.class_names[low]} or {table.class_names[high]}"
            yield (
                row,
                float(worth[number]),
                f"{names}, by where the cut-points are (density {columns[0][number]:.3f} OD)",
            )


def _classes(own: Estimates, cut_points: GradingSettings, guideline: str) -> NDArray[np.uint8]:
    return cell_classes(*grade(own, cut_points), GUIDELINES[guideline])


def _disagreeing(image: QueueImage) -> Iterator[tuple[int, float, str]]:
    """Yield cells that another run of the image gave another class; the farther apart, the more they teach."""
    from scipy.spatial import cKDTree

    table = image.table
    for source, other in image.others.items():
        if not len(other) or not len(table):
            continue
        distance, nearest = cKDTree(other.centroid_xy).query(table.centroid_xy)
        radius = np.sqrt(_areas(table) / np.pi)
        theirs = other.cell_class[nearest]
        differs = (theirs != table.cell_class) & (theirs != NOT_MEASURED) & (table.cell_class != NOT_MEASURED)
        for row in np.flatnonzero(differs & (distance < _SAME_CELL * radius)).tolist():
            apart = abs(int(theirs[row]) - int(table.cell_class[row]))
            yield row, 0.5 + 0.5 * apart, f"{source} says {other.class_names[theirs[row]]}"


def _rare(image: QueueImage) -> Iterator[tuple[int, float, str]]:
    classes = image.table.cell_class
    known = classes[classes != NOT_MEASURED]
    for code, name in enumerate(image.table.class_names):
        share = float((known == code).mean()) if len(known) else 0.0
        if 0 < share < _RARE_SHARE:
            for row in np.flatnonzero(classes == code).tolist():
                yield row, 0.6 * (1 - share / _RARE_SHARE), f"{name} is rare here ({100 * share:.1f} %)"


def _uncertain(image: QueueImage) -> Iterator[tuple[int, float, str]]:
    """Yield the tenth of the cells of which a Bayesian network is least certain."""
    if UNCERTAINTY not in image.table.measurement_names:
        return
    values = image.table.column(UNCERTAINTY)
    known = values[np.isfinite(values)]
    if len(known):
        limit = float(np.quantile(known, 0.9))
        for row in np.flatnonzero(values > limit).tolist():
            yield row, 0.5, f"the network is unsure ({values[row]:.2f})"


def _chosen(one: _Candidate) -> Chosen:
    table = one.image.table
    x, y = _xy(table, one.row).tolist()
    uuid = str(UUID(bytes=table.uuid[one.row].tobytes()))
    class_name = table.class_names[int(table.cell_class[one.row])]
    return Chosen(one.image.image, one.image.case, uuid, one.row, x, y, class_name, one.reasons)


def _xy(table: CellTable, row: int) -> NDArray[np.float64]:
    return np.asarray(table.centroid_xy[row], np.float64)


def _radius(table: CellTable, row: int) -> float:
    ring = table.outline(row)
    return float(np.ptp(ring, axis=0).mean() / 2) if len(ring) else 0.0


def _areas(table: CellTable) -> NDArray[np.float64]:
    """Return the area of each cell, px²: shoelace over all rings at once."""
    xy = table.cell_xy.astype(np.float64)
    following = np.arange(1, len(xy) + 1)
    ends, starts = table.cell_offsets[1:], table.cell_offsets[:-1]
    filled = ends > starts
    following[ends[filled] - 1] = starts[filled]
    cross = xy[:, 0] * xy[following, 1] - xy[following, 0] * xy[:, 1] if len(xy) else np.zeros(0)
    sums = np.concatenate([[0.0], np.cumsum(cross)])
    return np.asarray(np.abs(sums[ends] - sums[starts]) / 2)
