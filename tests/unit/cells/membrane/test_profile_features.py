from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from qupath_her2.cells.membrane.outlines import NO_NEIGHBOUR
from qupath_her2.cells.membrane.profile_features import FEATURE_NAMES, profile_features
from qupath_her2.cells.membrane.radial_profiles import RadialProfiles

N = 7


def profiles_of(seed: int = 0, **known: np.ndarray) -> RadialProfiles:
    """Plausible readings of two cells, with `known` ones replaced."""
    rng = np.random.default_rng(seed)
    n = len(next(iter(known.values()))) if known else N
    inner = rng.uniform(0, 0.1, (n, 36))
    drawn = {
        "peak_od": inner + rng.uniform(0, 0.5, (n, 36)),
        "inner_od": inner,
        "outer_od": rng.uniform(0, 0.1, (n, 36)),
        "width_um": rng.uniform(0.6, 2, (n, 36)),
        "offset_um": rng.uniform(-1, 1, (n, 36)),
        "cytoplasm_od": rng.uniform(0, 0.1, (n, 36)),
        "nucleus_od": rng.uniform(0, 0.1, (n, 36)),
        "mass_od_um": rng.uniform(0, 0.5, (n, 36)),
    }
    return RadialProfiles(**{name: np.asarray(v, np.float32) for name, v in {**drawn, **known}.items()})


def features_of(
    profiles: RadialProfiles, neighbour: np.ndarray | None = None, radii_um: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """The channels of all cells by name, float16 (N, 36) each."""
    n = len(profiles.peak_od)
    alone = np.full((n, 36), NO_NEIGHBOUR, np.int32)
    radii_um = np.full((n, 36), 6, np.float32) if radii_um is None else radii_um
    found = profile_features(profiles, alone if neighbour is None else neighbour, radii_um, 0.25)
    assert found.shape == (n, 36, len(FEATURE_NAMES))
    assert found.dtype == np.float16
    assert np.isfinite(found).all()
    return {name: found[..., channel] for channel, name in enumerate(FEATURE_NAMES)}


def test_names_are_unique() -> None:
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES)


@pytest.mark.parametrize("turn", [1, 9, 18, 35])
def test_rotating_a_cell_rotates_its_features(turn: int) -> None:
    profiles = profiles_of(1)
    rng = np.random.default_rng(2)
    neighbour = rng.integers(-1, N, (N, 36)).astype(np.int32)
    radii = rng.uniform(4, 8, (N, 36)).astype(np.float32)

    def rolled(values: np.ndarray) -> np.ndarray:
        return np.roll(values, turn, axis=1)

    turned = RadialProfiles(*(rolled(getattr(profiles, f.name)) for f in fields(RadialProfiles)))
    here = profile_features(profiles, neighbour, radii, 0.5)
    assert (profile_features(turned, rolled(neighbour), rolled(radii), 0.5) == rolled(here)).all()


def test_features_do_not_depend_on_the_order_of_cells() -> None:
    profiles = profiles_of(3)
    order = np.random.default_rng(3).permutation(N)
    place = np.argsort(order)
    neighbour = np.random.default_rng(4).integers(-1, N, (N, 36)).astype(np.int32)
    shuffled = RadialProfiles(*(getattr(profiles, f.name)[order] for f in fields(RadialProfiles)))
    renamed = np.where(neighbour < 0, -1, place[neighbour])[order].astype(np.int32)
    radii = np.full((N, 36), 6, np.float32)
    here = profile_features(profiles, neighbour, radii, 0.5)
    assert (profile_features(shuffled, renamed, radii, 0.5) == here[order]).all()


def test_sector_carries_the_percentiles_of_its_neighbour() -> None:
    """Cell 0 is stained on the half that faces cell 1, which is stained all round."""
    facing = np.arange(36) < 18
    step = np.stack([np.where(facing, 0.4, 0.0), np.full(36, 0.4)])
    neighbour = np.stack([np.where(facing, 1, NO_NEIGHBOUR), np.full(36, NO_NEIGHBOUR)]).astype(np.int32)
    found = features_of(profiles_of(peak_od=step, inner_od=np.zeros((2, 36))), neighbour)
    assert found["step od"][0] == pytest.approx(np.where(facing, 0.4, 0), abs=1e-3)
    assert found["has neighbour"][0].tolist() == facing.tolist()
    for percentile in (20, 50, 80):
        beyond = found[f"neighbour step p{percentile} od"]
        assert beyond[0] == pytest.approx(np.where(facing, 0.4, 0), abs=1e-3)
        assert (beyond[1] == 0).all()


def test_percentiles_of_a_neighbour_are_those_of_its_sectors() -> None:
    peak = np.stack([np.zeros(36), np.random.default_rng(5).permutation(np.linspace(0, 0.35, 36))])
    neighbour = np.full((2, 36), NO_NEIGHBOUR, np.int32)
    neighbour[0] = 1
    found = features_of(profiles_of(peak_od=peak, inner_od=np.zeros((2, 36))), neighbour)
    for percentile in (20, 50, 80):
        # Nearest rank: at most half a rank off.
        expected = pytest.approx(percentile / 100 * 0.35, abs=0.0055)
        assert found[f"neighbour step p{percentile} od"][0, 0] == expected


def test_cytoplasm_and_nucleus_are_not_features() -> None:
    """Drawn cytoplasm follows the own membrane, real cytoplasm does not: the network must not see it."""
    nothing = np.full((N, 36), np.nan)
    here = features_of(profiles_of(5))
    there = features_of(profiles_of(5, nucleus_od=nothing, cytoplasm_od=nothing))
    assert all((here[name] == there[name]).all() for name in FEATURE_NAMES)


def test_missing_width_has_its_own_channel() -> None:
    found = features_of(profiles_of(width_um=np.full((2, 36), np.nan)))
    assert (found["width um"] == 0).all()
    assert (found["width missing"] == 1).all()


def test_no_cells() -> None:
    none = RadialProfiles(*np.zeros((8, 0, 36), np.float32))
    found = profile_features(none, np.zeros((0, 36), np.int32), np.zeros((0, 36), np.float32), 0.5)
    assert found.shape == (0, 36, len(FEATURE_NAMES))
