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


def test_qupaths_defaults_are_estimated_as_if_nothing_were_set(project: Path) -> None:
    refs = select_images(project)
    for name in ("plain", "typed", "dark", "mine"):
        (project / name).mkdir()
    white = replace(QUPATH_H_DAB, source="QuPath")
    text = {
        "Name": "H-DAB default",
        "Stain 1": "Hematoxylin",
        "Values 1": list(white.hematoxylin),
        "Stain 2": "DAB",
        "Values 2": list(white.dab),
        "Background": "255 255 255",
    }
    typed = [replace(ref, stains=text) for ref in refs]
    expected = planned_stains(refs, lambda: refs, project / "plain", RunOptions(), Settings(), None, None)
    found = planned_stains(typed, lambda: typed, project / "typed", RunOptions(), Settings(), None, None)
    assert found.stains == expected.stains
    # What somebody set counts for that image, and leaves the estimate of the other.
    dark = [replace(typed[0], stains=text | {"Values 2": "0.3 0.5 0.8"}), typed[1]]
    found = planned_stains(dark, lambda: dark, project / "dark", RunOptions(), Settings(), None, None)
    assert found.stains[dark[0].id].source == "QuPath"
    assert found.stains[dark[1].id].source != "QuPath"
    # Vectors of the settings come before QuPath's defaults, not before what was set.
    mine = replace(Settings(), stain_vectors=replace(QUPATH_H_DAB, dab=(0.3, 0.5, 0.8), source="user"))
    found = planned_stains(typed, lambda: typed, project / "mine", RunOptions(), mine, None, None)
    assert {stains.source for stains in found.stains.values()} == {"user"}


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
