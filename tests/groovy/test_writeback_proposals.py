"""Proposed tumour regions come, are accepted, edited or deleted by a person, and go; scores are not touched by them."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import shapely

from qupath_her2.cells.tile_cells import TileCells
from qupath_her2.project.geojson.regions import read_regions
from qupath_her2.provenance import object_uuids
from qupath_her2.records import CellTable, Region
from qupath_her2.runs.whole_tissue import with_run_uuids
from tests.groovy.studies import HEIGHT, WIDTH, Study, drawn_cells
from tests.groovy.test_import_results import closing_lines
from tests.groovy.test_writeback_round import ours_in, people

pytestmark = [pytest.mark.qupath, pytest.mark.slow]

PROBABILITY = "HER2: Tumour probability"


def run_hash(key: int) -> str:
    return f"{key << 2:011x}" + "0" * 53


def proposed(key: int, n: int, *, x: float = 20.0) -> tuple[Region, ...]:
    """Squares in a row below the drawn regions, as the run `key` proposes them; sorted by UUID."""
    made = [UUID(bytes=one.tobytes()) for one in object_uuids("0" * 64, n)]
    shapes = [shapely.box(x + 60 * i, 200, x + 60 * i + 40, 240) for i in range(n)]
    regions = [
        Region(uuid, shape, "tumour", "Tumor?", f"Proposed tumour {i}")
        for i, (uuid, shape) in enumerate(zip(made, shapes, strict=True), 1)
    ]
    return tuple(sorted(with_run_uuids(regions, run_hash(key)), key=lambda region: str(region.uuid)))


def no_cells() -> CellTable:
    from qupath_her2.runs.refused_image import empty_table

    assert len(TileCells.none()) == 0
    return empty_table()


def propose(study: Study, key: int, regions: tuple[Region, ...]) -> Any:
    return study.write_run(key, cells=no_cells(), regions=regions, is_proposal=True)


def annotations(dump: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Our annotations by UUID, as QuPath writes them."""
    return {
        found["id"]: json.loads(found["geojson"])["properties"]
        for found in ours_in(dump)
        if found["kind"] == "PathAnnotationObject"
    }


def by_id(dump: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {found["id"]: found for found in dump["objects"]}


def test_proposals_come_and_go_beside_scores(study: Study) -> None:
    score = study.write_run(1)
    regions = proposed(5, 3)
    first = propose(study, 5, regions)
    seen = study.replay(
        "dump=nothing", f"current={score}", "push", "dump=scored",
        "folder=her2/proposals", f"current={first}", "push", "dump=both", "push", "dump=again", "reopen",
        "dump=reopened", "remove", "dump=gone",
    )  # fmt: skip
    assert all(line.startswith("DONE") for line in seen.lines()), seen.lines()
    shown = annotations(seen.dump("both"))
    assert set(shown) == {str(region.uuid) for region in regions}
    for region in regions:
        properties = shown[str(region.uuid)]
        assert properties["classification"]["name"] == "Tumor?"
        assert properties["classification"]["color"] == [255, 0, 160]
        assert properties["name"] == region.name
        assert properties["measurements"] == {PROBABILITY: 0.875, "HER2: Num cells": 0}
    cells = ours_in(seen.dump("scored"))
    assert [found for found in ours_in(seen.dump("both")) if found["kind"] == "PathCellObject"] == cells
    assert seen.dump("both")["metadata"]["HER2 proposed regions"] == "3"
    assert seen.dump("both")["metadata"]["HER2 score"] == "2+"
    assert seen.dump("again")["objects"] == seen.dump("both")["objects"]
    assert seen.dump("reopened")["objects"] == seen.dump("both")["objects"]
    assert people(seen.dump("both")) == people(seen.dump("nothing"))
    assert seen.dump("gone")["objects"] == seen.dump("scored")["objects"]
    assert seen.dump("gone")["metadata"] == seen.dump("scored")["metadata"]


def test_new_proposals_replace_only_those_that_nobody_touched(study: Study) -> None:
    old, new = proposed(5, 3), proposed(6, 2, x=220.0)
    first = propose(study, 5, old)
    study.replay("folder=her2/proposals", f"current={first}", "push", "edit=accept", "edit=reshape", "save")
    # What was accepted since the first search is part of what the second one knows.
    study.run("export_regions.groovy")
    second = propose(study, 6, new)
    seen = study.replay(
        "dump=edited", "folder=her2/proposals", f"current={second}", "cancel=3", "push", "dump=cancelled", "push",
        "dump=second", "remove", "dump=gone",
    )  # fmt: skip
    assert [line.split(":")[0] for line in seen.lines()] == ["FAILED push", "DONE push", "DONE remove"]
    # What was taken out of the root comes back as its last child: the order of siblings means nothing.
    assert by_id(seen.dump("cancelled")) == by_id(seen.dump("edited"))
    # Once the first is accepted, the second of those still proposed is the last.
    accepted, untouched, reshaped = (str(region.uuid) for region in old)
    edited, shown = annotations(seen.dump("edited")), annotations(seen.dump("second"))
    assert set(shown) == {accepted, reshaped, *(str(region.uuid) for region in new)}
    assert untouched not in shown
    assert shown[accepted] == edited[accepted]
    assert shown[accepted]["classification"]["name"] == "Tumor"
    assert shown[reshaped] == edited[reshaped]
    assert set(annotations(seen.dump("gone"))) == {accepted, reshaped}


def test_what_was_accepted_is_exported_as_a_region(study: Study) -> None:
    old = proposed(5, 3)
    run = propose(study, 5, old)
    path = study.her2 / "regions" / f"{study.image}.geojson"
    drawn = read_regions(path, image_width=WIDTH, image_height=HEIGHT)
    study.replay("folder=her2/proposals", f"current={run}", "push", "edit=accept", "edit=reshape", "save")
    said = study.run("export_regions.groovy")
    assert "HER2_EXPORT_REGIONS_OK images=1" in said, said
    found = read_regions(path, image_width=WIDTH, image_height=HEIGHT)
    new = [region for region in found.regions if region not in drawn.regions]
    assert [(region.uuid, region.role, region.class_name) for region in new] == [
        (old[0].uuid, "tumour", "Tumor")
    ]
    assert {region.uuid for region in found.proposals} == {old[1].uuid, old[2].uuid}
    assert found.quarantined == drawn.quarantined


def cells_below(regions: int, key: int) -> CellTable:
    return drawn_cells(run_hash(key), regions=regions)


def test_an_accepted_proposal_is_scored_as_a_persons_region(study: Study) -> None:
    """Cells lie below it, a changed outline is refused, and removing the score leaves it as it was."""
    old = proposed(5, 2)
    run = propose(study, 5, old)
    study.replay("folder=her2/proposals", f"current={run}", "push", "edit=accept", "save")
    study.run("export_regions.groovy")
    accepted = Region(old[0].uuid, old[0].geometry, "tumour", "Tumor", old[0].name)
    score = study.write_run(1, cells=cells_below(1, 1), regions=(accepted,))
    seen = study.replay(
        "dump=before", f"current={score}", "push", "dump=scored", "edit=reshape-accepted", "push", "reopen",
        "dump=again", "remove", "dump=gone",
    )  # fmt: skip
    done = [line.split(":")[0] for line in seen.lines()]
    assert done == ["DONE push", "FAILED push", "DONE remove"]
    assert "has changed since it was exported" in seen.output
    scored = annotations(seen.dump("scored"))[str(accepted.uuid)]
    assert scored["measurements"]["HER2: Num tumour cells"] == 40
    # What the search had measured is no longer shown beside the score.
    assert PROBABILITY not in scored["measurements"]
    cells = [found for found in ours_in(seen.dump("scored")) if found["kind"] == "PathCellObject"]
    assert {found["parent"] for found in cells} == {str(accepted.uuid)}
    assert len(cells) == 40
    gone = annotations(seen.dump("gone"))
    # The other proposal was nobody's, and is removed with the results.
    assert set(gone) == {str(accepted.uuid)}
    assert gone[str(accepted.uuid)].get("measurements", {}) == {}
    assert gone[str(accepted.uuid)]["classification"]["name"] == "Tumor"


def test_a_score_of_proposed_regions_brings_them_along(study: Study) -> None:
    """As `run --find-tumour` writes it: the annotations are part of the result, and go with it."""
    regions = proposed(1, 2)
    run = study.write_run(1, cells=cells_below(2, 1), regions=regions)
    seen = study.replay(
        "dump=before", f"current={run}", "push", "dump=scored", "push", "dump=again", "remove", "dump=gone"
    )
    shown = annotations(seen.dump("scored"))
    assert set(shown) == {str(region.uuid) for region in regions}
    assert {one["classification"]["name"] for one in shown.values()} == {"Tumor?"}
    cells = [found for found in ours_in(seen.dump("scored")) if found["kind"] == "PathCellObject"]
    assert {found["parent"] for found in cells} == set(shown)
    assert seen.dump("again")["objects"] == seen.dump("scored")["objects"]
    assert seen.dump("gone")["objects"] == seen.dump("before")["objects"]


def test_a_score_of_proposed_regions_replaces_what_was_only_proposed(study: Study) -> None:
    """Otherwise two sets of `Tumor?` would lie over each other."""
    first, regions = propose(study, 5, proposed(5, 3)), proposed(1, 2)
    run = study.write_run(1, cells=cells_below(2, 1), regions=regions)
    seen = study.replay(
        "folder=her2/proposals", f"current={first}", "push", "dump=proposed", "folder=her2", f"current={run}",
        "push", "dump=scored", "push", "dump=again",
    )  # fmt: skip
    assert len(annotations(seen.dump("proposed"))) == 3
    assert set(annotations(seen.dump("scored"))) == {str(region.uuid) for region in regions}
    assert "HER2 proposal run" not in seen.dump("scored")["metadata"]
    assert seen.dump("again")["objects"] == seen.dump("scored")["objects"]


def test_an_export_names_the_runs_that_are_shown(study: Study) -> None:
    """By them, Python knows which proposals a person deleted."""
    score, run = study.write_run(1), propose(study, 5, proposed(5, 3))
    study.replay(f"current={score}", "push", "folder=her2/proposals", f"current={run}", "push", "save")
    study.run("export_regions.groovy")
    (image,) = json.loads((study.her2 / "images.json").read_bytes())["images"]
    assert (image["score_run"], image["proposal_run"]) == (score.name, run.name)
    assert not any(key.startswith("HER2") for key in image["metadata"])
    study.run("remove_results.groovy")
    study.run("export_regions.groovy")
    (image,) = json.loads((study.her2 / "images.json").read_bytes())["images"]
    assert not {"score_run", "proposal_run"} & set(image)


def test_remove_results_takes_proposals_along(study: Study) -> None:
    score, run = study.write_run(1), propose(study, 5, proposed(5, 3))
    seen = study.replay(
        "dump=before", f"current={score}", "push", "folder=her2/proposals", f"current={run}", "push",
        "edit=accept", "save",
    )  # fmt: skip
    done = study.run("remove_results.groovy")
    # 80 cells and two proposals; the third is the person's.
    assert closing_lines(done) == [
        "HER2_REMOVE_RESULTS_OK state=removed image=1_drawn removed=82 edited=0 restored=0 lost=0"
    ]
    after = study.replay("dump=after").dump("after")
    assert len(ours_in(after)) == 1
    assert people(after) == people(seen.dump("before"))
    assert after["metadata"] == seen.dump("before")["metadata"]


def test_deleted_proposals_come_back_with_the_same_run(study: Study) -> None:
    """As with --force: without it, Python makes a run that leaves them out."""
    run = propose(study, 5, proposed(5, 2))
    seen = study.replay(
        "folder=her2/proposals",
        f"current={run}",
        "push",
        "dump=one",
        "edit=delete-proposals",
        "push",
        "dump=two",
    )
    assert np.array_equal(sorted(annotations(seen.dump("one"))), sorted(annotations(seen.dump("two"))))
