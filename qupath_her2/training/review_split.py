"""Split for training that goes on after a review: what was reviewed trains, earlier data are replayed, the rest tests.

Cases that people reviewed never test: their regions were corrected because somebody looked at what a network had made
of them. Of the other cases, those in the training part are replayed, so that the network does not forget what it knows
(rehearsal, Robins 1995, doi 10.1080/09540099550039318), in a number that does not drown the corrections.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from qupath_her2.errors import TrainingError
from qupath_her2.patches.splits import case_groups
from qupath_her2.patches.table import SPLITS, PatchManifest

__all__ = ["review_split"]

_TRAIN, _TEST = SPLITS.index("train"), SPLITS.index("test")
_LEFT_OUT = -1


def review_split(
    manifest: PatchManifest, reviewed: Collection[str], *, replay: float, seed: int = 0
) -> PatchManifest:
    """Return patches split for training that goes on after a review.

    Parameters
    ----------
    manifest
        Labelled patches, split by case.
    reviewed
        Ids of the images that people reviewed.
    replay
        Training patches of other cases for each reviewed one, at most; 0 trains on reviewed cases alone.
    seed
        Of the choice of replayed cases.

    Returns
    -------
    PatchManifest
        The same rows. Reviewed cases of the test part train; training patches that are not replayed are in no part;
        the validation part is as it was.

    Raises
    ------
    TrainingError
        The split is not by case, no patch is of a reviewed case, or no test case is left that nobody reviewed.
    """
    how = manifest.settings.get("split", {})
    if how.get("kind") != "by case":
        raise TrainingError(
            "Patches that are not split by case may be of one case in training and test. Cut them with the default "
            "split for --from-review."
        )
    group, names = case_groups(manifest)
    is_reviewed_image = np.array([image.id in reviewed for image in manifest.images], bool)
    cases = np.unique(group[is_reviewed_image[manifest.image]]) if len(group) else np.zeros(0, int)
    is_reviewed = np.isin(group, cases)
    if not is_reviewed.any():
        raise TrainingError(
            "None of the patches is of a case that people reviewed. Collect corrections first "
            "(qupath-her2 review collect), or leave --from-review out."
        )
    split = manifest.split.copy()
    split[is_reviewed & (split == _TEST)] = _TRAIN
    if not (split == _TEST).any():
        raise TrainingError(
            f"All {len(cases)} cases of the test part were reviewed, and nothing is left to judge the network by. Give "
            "more cases to the test part, e.g. --shares 0.5,0.2,0.3, or add cases that nobody reviewed."
        )
    known = ~is_reviewed & (split == _TRAIN)
    n = round(replay * int((is_reviewed & (split == _TRAIN)).sum()))
    # Whole cases: an image whose patches are in several parts would be in none.
    order = np.random.default_rng(seed).permutation(np.unique(group[known]))
    sizes = np.array([int((known & (group == case)).sum()) for case in order.tolist()], np.int64)
    kept = order[np.cumsum(sizes) <= n]
    split[known & ~np.isin(group, kept)] = _LEFT_OUT
    review = {
        "cases": [names[case] for case in cases.tolist()],
        "replayed": int((known & np.isin(group, kept)).sum()),
        "left_out": int((split[known] == _LEFT_OUT).sum()),
    }
    return replace(manifest, split=split, settings={**manifest.settings, "split": {**how, "review": review}})
