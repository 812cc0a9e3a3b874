from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qupath_her2.errors import PatchError
from qupath_her2.patches.manifest import PatchManifest, select
from qupath_her2.patches.targets.stored_targets import TARGETS_KEY, Targets, read_targets, write_targets
from qupath_her2.patches.targets.targets import IGNORE

SIDE = 16


@pytest.fixture
def pictures() -> np.ndarray:
    return np.random.default_rng(0).choice(np.array([0, 1, 2, IGNORE], np.uint8), (4, SIDE, SIDE))


@pytest.fixture
def manifest(two_images: Callable[..., PatchManifest], pictures: np.ndarray) -> PatchManifest:
    made = two_images([(0, (SIDE * k, 0, SIDE, SIDE)) for k in range(4)], class_names=("a", "b", "c"))
    return replace(made, settings={TARGETS_KEY: Targets.pack(pictures, SIDE, 3).digest()})


def test_packed_targets_are_read_in_any_order(pictures: np.ndarray) -> None:
    targets = Targets.pack(pictures, SIDE, 3)
    rows = np.array([3, 0, 3])
    assert np.array_equal(targets.read(rows), pictures[rows])
    expected = [[(picture == code).sum() for code in range(3)] for picture in pictures]
    assert targets.pixel_counts().tolist() == expected


def test_selected_rows_are_those_of_the_manifest(pictures: np.ndarray, manifest: PatchManifest) -> None:
    targets = Targets.pack(pictures, SIDE, 3)
    mask = np.array([False, True, False, True])
    chosen = targets.select(mask)
    assert len(chosen) == len(select(manifest, mask)) == 2
    assert np.array_equal(chosen.read(np.arange(2)), pictures[mask])
    assert np.array_equal(chosen.counts, targets.counts[mask])
    assert len(targets.select(np.zeros(4, bool))) == 0


def test_written_targets_are_read_back(tmp_path: Path, pictures: np.ndarray, manifest: PatchManifest) -> None:
    write_targets(tmp_path, Targets.pack(pictures, SIDE, 3))
    assert np.array_equal(read_targets(tmp_path, manifest).read(np.arange(4)), pictures)


def test_other_or_damaged_targets_are_refused(
    tmp_path: Path, pictures: np.ndarray, manifest: PatchManifest
) -> None:
    with pytest.raises(PatchError, match=r"targets\.npz is missing"):
        read_targets(tmp_path, manifest)
    write_targets(tmp_path, Targets.pack(pictures[::-1], SIDE, 3))
    with pytest.raises(PatchError, match="does not belong"):
        read_targets(tmp_path, manifest)
    write_targets(tmp_path, Targets.pack(pictures[:3], SIDE, 3))
    with pytest.raises(PatchError, match="does not belong"):
        read_targets(tmp_path, manifest)
    whole = Targets.pack(pictures, SIDE, 3)
    bad = replace(whole, packed=np.zeros_like(whole.packed))
    write_targets(tmp_path, bad)
    with pytest.raises(PatchError, match="is damaged"):
        read_targets(tmp_path, manifest)
    (tmp_path / "targets.npz").write_bytes(b"no archive")
    with pytest.raises(PatchError, match="cannot be read"):
        read_targets(tmp_path, manifest)
