"""What corrections do to the tumour finder: ``python -m tests.quality.retrained_finder``.

A simulated reader corrects three drawn cases of a tissue that the finder of the package judges badly; the finder goes
on from what it knows as `qupath-her2 train --recipe tumour-finder` does, and other cases of the same tissue are judged
before and after. With ``--data``, also the four real pictures with masks of their epithelium, by finders that were
trained without them: corrections of three, simulated from their masks, and the fourth left out in turn; seven further
pictures, left out of that training too, show what is forgotten.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.nuclei.trees import Trees, predict
from qupath_her2.cells.tumour.finder import share, shipped_finder
from qupath_her2.cells.tumour.proposals import ProposalSettings
from qupath_her2.config import Settings
from qupath_her2.errors import TrainingError
from qupath_her2.synthetic.field import draw_field
from qupath_her2.synthetic.presets import PLAIN_SHARES, preset
from qupath_her2.training.tumour_finder.figures import Judged, compare
from qupath_her2.training.tumour_finder.replay import drawn_labels, drawn_tissue
from qupath_her2.training.tumour_finder.retrain import (
    KnownCells,
    RetrainSettings,
    fitted,
    known_cells,
    retrain,
)
from qupath_her2.training.tumour_finder.tissue import Tissue
from tests.quality.tumour_cells import FoundCells, found_cells

_UM_PX, _SIDE_PX = 0.5, 640
#: Cases that the reader corrects, and others of the same tissue.
_REVIEWED, _UNSEEN = 3, 8
CUT_OFF = ProposalSettings().min_probability
#: Real pictures of other sources, left out of the training to see what is forgotten.
_OTHERS = ("00118", "00249", "mist_15M", "mist_28M", "1_154", "2_a55", "cytokeratin")
#: Fields that train the finder without the real pictures that it is judged by.
_FIELDS = 160


@dataclass(frozen=True, slots=True)
class Kind:
    """A tissue that the finder judges badly: changes of drawn breast tissue, and of its architecture."""

    words: str
    changes: Mapping[str, Any]
    tissue: Mapping[str, Any]
    #: The reader rejects benign ducts, which the finder takes for tumour.
    rejects_ducts: bool = False


KINDS = {
    "small": Kind(
        "tumour of small dark nuclei", {"cell_diameter_um": 8.5, "haematoxylin_od": (0.35, 0.5)}, {}
    ),
    "spindle": Kind(
        "tumour of spindle cells",
        {"nucleus_aspect": (2.0, 2.8), "nucleus_elongation": 1.0, "cell_aspect": (2.0, 3.0)},
        {},
    ),
    "ducts": Kind("benign ducts beside tumour", {}, {"benign": 0.8, "tumour": 0.3, "in_situ": 0.0}, True),
}


def drawn_case(kind: Kind, seed: int) -> tuple[FoundCells, NDArray[np.int8]]:
    """Draw one case, and return its cells with the labels that a reader gives them."""
    size = {"pixel_size_um": _UM_PX, "width_px": _SIDE_PX, "height_px": _SIDE_PX}
    score = list(PLAIN_SHARES)[seed % len(PLAIN_SHARES)]
    settings = preset("breast", seed, score=score, **size, **kind.changes)
    assert settings.tissue is not None
    field = draw_field(replace(settings, tissue=replace(settings.tissue, **kind.tissue)))
    cells = found_cells(field.rgb, _UM_PX)
    label, _ = drawn_labels(field, cells.centre_px)
    if kind.rejects_ducts:
        label[_on_ducts(field, cells.centre_px)] = 0
    return cells, label


def _on_ducts(field: Any, centre_px: NDArray[np.float64]) -> NDArray[np.intp]:
    import shapely

    kinds = np.array(field.truth.other_kinds)
    rings = [
        r for r, k in zip(field.truth.other_nuclei, kinds, strict=True) if k in ("duct", "myoepithelium")
    ]
    tree = shapely.STRtree([shapely.Polygon(ring).buffer(0) for ring in rings])
    return np.unique(tree.query(shapely.points(centre_px), predicate="within")[0])


def as_known(
    found: FoundCells,
    label: NDArray[np.int8],
    case: str,
    base: Mapping[str, Trees],
    marks: int | None = None,
) -> KnownCells:
    """Return the labelled cells of a case, of which `marks` are learned from, chosen at random, or all."""
    learns = np.ones(len(label), bool)
    if marks is not None:
        learns[:] = False
        learns[np.random.default_rng(len(label)).permutation(np.flatnonzero(label >= 0))[:marks]] = True
    return known_cells(Tissue(found.centre_px, found.um_px, found.features), case, label, base, base, learns)


def words_of(
    reviewed: Sequence[KnownCells],
    unseen: Sequence[KnownCells],
    drawn: tuple[Sequence[KnownCells], Sequence[KnownCells]],
    base: Mapping[str, Trees],
    settings: RetrainSettings,
) -> tuple[list[str], Trees | None]:
    """Go on from a finder, and return lines about it and its trees; None where it was refused."""
    try:
        found = retrain(reviewed, *drawn, (), base, cut_off=CUT_OFF, settings=settings)
    except TrainingError as error:
        return [f"  refused: {error}"], None
    lines = [f"  reviewed, each left out: {found.reviewed.words}", f"  drawn tissue: {found.replayed.words}"]
    others = judged(unseen, found.trees["second"])
    return [*lines, f"  {len(unseen)} unseen: {others.words}"], found.trees["second"]


def judged(cells: Sequence[KnownCells], trees: Trees) -> Judged:
    """Return how well trees of the second pass judge cells, before and after."""
    after = [share(predict(trees, one.rows)) for one in cells]
    return compare(
        np.concatenate([one.label for one in cells]),
        np.concatenate([one.before for one in cells]),
        np.concatenate(after),
        [one.case for one in cells for _ in range(len(one))],
        CUT_OFF,
    )


def drawn_cells_of(
    base: Mapping[str, Trees], settings: RetrainSettings
) -> tuple[list[KnownCells], list[KnownCells]]:
    """Return drawn tissue to replay and to judge by."""
    n = settings.fields + settings.judged_fields
    known = [
        known_cells(tissue, f"field {i}", label, base, base)
        for i, (tissue, label) in enumerate(drawn_tissue(n, Settings()))
    ]
    return known[: settings.fields], known[settings.fields :]


def real_lines(folder: Path, settings: RetrainSettings) -> list[str]:
    """Return lines about the four real pictures with masks, each left out in turn."""
    from tests.quality.tumour_outlines import outlined_pictures
    from tests.quality.tumour_trees import FIRST_SEED, as_trees, drawn_cells, fit, prepare, real_cells

    names = list(outlined_pictures())
    masks = [name for name in names if name.startswith("epithelium_masks/")]
    others = [name for name in names if any(part in name for part in _OTHERS)]
    pictures = {name: real_cells(folder, name) for name in names}
    known = [prepare(c) for name in names if name not in (*masks, *others) for c in pictures[name]]
    known += [prepare(drawn_cells(seed)) for seed in range(FIRST_SEED, FIRST_SEED + _FIELDS)]
    base = as_trees(fit(known))
    drawn = drawn_cells_of(base, settings)
    # The first of each is the picture as it is.
    cells = {
        name: as_known(pictures[name][0].cells, pictures[name][0].label, name, base)
        for name in (*masks, *others)
    }
    lines = []
    for name in masks:
        rest = [cells[other] for other in masks if other != name]
        left = cells[name]
        # Each mask is one case of three: that its own cross-validation refuses them is no reason not to look.
        found = fitted(rest, drawn[0], base, settings)
        after = share(predict(found, left.rows))
        lines.append(f"{name}: {len(left)} cells, {left.label.mean():.2f} of tumour")
        lines.append(f"  {_one_line(left, after)}")
        lines.append(f"  other pictures: {judged([cells[one] for one in others], found).words}")
    return lines


def _one_line(cells: KnownCells, after: NDArray[np.float32]) -> str:
    """Return before and after of one picture, which may hold one kind of cells alone."""
    from tests.quality.tumour_figures import auc

    def figures(p: NDArray[np.float32]) -> str:
        kept = np.clip(p, 1e-4, 1 - 1e-4)
        loss = -np.log(np.where(cells.label, kept, 1 - kept)).mean()
        right = ((p >= CUT_OFF) == cells.label).mean()
        return f"AUC {auc(p, cells.label):.3f}, log loss {loss:.3f}, right {100 * right:.0f} %"

    return f"before: {figures(cells.before)}; after: {figures(after)}"


def main() -> None:
    """Print before and after for each tissue and seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seed", type=int, default=960_000, help="first seed of the cases")
    parser.add_argument("--repeats", type=int, default=3, help="how often three other cases are corrected")
    parser.add_argument("--marks", type=int, nargs="+", default=[60, 0], help="cells marked a case; 0 = all")
    parser.add_argument("--data", type=Path, help="folder of the real pictures")
    given = parser.parse_args()
    settings, base = RetrainSettings(), shipped_finder()
    drawn = drawn_cells_of(base, settings) if given.repeats else None
    for name in given.kinds if drawn else ():
        kind = KINDS[name]
        for repeat in range(given.repeats):
            first = given.seed + 1000 * repeat + 100_000 * list(KINDS).index(name)
            cases = [(seed, *drawn_case(kind, seed)) for seed in range(first, first + _REVIEWED + _UNSEEN)]
            unseen = [as_known(c, label, str(seed), base) for seed, c, label in cases[_REVIEWED:]]
            for marks in given.marks:
                reviewed = [
                    as_known(c, label, str(seed), base, marks or None) for seed, c, label in cases[:_REVIEWED]
                ]
                print(f"{kind.words}, {marks or 'all'} cells a case, seed {first}")
                print("\n".join(words_of(reviewed, unseen, drawn, base, settings)[0]), flush=True)
    if given.data is not None:
        print("\n".join(real_lines(given.data, settings)))


if __name__ == "__main__":
    main()
