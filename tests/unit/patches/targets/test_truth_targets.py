from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely
from scipy import ndimage

from qupath_her2.patches.targets.targets import (
    BACKGROUND,
    IGNORE,
    MEMBRANE,
    NUCLEUS,
    OTHER_NUCLEUS,
    TargetFrame,
    rasterise,
)
from qupath_her2.patches.targets.truth_targets import field_frame, truth_target
from qupath_her2.synthetic.field import Field, draw_field
from qupath_her2.synthetic.presets import preset


@pytest.fixture(scope="module")
def field() -> Field:
    return draw_field(replace(preset("score"), width_px=320, height_px=260, pixel_size_um=0.25, seed=5))


def test_nuclei_cells_and_ground_are_where_they_were_drawn(field: Field) -> None:
    target = truth_target(field)
    assert target.shape == field.rgb.shape[:2]
    frame = field_frame(field)
    cells = [shapely.Polygon(ring).buffer(0) for ring in field.truth.cells]
    # Half a membrane is 2 px; a little deeper no membrane but a neighbour's may reach.
    deep = rasterise([shapely.buffer(cell, -2.6) for cell in cells], frame)
    assert IGNORE not in target[deep]
    for ring in field.truth.nuclei:
        nucleus = rasterise([shapely.Polygon(ring).buffer(0)], frame)
        assert set(np.unique(target[nucleus])) <= {NUCLEUS, MEMBRANE}
    outside = ~rasterise([*cells, field.truth.tumour_region], frame)
    assert MEMBRANE not in target[outside & (ndimage.distance_transform_edt(outside) > 3)]
    shares = np.bincount(target.ravel(), minlength=256) / target.size
    assert 0.1 < shares[MEMBRANE] < 0.3
    assert 0.1 < shares[NUCLEUS] < 0.4
    assert shares[IGNORE] < 0.12


def test_a_cell_that_nobody_outlined_is_not_background(field: Field) -> None:
    """Take a cell away from the edge out of the truth, as if the picture had cut it."""
    truth = field.truth
    middle = np.array([field.settings.width_px, field.settings.height_px]) / 2
    i = int(np.argmin(np.hypot(*(truth.centroid_xy - middle).T)))
    rest = [k for k in range(len(truth)) if k != i]
    less = replace(
        truth,
        cells=[truth.cells[k] for k in rest],
        nuclei=[truth.nuclei[k] for k in rest],
        other_nuclei=[*truth.other_nuclei, truth.nuclei[i]],
        other_kinds=(*truth.other_kinds, "border"),
    )
    frame = field_frame(field)
    target = truth_target(replace(field, truth=less))
    others = rasterise([shapely.Polygon(truth.cells[k]).buffer(0) for k in rest], frame)
    body = rasterise([shapely.Polygon(truth.cells[i]).buffer(-3)], frame) & ~others
    body &= ~rasterise([shapely.Polygon(truth.nuclei[i]).buffer(1)], frame)
    assert body.sum() > 100
    assert np.mean(target[body] == BACKGROUND) < 0.05
    nucleus = rasterise([shapely.Polygon(truth.nuclei[i]).buffer(-1)], frame)
    assert np.mean(target[nucleus] == NUCLEUS) > 0.9


def test_nuclei_of_other_cells_are_a_class_of_their_own_where_asked_for(field: Field) -> None:
    together, apart = truth_target(field), truth_target(field, tells_tumour=True)
    other = apart == OTHER_NUCLEUS
    assert other.sum() > 500
    assert (together[other] == NUCLEUS).all()
    assert np.array_equal(apart[~other], together[~other])
    kinds = np.array(field.truth.other_kinds)
    rings = [shapely.Polygon(ring).buffer(0) for ring in field.truth.other_nuclei]
    lymphocytes, cut = (
        rasterise([rings[k] for k in np.flatnonzero(kinds == kind)], field_frame(field))
        for kind in ("lymphocyte", "border")
    )
    assert cut.sum() > 500
    assert not other[cut & ~lymphocytes].any()
    assert set(np.unique(apart[lymphocytes])) <= {OTHER_NUCLEUS, NUCLEUS, MEMBRANE}


@pytest.mark.parametrize("tells_tumour", [False, True])
def test_cells_of_benign_ducts_are_unknown(field: Field, tells_tumour: bool) -> None:
    """Some lymphocytes are called cells of a duct."""
    truth = field.truth
    chosen = [k for k, kind in enumerate(truth.other_kinds) if kind == "lymphocyte"][:5]
    kinds = tuple("duct" if k in chosen else kind for k, kind in enumerate(truth.other_kinds))
    frame, drawn = field_frame(field), replace(field, truth=replace(truth, other_kinds=kinds))
    ducts = rasterise([shapely.Polygon(truth.other_nuclei[k]).buffer(4) for k in chosen], frame)
    rest = [
        *truth.cells,
        *truth.nuclei,
        *(r for r, kind in zip(truth.other_nuclei, kinds, strict=True) if kind != "duct"),
    ]
    near = rasterise([shapely.Polygon(ring).buffer(3) for ring in rest], frame)
    target = truth_target(drawn, tells_tumour=tells_tumour)
    assert (ducts & ~near).sum() > 100
    assert (target[ducts & ~near] == IGNORE).all()


def test_windows_and_scales_of_the_same_truth(field: Field) -> None:
    whole = truth_target(field)
    part = truth_target(field, TargetFrame(60, 40, 200, 150, 0.25))
    known = (part != IGNORE) & (whole[40:190, 60:260] != IGNORE)
    assert known.mean() > 0.9
    assert np.array_equal(part[known], whole[40:190, 60:260][known])
    coarse = truth_target(field, TargetFrame(0, 0, 160, 130, 0.5, 2.0))
    # Of two by two pixels the coarse one's centre is the common corner.
    same = np.mean([coarse == whole[i::2, j::2] for i in (0, 1) for j in (0, 1)])
    assert same > 0.9


def test_the_area_beyond_the_field_is_unknown(field: Field) -> None:
    target = truth_target(field, TargetFrame(-20, -10, 360, 300, 0.25))
    drawn = np.zeros((300, 360), bool)
    drawn[10:270, 20:340] = True
    assert (target[~drawn] == IGNORE).all()
    assert np.mean(target[drawn] == IGNORE) < 0.12
