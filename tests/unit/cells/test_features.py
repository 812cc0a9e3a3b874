from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from qupath_her2.cells.features import FEATURE_NAMES, cell_features
from qupath_her2.cells.outlines import NO_NEIGHBOUR
from qupath_her2.cells.sectors import Sectors

N = 7


def sectors_of(seed: int = 0, **known: np.ndarray) -> Sectors:
    """Readings that a cell could have, of which some are known."""
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
    return Sectors(**{name: np.asarray(v, np.float32) for name, v in {**drawn, **known}.items()})


def row(sectors: Sectors, neighbour: np.ndarray | None = None, radii_um: np.ndarray | None = None) -> dict:
    """The features of all cells by name, float32 (N) each."""
    n = len(sectors.peak_od)
    alone = np.full((n, 36), NO_NEIGHBOUR, np.int32)
    found = cell_features(
        sectors,
        alone if neighbour is None else neighbour,
        np.full((n, 36), 6, np.float32) if radii_um is None else radii_um,
    )
    assert found.shape == (n, len(FEATURE_NAMES))
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    return dict(zip(FEATURE_NAMES, found.T, strict=True))


def test_names_are_unique() -> None:
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES)


@pytest.mark.parametrize("turn", [1, 9, 18, 35])
def test_turning_a_cell_changes_nothing(turn: int) -> None:
    sectors = sectors_of(1)
    rng = np.random.default_rng(2)
    neighbour = rng.integers(-1, N, (N, 36)).astype(np.int32)
    radii = rng.uniform(4, 8, (N, 36)).astype(np.float32)

    def rolled(values: np.ndarray) -> np.ndarray:
        return np.roll(values, turn, axis=1)

    turned = Sectors(*(rolled(getattr(sectors, f.name)) for f in fields(Sectors)))
    here = cell_features(sectors, neighbour, radii)
    assert cell_features(turned, rolled(neighbour), rolled(radii)) == pytest.approx(here, abs=1e-5)


def test_the_order_of_cells_changes_nothing() -> None:
    sectors = sectors_of(3)
    order = np.random.default_rng(3).permutation(N)
    place = np.argsort(order)
    neighbour = np.random.default_rng(4).integers(-1, N, (N, 36)).astype(np.int32)
    shuffled = Sectors(*(getattr(sectors, f.name)[order] for f in fields(Sectors)))
    renamed = np.where(neighbour < 0, -1, place[neighbour])[order].astype(np.int32)
    radii = np.full((N, 36), 6, np.float32)
    here = cell_features(sectors, neighbour, radii)
    assert (cell_features(shuffled, renamed, radii) == here[order]).all()


def test_share_and_runs_round_the_circle() -> None:
    step = np.zeros((1, 36))
    # 9 stained sectors across angle zero, 3 more, gaps of 12 and 12.
    step[0, [32, 33, 34, 35, 0, 1, 2, 3, 4, 17, 18, 19]] = 0.3
    found = row(sectors_of(peak_od=step, inner_od=np.zeros((1, 36))))
    assert found["share over 0.2"][0] == pytest.approx(12 / 36)
    assert found["longest run over 0.2"][0] == pytest.approx(9 / 36)
    assert found["longest gap over 0.2"][0] == pytest.approx(12 / 36)


@pytest.mark.parametrize(("level", "run", "gap"), [(0.3, 1.0, 0.0), (0.0, 0.0, 1.0)])
def test_all_or_nothing(level: float, run: float, gap: float) -> None:
    found = row(sectors_of(peak_od=np.full((1, 36), level), inner_od=np.zeros((1, 36))))
    assert (found["longest run over 0.05"][0], found["longest gap over 0.05"][0]) == (run, gap)


def test_stain_facing_a_stained_neighbour_is_explained_by_it() -> None:
    """Cell 0 is stained on the half that faces cell 1, which is stained all round."""
    facing = np.arange(36) < 18
    step = np.stack([np.where(facing, 0.4, 0.0), np.full(36, 0.4)])
    neighbour = np.stack([np.where(facing, 1, NO_NEIGHBOUR), np.full(36, NO_NEIGHBOUR)]).astype(np.int32)
    found = row(sectors_of(peak_od=step, inner_od=np.zeros((2, 36))), neighbour)
    assert found["own step p80"][0] == pytest.approx(0)
    assert found["own step p80"][1] == pytest.approx(0.4)
    assert found["neighbour share"].tolist() == [0.5, 0.0]
    assert found["neighbour step"][0] == pytest.approx(0.2)
    assert found["clean share"].tolist() == [0.5, 1.0]
    assert found["clean share over 0.05"].tolist() == [0.0, 1.0]
    assert found["clean step mean"] == pytest.approx([0.0, 0.4])


def test_what_lies_inside_a_cell_is_not_looked_at() -> None:
    """Drawn cytoplasm follows the own membrane and real cytoplasm does not: trees must not see it."""
    nothing = np.full((N, 36), np.nan)
    here = row(sectors_of(5))
    there = row(sectors_of(5, nucleus_od=nothing, cytoplasm_od=nothing))
    assert all((here[name] == there[name]).all() for name in FEATURE_NAMES)


def test_a_cell_without_widths_is_described_as_well() -> None:
    found = row(sectors_of(width_um=np.full((2, 36), np.nan)))
    assert found["width p50"].tolist() == [0, 0]


def test_radii_and_quantiles() -> None:
    radii = np.tile(np.array([4, 8], np.float32), 18)[None]
    peak = np.linspace(0, 0.35, 36)[None]
    found = row(sectors_of(peak_od=peak, inner_od=np.zeros((1, 36))), radii_um=radii)
    assert found["mean radius um"][0] == pytest.approx(6)
    assert found["radius variation"][0] == pytest.approx(2 / 6)
    for q in (5, 20, 35, 50, 65, 80, 95):
        # Nearest rank: at most half a rank off.
        assert found[f"step p{q}"][0] == pytest.approx(q / 100 * 0.35, abs=0.0051)


def test_no_cells() -> None:
    none = Sectors(*np.zeros((8, 0, 36), np.float32))
    assert cell_features(none, np.zeros((0, 36), np.int32), np.zeros((0, 36), np.float32)).shape[0] == 0
