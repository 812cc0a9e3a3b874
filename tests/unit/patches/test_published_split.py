from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qupath_her2.errors import SettingsError
from qupath_her2.patches.published_split import split_as_published, split_words
from qupath_her2.patches.splits import may_leak, split_warning
from qupath_her2.patches.table import ManifestImage, PatchManifest

SHARES = (0.8, 0.1, 0.1)


def crops(splits: list[int], cases: list[str | None], labels: list[int] | None = None) -> PatchManifest:
    """One crop an image, as in BCI: names in the data set's order."""
    n = len(splits)
    return PatchManifest(
        image=np.arange(n, dtype=np.int32),
        box_xywh=np.tile(np.array([0, 0, 8, 8], np.int32), (n, 1)),
        label=np.array(labels or [i % 4 for i in range(n)], np.int16),
        overlap=np.ones(n, np.float32),
        region_uuid=np.zeros((n, 16), np.uint8),
        split=np.array(splits, np.int8),
        images=tuple(
            ManifestImage(f"i{i}", f"{i:05d}.png", Path(f"{i:05d}.png"), case, 0.46, 8, 8)
            for i, case in enumerate(cases)
        ),
        class_names=("0", "1+", "2+", "3+"),
        patch_size_px=8,
        pixel_size_um=0.46,
        task="her2-4",
        settings={"split": {"kind": "none", "warning": None}},
        dropped={},
    )


def test_unknown_cases_a_ninth_of_the_training_images_of_each_class_validates() -> None:
    given = crops([0] * 360 + [2] * 40, [None] * 400)
    got = split_as_published(given, SHARES)
    assert (got.split[360:] == 2).all()
    assert Counter(got.label[got.split == 1].tolist()) == {0: 10, 1: 10, 2: 10, 3: 10}
    how = got.settings["split"]
    assert (
        how["validation"] == "11.1 % of the training images, drawn within each class by a hash of their names"
    )
    assert "400 images have no case id: figures are patch-level, leakage possible" in str(split_warning(got))
    # The same whatever the order in which the files are listed.
    order = np.random.default_rng(0).permutation(400)
    shuffled = replace(
        given,
        label=given.label[order],
        split=given.split[order],
        images=tuple(given.images[i] for i in order.tolist()),
    )
    assert (split_as_published(shuffled, SHARES).split == got.split[order]).all()
    assert (split_as_published(given, SHARES, seed=1).split != got.split).any()


def test_known_cases_validate_whole() -> None:
    cases: list[str | None] = [f"P{i // 10}" for i in range(180)]
    got = split_as_published(crops([0] * 160 + [2] * 20, cases, [i // 10 % 2 for i in range(180)]), SHARES)
    parts = {case: {int(part) for part in got.split[[c == case for c in cases]]} for case in cases}
    assert all(len(found) == 1 for found in parts.values())
    assert {case for case, found in parts.items() if found == {2}} == {"P16", "P17"}
    assert sum(found == {1} for found in parts.values()) == 2
    assert got.settings["split"]["validation"].startswith("11.1 % of the training cases, ")
    assert split_warning(got) is None


def test_cases_in_both_published_parts_are_counted_and_may_leak() -> None:
    got = split_as_published(crops([0, 0, 0, 0, 2, 2], ["a", "b", "c", "d", "a", "e"]), SHARES)
    assert "1 cases in both training and test: figures are patch-level" in str(split_warning(got))
    assert may_leak(got)
    assert sorted(got.split.tolist()) == [0, 0, 0, 1, 2, 2]


@pytest.mark.parametrize(
    ("splits", "shares"), [([0, 0, 1, 2], SHARES), ([0, 0, 0, 2], (0.9, 0.0, 0.1)), ([0, 2, 2, 2], SHARES)]
)
def test_a_validation_part_is_not_taken_where_there_is_one_or_none_is_wanted_or_possible(
    splits: list[int], shares: tuple[float, float, float]
) -> None:
    got = split_as_published(crops(splits, [None] * 4), shares)
    assert got.split.tolist() == splits
    assert got.settings["split"]["validation"] is None


def test_shares_must_sum_to_one() -> None:
    with pytest.raises(SettingsError, match="sum to 1"):
        split_as_published(crops([0, 2], [None, None]), (0.8, 0.1, 0.2))


def test_words_tell_the_rule_and_the_size_of_each_part() -> None:
    got = split_as_published(crops([0] * 18 + [2] * 2, [None] * 18 + ["x", "y"]), SHARES)
    assert split_words(got) == (
        "as published; validation: 11.1 % of the training images, drawn within each class by a hash of their names; "
        "train 16, validation 2, test 2 of 2 known cases"
    )
    fold = replace(got, settings={"split": {"kind": "by case", "fold": 2, "folds": 5}})
    assert split_words(fold).startswith("by case, fold 2 of 5; train 16")
    assert split_words(replace(got, settings={})).startswith("not split; ")
