from __future__ import annotations

from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
import shapely

from qupath_her2.synthetic.cells import class_of
from qupath_her2.synthetic.field import Field, draw_field
from qupath_her2.synthetic.layout import AREAS
from qupath_her2.synthetic.settings import FieldSettings
from qupath_her2.synthetic.tissue import TissueSettings

#: Everything off but the membranes: what is left can be inverted exactly.
BARE = FieldSettings(
    width_px=256, height_px=256, pixel_size_um=0.25, seed=4, shares=(0, 0, 1, 0), n_target=1, overlap=0,
    haematoxylin_od=(0, 0), cytoplasm_fraction=0, tangential=0, diffuse_dab_od=(0, 0), background_od=0,
    granularity=0, stroma=0, lymphocytes=0, red_cells=0, collagen=0, out_of_focus=0,
    lumens=0, stain_jitter=0, psf_um=0, glare=0, sharpening=0, noise=0, jpeg_quality=None, faint_complete=0,
    lateral=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def field() -> Field:
    return draw_field(FieldSettings(width_px=300, height_px=260, seed=2, stroma=0.15))


def dab_od(drawn: Field) -> np.ndarray:
    """Plain two-stain inversion of a picture without blur or noise, float (H, W)."""
    settings = drawn.settings
    stains = np.array([settings.haematoxylin_vector, settings.dab_vector])
    stains /= np.linalg.norm(stains, axis=1, keepdims=True)
    od = -np.log10(np.maximum(drawn.rgb, 1) / np.array(settings.white))
    return (od @ np.linalg.pinv(stains))[..., 1]


def by_angle(drawn: Field) -> np.ndarray:
    """Highest DAB OD on each of 360 rays from the only cell's middle, walked by hand."""
    od = dab_od(drawn)
    middle = shapely.Polygon(drawn.truth.cells[0]).centroid
    angle = np.deg2rad(np.arange(360) + 0.5)[:, None]
    radius = np.arange(0, 60, 0.25)[None]
    x = np.clip((middle.x + radius * np.cos(angle)).astype(int), 0, 255)
    y = np.clip((middle.y + radius * np.sin(angle)).astype(int), 0, 255)
    return od[y, x].max(axis=1)


@pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.8])
def test_true_completeness_matches_the_image(share: float) -> None:
    settings = replace(BARE, shares=(0, 1, 0, 0), incomplete_share=(share, share), faint_od=(0.4, 0.4))
    drawn = draw_field(settings)
    assert drawn.truth.completeness[0] == pytest.approx(share, abs=0.003)
    assert (by_angle(drawn) > 0.2).mean() == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize("od", [0.1, 0.3, 0.9])
def test_od_of_a_flat_membrane_comes_back(od: float) -> None:
    settings = replace(BARE, complete_share=(1, 1), moderate_od=(od, od), width_2_um=(2.2, 0))
    drawn = draw_field(settings)
    assert drawn.truth.completeness[0] == 1
    assert drawn.truth.membrane_od[0] == pytest.approx(od)
    assert np.median(by_angle(drawn)) == pytest.approx(od, rel=0.04, abs=0.006)


def test_width_is_the_full_width_at_half_maximum() -> None:
    settings = replace(BARE, complete_share=(1, 1), moderate_od=(0.3, 0.3), width_2_um=(1.5, 0))
    od = dab_od(drawn := draw_field(settings))
    outline = shapely.Polygon(drawn.truth.cells[0]).exterior
    # The area above half the peak, spread along the border, is the mean width.
    width_um = (od > 0.15).sum() * 0.25**2 / (outline.length * 0.25)
    assert width_um == pytest.approx(drawn.truth.width_um[0], rel=0.15)


def test_stain_scale_scales_truth_and_picture() -> None:
    full = replace(BARE, complete_share=(1, 1), moderate_od=(0.4, 0.4), width_2_um=(2.2, 0))
    one, half = draw_field(full), draw_field(replace(full, stain_scale=0.5))
    assert half.truth.membrane_od[0] == pytest.approx(one.truth.membrane_od[0] / 2)
    assert dab_od(half).sum() == pytest.approx(dab_od(one).sum() / 2, rel=0.05)


def test_border_stained_from_both_sides_holds_more_but_not_twice() -> None:
    settings = replace(BARE, n_target=30, complete_share=(1, 1), moderate_od=(0.3, 0.3), width_2_um=(1.0, 0))
    both, added = (dab_od(draw_field(replace(settings, contact=how))) for how in ("quadrature", "sum"))
    # 30 cells share most of their borders: 1.41 against 2 where they do, equal where they do not.
    assert 1.1 < added.sum() / both.sum() < 1.42
    assert np.percentile(added - both, 1) > -0.02


def test_same_settings_same_bytes_other_seed_other_tissue(field: Field) -> None:
    again = draw_field(field.settings)
    assert np.array_equal(again.rgb, field.rgb)
    for one in fields(field.truth):
        if one.name != "tumour_region":
            for a, b in zip(getattr(again.truth, one.name), getattr(field.truth, one.name), strict=True):
                assert np.array_equal(a, b), one.name
    assert not np.array_equal(draw_field(replace(field.settings, seed=3)).rgb, field.rgb)


def test_same_tissue_at_both_scales(field: Field) -> None:
    fine = draw_field(replace(field.settings, width_px=600, height_px=520, pixel_size_um=0.25))
    assert np.allclose(fine.truth.centroid_xy, 2 * field.truth.centroid_xy, atol=1e-3)
    for name in ("cell_class", "completeness", "membrane_od", "width_um"):
        assert np.array_equal(getattr(fine.truth, name), getattr(field.truth, name)), name
    assert fine.truth.tumour_region.area == pytest.approx(4 * field.truth.tumour_region.area, rel=0.01)
    shrunk = cv2.resize(fine.rgb, (300, 260), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(shrunk.ravel(), field.rgb.ravel())[0, 1] > 0.97


@pytest.mark.parametrize("shares", [(0.4, 0.3, 0.2, 0.1), (0, 0, 0, 1), (0.88, 0.12, 0, 0), (0.25,) * 4])
def test_shares_equal_the_settings_to_the_nearest_cell(shares: tuple[float, ...]) -> None:
    truth = draw_field(FieldSettings(width_px=160, height_px=160, seed=9, shares=shares)).truth
    assert len(truth) > 20
    assert np.abs(np.array(truth.class_shares) - shares).max() <= 1 / len(truth)


def test_truth_of_a_cell_is_consistent(field: Field) -> None:
    truth, settings = field.truth, field.settings
    assert np.array_equal(class_of(truth.intensity, truth.pattern), truth.cell_class)
    bare = truth.cell_class == 0
    assert not truth.membrane_od[bare].any()
    assert not truth.completeness[bare].any()
    assert (truth.membrane_od[~bare] > 0.09).all()
    complete = truth.pattern == 3
    assert truth.completeness[complete].min() >= settings.complete_share[0] - 0.003
    assert truth.completeness[(truth.pattern > 0) & ~complete].max() <= settings.incomplete_share[1] + 0.003
    for code, span in enumerate((settings.faint_od, settings.moderate_od, settings.intense_od), start=1):
        od = truth.membrane_od[truth.intensity == code]
        assert ((od >= span[0] - 1e-6) & (od <= span[1] + 1e-6)).all()


def test_geometry_of_the_truth(field: Field) -> None:
    truth = field.truth
    cells, nuclei = ([shapely.Polygon(ring) for ring in rings] for rings in (truth.cells, truth.nuclei))
    assert all(one.is_valid for one in nuclei)
    assert np.mean([one.is_valid for one in cells]) > 0.99
    assert all(one.buffer(0.5).contains(inner) for one, inner in zip(cells, nuclei, strict=True))
    centres = shapely.points(truth.centroid_xy)
    assert all(inner.contains(point) for inner, point in zip(nuclei, centres, strict=True))
    assert truth.tumour_region.is_valid
    assert shapely.contains(truth.tumour_region.buffer(1), centres).mean() > 0.99
    assert shapely.box(0, 0, 300, 260).buffer(1e-6).contains(truth.tumour_region)
    area_um2 = np.array([one.area for one in cells]) * 0.25
    assert 90 < np.median(area_um2) < 180


def test_other_nuclei_are_listed_with_their_kind(field: Field) -> None:
    truth = field.truth
    assert len(truth.other_nuclei) == len(truth.other_kinds)
    assert {"stroma", "lymphocyte", "border"} == set(truth.other_kinds)
    frame = shapely.box(0, 0, 300, 260)
    border = [r for r, k in zip(truth.other_nuclei, truth.other_kinds, strict=True) if k == "border"]
    assert all(shapely.Polygon(ring).intersects(frame) for ring in border)
    assert not any(frame.contains(shapely.Polygon(ring)) for ring in border)


def test_nuclei_have_the_od_of_their_truth() -> None:
    bare = replace(BARE, n_target=None, shares=(1, 0, 0, 0), haematoxylin_od=(0.06, 0.15))
    drawn = draw_field(bare)
    vector = np.array(bare.haematoxylin_vector) / np.linalg.norm(bare.haematoxylin_vector)
    od = -np.log10(np.maximum(drawn.rgb, 1) / np.array(bare.white)) @ vector
    seen = []
    for ring in drawn.truth.nuclei:
        mask = cv2.fillPoly(np.zeros(od.shape, np.uint8), [np.rint(ring - 0.5).astype(np.int32)], 1)
        seen.append(od[mask > 0].mean())
    assert np.corrcoef(seen, drawn.truth.haematoxylin_od)[0, 1] > 0.7
    assert np.mean(seen) == pytest.approx(drawn.truth.haematoxylin_od.mean(), rel=0.3)


#: Whole tissue with every structure.
WHOLE = FieldSettings(
    width_px=600, height_px=560, seed=11, gland=0.5,
    tissue=TissueSettings(
        architectures=("solid", "glandular"), in_situ=0.2, benign=1.0, fat=0.1, vessels=1.0, clefts=0.4,
        aggregates=0.3, debris=0.3, wrinkles=0.2, immune_stain="rings",
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def whole() -> Field:
    return draw_field(WHOLE)


def test_whole_tissue_is_drawn_alike_twice_and_at_both_scales(whole: Field) -> None:
    again = draw_field(WHOLE)
    assert np.array_equal(again.rgb, whole.rgb)
    assert np.array_equal(again.truth.areas, whole.truth.areas)
    assert again.truth.other_kinds == whole.truth.other_kinds
    fine = draw_field(replace(WHOLE, width_px=1200, height_px=1120, pixel_size_um=0.25))
    assert np.allclose(fine.truth.centroid_xy, 2 * whole.truth.centroid_xy, atol=1e-3)
    assert fine.truth.cell_kinds == whole.truth.cell_kinds
    assert np.array_equal(fine.truth.areas[1::2, 1::2], whole.truth.areas)
    shrunk = cv2.resize(fine.rgb, (600, 560), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(shrunk.ravel(), whole.rgb.ravel())[0, 1] > 0.95


def test_truth_of_whole_tissue_names_every_nucleus_and_area(whole: Field) -> None:
    truth = whole.truth
    assert len(truth.cell_kinds) == len(truth)
    assert set(truth.cell_kinds) == {"invasive", "in situ"}
    assert {"stroma", "lymphocyte", "duct", "endothelium", "border"} <= set(truth.other_kinds)
    names = {AREAS[code] for code in np.unique(truth.areas)}
    assert {"glass", "stroma", "tumour", "fat", "benign"} <= names
    assert truth.areas.shape == whole.rgb.shape[:2]
    tumour = truth.areas == AREAS.index("tumour")
    mask = np.zeros(tumour.shape, np.uint8)
    for part in shapely.get_parts(truth.tumour_region):
        cv2.fillPoly(mask, [np.rint(np.array(part.exterior.coords) - 0.5).astype(np.int32)], 1)
        for hole in part.interiors:
            cv2.fillPoly(mask, [np.rint(np.array(hole.coords) - 0.5).astype(np.int32)], 0)
    assert 2 * (mask[tumour].sum()) / (mask.sum() + tumour.sum()) > 0.95
    at = np.minimum(truth.centroid_xy.astype(int), np.array(tumour.shape[::-1]) - 1)
    assert (truth.areas[at[:, 1], at[:, 0]] == AREAS.index("tumour")).mean() > 0.95


def test_areas_and_kinds_of_a_field_of_nests(field: Field) -> None:
    assert set(np.unique(field.truth.areas)) <= {
        AREAS.index(n) for n in ("glass", "stroma", "tumour", "lumen")
    }
    assert set(field.truth.cell_kinds) == {"invasive"}


def test_stained_lymphocytes_are_no_tumour_cells(whole: Field) -> None:
    assert whole.settings.tissue is not None
    bare = draw_field(replace(WHOLE, tissue=replace(whole.settings.tissue, immune_stain="none")))
    assert np.array_equal(bare.truth.membrane_od, whole.truth.membrane_od)
    assert not np.array_equal(bare.rgb, whole.rgb)
