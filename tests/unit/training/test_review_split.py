"""After a review, reviewed cases train, others are replayed in proportion, and the rest of them tests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qupath_her2.errors import TrainingError
from qupath_her2.patches.splits import split_by_case
from qupath_her2.patches.table import ManifestImage, PatchManifest
from qupath_her2.training.review_split import review_split


def manifest(n_cases: int = 10, per_case: int = 6) -> PatchManifest:
    images = tuple(
        ManifestImage(f"{i}_a", f"a{i}.png", f"a{i}.png", f"K{i}", 0.5, 100, 100) for i in range(n_cases)
    )
    n = n_cases * per_case
    columns = PatchManifest(
        image=np.repeat(np.arange(n_cases, dtype=np.int32), per_case),
        box_xywh=np.zeros((n, 4), np.int32),
        label=(np.arange(n) % 2).astype(np.int16),
        overlap=np.ones(n, np.float32),
        region_uuid=np.zeros((n, 16), np.uint8),
        split=np.full(n, -1, np.int8),
        images=images,
        class_names=("a", "b"),
        patch_size_px=20,
        pixel_size_um=0.5,
        task="tumour",
    )
    return split_by_case(columns, (0.6, 0.1, 0.3), 0)


def cases_in(found: PatchManifest, part: int) -> set[str]:
    return {found.images[index].id for index in found.image[found.split == part].tolist()}


def test_reviewed_cases_train_and_only_others_test():
    before = manifest()
    reviewed = {sorted(cases_in(before, 2))[0], sorted(cases_in(before, 0))[0]}
    found = review_split(before, reviewed, replay=1.0)
    assert reviewed <= cases_in(found, 0)
    assert cases_in(found, 2) == cases_in(before, 2) - reviewed
    assert cases_in(found, 1) == cases_in(before, 1)
    how = found.settings["split"]
    assert how["kind"] == "by case"
    assert how["review"]["cases"] == sorted(f"K{one[0]}" for one in reviewed)
    # As many replayed patches as reviewed ones, in whole cases.
    assert (how["review"]["replayed"], how["review"]["left_out"]) == (12, 18)
    assert len(cases_in(found, 0)) == 4
    assert len(cases_in(found, -1)) == 3


def test_replay_can_be_all_or_nothing():
    before = manifest()
    reviewed = {sorted(cases_in(before, 0))[0]}
    assert cases_in(review_split(before, reviewed, replay=0), 0) == reviewed
    assert (review_split(before, reviewed, replay=100).split == before.split).all()


def test_what_cannot_be_judged_is_refused():
    before = manifest()
    with pytest.raises(TrainingError, match="None of the patches is of a case"):
        review_split(before, {"99_a"}, replay=1)
    with pytest.raises(TrainingError, match="nothing is left to judge"):
        review_split(before, cases_in(before, 2), replay=1)
    with pytest.raises(TrainingError, match="not split by case"):
        review_split(replace(before, settings={}), {"1_a"}, replay=1)
