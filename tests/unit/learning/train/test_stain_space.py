from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from qupath_her2.learning.train.stain_space import DensityMaps, hed_maps, map_densities
from qupath_her2.slides.stains.density_map import DensityMap, apply_density_map
from qupath_her2.slides.stains.jitter import hed_jitter
from qupath_her2.slides.stains.macenko import macenko_map
from qupath_her2.slides.stains.macenko_references import MACENKO_REFERENCES, StainProfile


def every_colour() -> NDArray[np.uint8]:
    """A patch of 34 x 34 x 34 colours, black and white among them."""
    levels = np.unique(np.append(np.arange(0, 256, 8), [254, 255])).astype(np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(len(levels), -1, 3)
    return np.ascontiguousarray(grid)


def by_torch(patches: NDArray[np.uint8], maps: DensityMaps) -> NDArray[np.float32]:
    mapped = map_densities(torch.from_numpy(patches).permute(0, 3, 1, 2).float(), maps)
    values: NDArray[np.float32] = mapped.permute(0, 2, 3, 1).numpy()
    return values


def two_slides() -> list[DensityMap]:
    pale = StainProfile((0.60, 0.72, 0.35), (0.15, 0.85, 0.45), 0.5, 0.3)
    strong = StainProfile((0.50, 0.75, 0.43), (0.25, 0.80, 0.60), 1.2, 0.7, white=235.0)
    return [macenko_map(profile, MACENKO_REFERENCES["veta-2013"]) for profile in (pale, strong)]


def test_a_batch_of_macenko_maps_equals_numpy_within_a_grey_level() -> None:
    maps = two_slides()
    patches = np.stack([every_colour(), every_colour()])
    got = by_torch(patches, DensityMaps.stack(maps))
    wanted = np.stack([apply_density_map(patch, one) for patch, one in zip(patches, maps, strict=True)])
    assert np.abs(got - wanted).max() <= 1.0
    assert np.abs(np.rint(got) - wanted).max() <= 1.0
    # The two slides are not treated alike.
    assert np.abs(wanted[0].astype(int) - wanted[1]).mean() > 5


def test_jitter_of_a_batch_equals_numpy_and_composes_after_macenko() -> None:
    rng = np.random.default_rng(0)
    alpha, beta = rng.uniform(0.8, 1.2, (2, 3)), rng.uniform(-0.05, 0.05, (2, 3))
    jitters = [hed_jitter(a, b) for a, b in zip(alpha, beta, strict=True)]
    batch = hed_maps(alpha, beta)
    for field in ("matrix", "offset", "white_in", "white_out"):
        assert np.allclose(getattr(batch, field), getattr(DensityMaps.stack(jitters), field))
    patches = np.stack([every_colour()] * 2)
    got = by_torch(patches, DensityMaps.stack(two_slides()).then(batch))
    wanted = [
        apply_density_map(patch, one.then(jitter))
        for patch, one, jitter in zip(patches, two_slides(), jitters, strict=True)
    ]
    assert np.abs(got - np.stack(wanted)).max() <= 1.0


def test_the_identity_map_changes_nothing() -> None:
    nothing = DensityMaps.stack([DensityMap(np.eye(3), np.zeros(3), 256.0, 256.0)])
    assert np.abs(by_torch(every_colour()[None], nothing) - every_colour()[None]).max() < 0.01
