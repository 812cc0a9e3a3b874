from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qupath_her2.config import Settings
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import select_images
from qupath_her2.runs.planned_stains import planned_stains, with_known_type
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB


def test_vectors_that_were_set_are_not_estimated(project: Path) -> None:
    refs = select_images(project)
    settings = replace(Settings(), stain_vectors=QUPATH_H_DAB)
    out = project / "her2"
    found = planned_stains(refs, lambda: refs, out, RunOptions(), settings, None, None)
    assert set(found.stains.values()) == {QUPATH_H_DAB}
    assert not (out / "stains.json").exists()


def test_stains_that_are_no_hdab_are_a_refusal(project: Path) -> None:
    (ref, _) = select_images(project)
    he = {
        "name": "H&E default",
        "type": "BRIGHTFIELD_H_E",
        "stain1": [0.65, 0.7, 0.29],
        "stain2": [0.2, 0.9, 0.2],
    }
    refused = with_known_type(replace(ref, stains=he))
    assert refused.refusal is not None
    assert refused.refusal.code == "not_ihc"
    assert with_known_type(ref) is ref
