"""Search for tumour: which cells are kept, what proposals look like, and when nothing was found."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest
import shapely

from qupath_her2.cells.tile_cells import TileCells
from qupath_her2.cells.tumour.proposals import ProposalSettings
from qupath_her2.cells.tumour.search import FindTumourSettings, search_tumour, without_tumour
from qupath_her2.cells.tumour.surroundings import FEATURE_NAMES
from qupath_her2.errors import SettingsError
from qupath_her2.provenance import is_made_region
from qupath_her2.records import Box, Region
from qupath_her2.runs.whole_tissue import whole_tissue_uuid
from tests.helpers.fake_finder import tumour_left_of

IMAGE = Box(0, 0, 600, 400)
UM_PX = 0.5
#: Pixels left of which the fake finder sees tumour.
LIMIT = 300.0


def grid_of_cells(tile_cells, *, step: float = 20.0) -> TileCells:
    """Cells with round outlines that fill the image."""
    x, y = np.meshgrid(np.arange(step / 2, IMAGE.width, step), np.arange(step / 2, IMAGE.height, step))
    centres = np.stack([x.ravel(), y.ravel()], 1)
    angle = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    circle = 0.5 * step * np.stack([np.cos(angle), np.sin(angle)], 1)
    cells = tile_cells(5, len(centres))
    tissue = np.ones((len(centres), len(FEATURE_NAMES)), np.float32)
    outlines = (centres[:, None] + circle).astype(np.float32)
    return replace(cells, centre_xy=centres, counted_xy=centres, cell_xy=outlines, tissue=tissue)


def drawn(shape: shapely.Polygon, role: str, number: int = 1) -> Region:
    return Region(UUID(int=number), shape, role, role)  # type: ignore[arg-type]


def search(cells: TileCells, *others: Region, **changes: float):
    tissue = drawn(shapely.box(*IMAGE[:2], *IMAGE[2:]), "tumour")
    tissue = replace(tissue, uuid=whole_tissue_uuid("ab" * 32), class_name=None)
    return search_tumour(cells, [tissue, *others], IMAGE, UM_PX, ProposalSettings(**changes))


@pytest.fixture
def cells(tile_cells, monkeypatch: pytest.MonkeyPatch) -> TileCells:
    tumour_left_of(monkeypatch, LIMIT * UM_PX)
    return grid_of_cells(tile_cells)


def test_only_cells_in_proposals_are_kept(cells: TileCells) -> None:
    found = search(cells)
    assert found.refusal is None
    (region,) = found.regions.scored
    assert (region.class_name, region.role, region.name) == ("Tumor?", "tumour", "Proposed tumour 1")
    assert is_made_region(region)
    assert len(found.cells) == (cells.centre_xy[:, 0] < LIMIT).sum()
    assert (found.cells.centre_xy[:, 0] < LIMIT).all()
    assert (found.cells.region == 0).all()
    assert found.cells.tumour_probability == pytest.approx(0.9)
    assert shapely.covers(shapely.box(0, 0, IMAGE.width, IMAGE.height), region.geometry)


def test_cells_are_counted_by_the_centroid_of_their_outline(cells: TileCells) -> None:
    """As in drawn regions, and as QuPath counts: the nucleus of a cell at the edge may lie beyond it."""
    (region,) = search(cells).regions.scored
    edge = region.geometry.bounds[2]
    row = int(np.abs(cells.centre_xy - (LIMIT - 10, 200)).sum(1).argmin())
    xy = cells.counted_xy.copy()
    xy[row] = (edge + 5, xy[row, 1])
    found = search(replace(cells, counted_xy=xy))
    assert [r.geometry for r in found.regions.scored] == [region.geometry]
    assert len(found.cells) == (cells.centre_xy[:, 0] < LIMIT).sum() - 1
    assert not (found.cells.centre_xy == cells.centre_xy[row]).all(1).any()


def test_features_are_dropped_once_they_are_used(cells: TileCells) -> None:
    assert search(cells).cells.tissue.shape == (len(search(cells).cells), 0)


def test_drawn_tissue_is_cut_out_of_proposals(cells: TileCells) -> None:
    """A band of carcinoma in situ through the middle leaves two proposals, and no cell of its own."""
    band = drawn(shapely.box(0, 150, 600, 250), "in_situ")
    found = search(cells, band)
    assert len(found.regions.scored) == 2
    for region in found.regions.scored:
        assert region.geometry.intersection(band.geometry).area == pytest.approx(0, abs=1e-6)
    y = found.cells.centre_xy[:, 1]
    assert not ((y > 150) & (y < 250)).any()
    expected = {0: y < 150, 1: y > 250}
    for number, inside in expected.items():
        assert (found.cells.region[inside] == number).all()


def test_tma_cores_stay_and_keep_only_tumour_cells(cells: TileCells) -> None:
    cores = [
        drawn(shapely.box(0, 0, 600, 190), "tumour", 7),
        drawn(shapely.box(0, 210, 600, 400), "tumour", 8),
    ]
    of_core = (cells.centre_xy[:, 1] > 200).astype(np.int32)
    found = search_tumour(replace(cells, region=of_core), cores, IMAGE, UM_PX, ProposalSettings())
    assert [region.uuid.int for region in found.regions.scored] == [7, 8]
    assert [region.geometry for region in found.regions.scored] == [core.geometry for core in cores]
    is_left = cells.centre_xy[:, 0] < LIMIT
    assert (found.cells.centre_xy == cells.centre_xy[is_left]).all()
    assert (found.cells.region == of_core[is_left]).all()
    assert [region.class_name for region in found.proposed] == ["Tumor?"]


def test_a_class_without_a_role_cuts_nothing(cells: TileCells) -> None:
    other = drawn(shapely.box(0, 150, 600, 250), "other")
    assert len(search(cells, other).regions.scored) == 1
    assert without_tumour([other, drawn(shapely.box(0, 0, 1, 1), "tumour")]) == []


def test_bits_that_become_too_small_are_dropped(cells: TileCells) -> None:
    """Ignored but for a strip of 20 px: 10 by 150 µm of tumour, with a row of cells."""
    rest = drawn(shapely.box(0, 0, 600, 380), "ignore")
    assert search(cells, rest, min_area_um2=1000.0).refusal is None
    found = search(cells, rest, min_area_um2=2000.0)
    assert found.refusal is not None
    assert len(found.cells) == 0


def test_nothing_found_is_a_refusal_that_names_the_limits(
    tile_cells, monkeypatch: pytest.MonkeyPatch
) -> None:
    tumour_left_of(monkeypatch, -1)
    cells = grid_of_cells(tile_cells)
    found = search(cells, min_cells=7, min_area_um2=1234)
    assert len(found.cells) == 0
    assert found.regions.scored == ()
    assert found.refusal is not None
    assert found.refusal.code == "no_tumour_found"
    for words in (
        f"of {len(cells):,} cells 0 look",
        "needs 7 of them together on 1234 µm²",
        "set its class to Tumor",
    ):
        assert words in found.refusal.reason


def test_no_cells_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    found = search(replace(TileCells.none(), tissue=np.zeros((0, len(FEATURE_NAMES)), np.float32)))
    assert found.refusal is not None
    assert "there are no cells" in found.refusal.reason


def test_settings_are_checked() -> None:
    with pytest.raises(SettingsError, match="is_on"):
        FindTumourSettings(is_on="yes")  # type: ignore[arg-type]
