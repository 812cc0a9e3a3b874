from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qupath_her2.errors import PatchError, SettingsError
from qupath_her2.patches.manifest import ManifestImage, select
from qupath_her2.patches.splits import (
    PATCH_LEVEL,
    case_groups,
    image_cases,
    leaked_cases,
    split_by_case,
    split_by_patch,
    split_warning,
)
from tests.unit.patches.conftest import cohort, manifest_of, parts_by_case

BOX = (0, 0, 16, 16)


@settings(max_examples=60, deadline=None)
@given(
    n_cases=st.integers(3, 40),
    n_classes=st.integers(1, 4),
    seed=st.integers(0, 10_000),
    stratify=st.booleans(),
)
def test_each_case_is_in_one_part_and_no_part_is_empty(
    n_cases: int, n_classes: int, seed: int, stratify: bool
) -> None:
    made = split_by_case(cohort(n_cases, n_classes=n_classes), seed=seed, stratify=stratify)
    parts = parts_by_case(made)
    assert all(len(found) == 1 for found in parts.values())
    assert {part for found in parts.values() for part in found} == {0, 1, 2}
    assert leaked_cases(made) == ()
    assert split_warning(made) is None


@settings(max_examples=60, deadline=None)
@given(
    per_class=st.lists(st.integers(5, 30), min_size=1, max_size=4),
    shares=st.sampled_from([(0.6, 0.2, 0.2), (0.8, 0.1, 0.1), (0.5, 0.25, 0.25), (0.9, 0.0, 0.1)]),
    seed=st.integers(0, 999),
)
def test_shares_hold_within_a_case_in_each_class_and_in_all(
    per_class: list[int], shares: tuple[float, ...], seed: int
) -> None:
    images, labels = [], []
    for label, n in enumerate(per_class):
        for case in range(n):
            name = f"{label}/{case}"
            images.append(ManifestImage(name, name, Path(name), name, math.nan, 64, 64))
            labels.append(label)
    made = split_by_case(manifest_of(images, [(i, BOX) for i in range(len(images))], labels), shares, seed)
    counts = np.zeros((len(per_class), 3))
    np.add.at(counts, (made.label, made.split), 1)
    wanted = np.outer(per_class, shares)
    moved_to_fill_an_empty_part = sum(n * min(s for s in shares if s) < 1 for n in per_class)
    assert np.abs(counts - wanted).max() < 1 + moved_to_fill_an_empty_part
    assert np.abs(counts.sum(0) - wanted.sum(0)).max() <= 1 + len(per_class) / 2
    assert counts[:, np.array(shares) == 0].sum() == 0


def test_the_split_depends_on_the_seed_and_not_on_the_order_of_images() -> None:
    one, two = split_by_case(cohort(20), seed=4), split_by_case(cohort(20, reverse=True), seed=4)
    assert parts_by_case(one) == parts_by_case(two)
    assert parts_by_case(one) != parts_by_case(split_by_case(cohort(20), seed=5))
    assert one.settings["split"] == {
        "kind": "by case",
        "shares": [0.6, 0.2, 0.2],
        "seed": 4,
        "stratify": True,
        "warning": None,
    }


def test_unknown_cases_are_reported() -> None:
    images = [ManifestImage(str(i), f"{i}.png", Path(f"{i}.png"), None, math.nan, 64, 64) for i in range(9)]
    made = split_by_case(manifest_of(images, [(i % 9, BOX) for i in range(27)]))
    assert len(parts_by_case(made)) == 9
    assert PATCH_LEVEL == "patch-level, leakage possible"
    assert PATCH_LEVEL in str(split_warning(made))
    assert "9 images" in str(split_warning(made))


def test_images_of_one_case_stay_together_and_an_image_may_be_called_as_a_case() -> None:
    images = [
        ManifestImage("1", "x", Path("1"), "A", math.nan, 64, 64),
        ManifestImage("2", "A", Path("2"), None, math.nan, 64, 64),
    ]
    group, names = case_groups(manifest_of(images, [(0, BOX), (1, BOX)]))
    assert names == ("A", "image A")
    assert group.tolist() == [0, 1]


def test_images_without_patches_do_not_count_as_cases() -> None:
    made = cohort(5)
    part = select(made, made.image < 4)
    assert case_groups(part)[1] == ("case 0", "case 1")


def test_too_few_cases_are_refused_with_the_way_out() -> None:
    with pytest.raises(PatchError, match="by-patch"):
        split_by_case(cohort(2))
    two = split_by_case(cohort(2), (0.5, 0.0, 0.5))
    assert set(two.split.tolist()) == {0, 2}


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.6, 0.2, 0.3), (-0.2, 0.6, 0.6), (math.nan, 0.5, 0.5)])
def test_invalid_shares_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(SettingsError, match=r"0\.6,0\.2,0\.2"):
        split_by_case(cohort(5), shares)
    with pytest.raises(SettingsError):
        split_by_patch(cohort(5), shares)


def test_a_split_by_patch_is_labelled_as_such_and_leaks() -> None:
    made = split_by_patch(cohort(6, patches_per_image=20), seed=1)
    counts = np.bincount(made.split, minlength=3)
    assert counts.tolist() == [144, 48, 48]
    for label in range(3):
        assert np.bincount(made.split[made.label == label], minlength=3).tolist() == [48, 16, 16]
    assert made.settings["split"]["kind"] == "by patch"
    assert PATCH_LEVEL in str(split_warning(made))
    assert leaked_cases(made) == tuple(f"case {i}" for i in range(6))


def test_a_leak_of_one_patch_is_found() -> None:
    made = split_by_case(cohort(8), seed=2)
    made.split[0] = (made.split[0] + 1) % 3
    assert leaked_cases(made) == ("case 0",)
    made.split[0] = -1
    assert leaked_cases(made) == ()


def named(*cases: str | None) -> list[ManifestImage]:
    return [
        ManifestImage(f"{i}", f"{i}.svs", Path(f"{i}.svs"), case, math.nan, 64, 64)
        for i, case in enumerate(cases)
    ]


def test_case_ids_that_look_alike_are_one_case_and_listed() -> None:
    images = named("P1", "p1", " P1", "007", "7", "P10", "P  2", "P 2", "Ｐ1", None, "K-70")
    manifest = manifest_of(images, [(i, BOX) for i in range(len(images))])
    assert image_cases(manifest) == (
        " P1", " P1", " P1", "007", "007", "P10", "P  2", "P  2", " P1", None, "K-70"
    )  # fmt: skip
    made = split_by_case(manifest, seed=1)
    assert leaked_cases(made) == ()
    assert len({int(made.split[i]) for i in (0, 1, 2, 8)}) == 1
    warning = split_warning(made)
    assert warning is not None
    assert "1 image has no case id" in warning
    assert "' P1' = 'P1' = 'p1' = 'Ｐ1'; '007' = '7'; 'P  2' = 'P 2'" in warning
    assert "K-70" not in warning


@given(st.lists(st.sampled_from(["a1", "A1", "a01", "b", " b ", "B", "c10", "c1"]), min_size=6, max_size=30))
def test_no_split_separates_ids_that_look_alike(cases: list[str]) -> None:
    manifest = manifest_of(named(*cases), [(i, BOX) for i in range(len(cases))])
    key = {"a1": "a", "A1": "a", "a01": "a", "b": "b", " b ": "b", "B": "b", "c10": "c10", "c1": "c1"}
    if len({key[case] for case in cases}) < 3:
        return
    made = split_by_case(manifest)
    parts: dict[str, set[int]] = {}
    for case, part in zip(cases, made.split.tolist(), strict=True):
        parts.setdefault(key[case], set()).add(part)
    assert all(len(found) == 1 for found in parts.values())
