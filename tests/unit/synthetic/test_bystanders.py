from __future__ import annotations

import numpy as np
import pytest
import shapely

from qupath_her2.synthetic.architecture import TissueLayout, lay_out_tissue
from qupath_her2.synthetic.bystanders import tissue_nuclei
from qupath_her2.synthetic.layout import BENIGN, FAT, LAYOUT_UM, NECROSIS, STROMA
from qupath_her2.synthetic.noise import sample
from qupath_her2.synthetic.settings import FieldSettings
from qupath_her2.synthetic.surroundings import OtherNuclei
from qupath_her2.synthetic.tissue import TissueSettings

SETTINGS = FieldSettings(width_px=1000, height_px=900, seed=12)
TISSUE = TissueSettings(
    tumour=0.2, in_situ=0.8, benign=1.0, fat=0.2, vessels=1.0, aggregates=0.5, scatter=0.4, fibroblasts=1.0
)


@pytest.fixture(scope="module")
def drawn() -> tuple[TissueLayout, OtherNuclei]:
    layout = lay_out_tissue(SETTINGS, TISSUE)
    return layout, tissue_nuclei(SETTINGS, TISSUE, layout)


def centres(others: OtherNuclei, kind: str) -> np.ndarray:
    return np.array([r.mean(0) for r, k in zip(others.nuclei, others.kinds, strict=True) if k == kind])


def test_every_kind_lies_in_its_place(drawn: tuple[TissueLayout, OtherNuclei]) -> None:
    layout, others = drawn
    for kind, code in (
        ("stroma", STROMA),
        ("necrosis", NECROSIS),
        ("myoepithelium", BENIGN),
        ("adipocyte", FAT),
    ):
        xy = centres(others, kind)
        assert len(xy) > 3, kind
        # Flat nuclei lie at the very edge: a few round to the sample beyond it.
        assert (sample(layout.region.astype(np.float32), xy, LAYOUT_UM) == code).mean() > 0.8, kind
    vessels = shapely.union_all([shapely.Polygon(ring).exterior for ring in layout.vessels])
    endothelium = shapely.points(centres(others, "endothelium"))
    assert len(endothelium) > 10
    assert np.median(shapely.distance(endothelium, vessels)) < 2.0


def test_nuclei_do_not_touch_and_have_their_sizes(drawn: tuple[TissueLayout, OtherNuclei]) -> None:
    others = drawn[1]
    shapes = [shapely.Polygon(ring) for ring in others.nuclei]
    assert len(shapes) == len(others.kinds) == len(others.od) > 100
    assert shapely.union_all(shapes).area > 0.95 * sum(one.area for one in shapes)
    area = {
        kind: np.median([s.area for s, k in zip(shapes, others.kinds, strict=True) if k == kind])
        for kind in set(others.kinds)
    }
    assert 15 < area["lymphocyte"] < 42
    assert area["necrosis"] < area["stroma"] < area["lymphocyte"]


def test_spindle_nuclei_follow_the_fibres(drawn: tuple[TissueLayout, OtherNuclei]) -> None:
    layout, others = drawn
    rings = [r for r, k in zip(others.nuclei, others.kinds, strict=True) if k == "stroma"]
    off = []
    for ring in rings:
        value, vector = np.linalg.eigh(np.cov(ring.T))
        if value[1] > 6 * value[0]:
            axis = np.arctan2(*vector[::-1, 1])
            off.append(abs(np.sin(axis - sample(layout.fibres.direction, ring.mean(0)[None], LAYOUT_UM)[0])))
    assert len(off) > 10
    assert np.degrees(np.arcsin(np.median(off))) < 15


def test_lymphocytes_follow_their_settings() -> None:
    quiet = TissueSettings(aggregates=0.0, scatter=0.0)
    layout = lay_out_tissue(SETTINGS, quiet)
    assert "lymphocyte" not in tissue_nuclei(SETTINGS, quiet, layout).kinds
    crowded = TissueSettings(aggregates=1.0, scatter=0.0, fibroblasts=0.0)
    others = tissue_nuclei(SETTINGS, crowded, layout)
    assert others.kinds.count("lymphocyte") > 300
    assert "stroma" not in others.kinds
