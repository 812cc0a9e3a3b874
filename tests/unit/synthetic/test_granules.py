from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qupath_her2.synthetic.architecture import lay_out_tissue
from qupath_her2.synthetic.bystanders import tissue_nuclei
from qupath_her2.synthetic.cells import plan_cells
from qupath_her2.synthetic.granules import immune_membranes, paint_grains, paint_immune_stain
from qupath_her2.synthetic.layout import lay_out
from qupath_her2.synthetic.painting import PAD_UM, canvas_for, paint_membranes
from qupath_her2.synthetic.settings import FieldSettings
from qupath_her2.synthetic.tissue import TissueSettings

SETTINGS = FieldSettings(width_px=240, height_px=240, seed=5, shares=(0, 1, 0, 0))


def test_a_ring_lies_outside_its_nucleus_with_its_od() -> None:
    angle = np.arange(48) * np.pi / 24
    nucleus = 30 + 3 * np.stack([np.cos(angle), np.sin(angle)], 1)
    (ring,) = immune_membranes(np.random.default_rng(1), [nucleus], np.array([0.8]))
    away = np.hypot(*(ring.path_um - 30).T)
    assert 3.5 < away.min() <= away.max() < 4.1
    assert ring.od.mean() == pytest.approx(0.8, rel=0.02)


def test_grains_lie_at_stained_membranes_and_follow_their_amount() -> None:
    plan = plan_cells(SETTINGS, lay_out(SETTINGS))
    none, some, many = (canvas_for(replace(SETTINGS, granules=amount)) for amount in (0.0, 0.3, 1.0))
    for canvas in (none, some, many):
        paint_grains(canvas, plan)
    assert not none.dab.any()
    assert many.dab.sum() > 2 * some.dab.sum() > 0
    line = canvas_for(replace(SETTINGS, granularity=0.0))
    paint_membranes(line, plan.membranes)
    # Nine tenths of the grains' stain lies where the ridge still has a trace of its own.
    assert many.dab[line.dab > 0.005].sum() > 0.75 * many.dab.sum()


@pytest.mark.parametrize("kind", ["rings", "granules"])
def test_immune_stain_lies_round_lymphocytes(kind: str) -> None:
    tissue = TissueSettings(
        tumour=0.0,
        aggregates=0.5,
        fibroblasts=0.0,
        vessels=0.0,
        immune_stain=kind,
        immune_share=1.0,  # type: ignore[arg-type]
    )
    others = tissue_nuclei(SETTINGS, tissue, lay_out_tissue(SETTINGS, tissue))
    canvas = canvas_for(SETTINGS)
    paint_immune_stain(canvas, tissue, others)
    rows, columns = np.indices(canvas.dab.shape)
    xy = np.stack([columns, rows], -1).reshape(-1, 2) * canvas.grid_um - PAD_UM
    cells = np.array([ring.mean(0) for ring in others.nuclei])
    stained = canvas.dab.ravel() > 0.05
    assert stained.any()
    nearest = np.min([np.hypot(*(xy[stained] - cell).T) for cell in cells], axis=0)
    assert nearest.max() < 8
    bare = canvas_for(SETTINGS)
    paint_immune_stain(bare, replace(tissue, immune_share=0.0), others)
    paint_immune_stain(bare, replace(tissue, immune_stain="none"), others)
    assert not bare.dab.any()
