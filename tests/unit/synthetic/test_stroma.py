from __future__ import annotations

from dataclasses import replace

import numpy as np

from qupath_her2.synthetic.architecture import TissueLayout, lay_out_tissue
from qupath_her2.synthetic.layout import FAT, LUMEN, NECROSIS, STROMA, TUMOUR
from qupath_her2.synthetic.painting import Canvas, canvas_for
from qupath_her2.synthetic.settings import FieldSettings
from qupath_her2.synthetic.stroma import paint_tissue_ground
from qupath_her2.synthetic.surroundings import to_canvas
from qupath_her2.synthetic.tissue import TissueSettings

SETTINGS = FieldSettings(width_px=400, height_px=360, seed=3)


def painted(tissue: TissueSettings, **changes: object) -> tuple[Canvas, TissueLayout]:
    settings = replace(SETTINGS, **changes)  # type: ignore[arg-type]
    layout = lay_out_tissue(settings, tissue)
    canvas = canvas_for(settings)
    paint_tissue_ground(canvas, layout, tissue)
    return canvas, layout


def inside(canvas: Canvas, layout: TissueLayout, code: int) -> np.ndarray:
    return to_canvas(canvas, layout.region == code) > 0.99


def test_dense_collagen_covers_more_than_loose_stroma() -> None:
    shares = []
    for collagen in (0.1, 0.5, 1.0):
        canvas, layout = painted(TissueSettings(tumour=0.1, collagen=collagen, refraction=0.0))
        stroma = inside(canvas, layout, STROMA)
        shares.append((canvas.haematoxylin[stroma] > 0.3 * 0.65 * 0.08).mean())
    assert shares[0] < 0.6
    assert shares[0] + 0.1 < shares[1] < shares[2]
    assert shares[2] > 0.85


def test_brown_share_and_refraction_do_what_they_say() -> None:
    plain, layout = painted(TissueSettings(stroma_dab=0.0, refraction=0.0, vessels=0.0))
    brown, _ = painted(TissueSettings(stroma_dab=0.5, refraction=1.0, vessels=0.0))
    stroma = inside(plain, layout, STROMA)
    assert plain.dab[stroma].max() == 0
    assert brown.dab[stroma].mean() > 0.01
    assert plain.grey[stroma].min() >= 0
    assert (brown.grey[stroma] < 0).mean() > 0.05
    tumour = inside(plain, layout, TUMOUR)
    assert abs(plain.haematoxylin[tumour].mean() / brown.haematoxylin[tumour].mean() - 1) < 0.02


def test_fat_is_empty_but_for_its_walls() -> None:
    canvas, layout = painted(TissueSettings(tumour=0.1, fat=0.6))
    wall = to_canvas(canvas, np.minimum(layout.fat.wall_um, 20))
    fat = inside(canvas, layout, FAT)
    assert canvas.haematoxylin[fat & (wall > 4)].mean() < 0.002
    assert canvas.haematoxylin[fat & (wall < 0.25)].mean() > 0.01


def test_secretion_and_necrosis_are_brown_as_asked() -> None:
    tissue = TissueSettings(
        tumour=0.0,
        in_situ=0.4,
        benign=1.0,
        vessels=0.0,
        secretion_dab_od=(0.5, 0.5),
        necrosis_dab_od=(0.2, 0.2),
    )
    size = {"width_px": 1000, "height_px": 1000}
    canvas, layout = painted(tissue, **size)
    lumen, dead = inside(canvas, layout, LUMEN), inside(canvas, layout, NECROSIS)
    # A third of the lumens, by number.
    assert 0.02 < (canvas.dab[lumen] > 0.2).mean() < 0.9
    assert 0.1 < canvas.dab[dead].mean() < 0.3
    bare, _ = painted(replace(tissue, secretion_dab_od=(0, 0), necrosis_dab_od=(0, 0)), **size)
    assert bare.dab[lumen].max() == 0


def test_h_and_e_tissue_holds_eosin() -> None:
    canvas, layout = painted(TissueSettings(), palette="H&E")
    assert canvas.eosin[inside(canvas, layout, STROMA)].mean() > 0.05
