"""Results are imported and removed again: our objects come and go, everything else stays unchanged."""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import shapely
import shapely.geometry
from numpy.typing import NDArray

from qupath_her2.project.exchange.runs import read_run
from qupath_her2.project.geojson.regions import read_regions
from qupath_her2.provenance import is_ours
from qupath_her2.records import NOT_MEASURED, Region
from qupath_her2.runs.whole_tissue import whole_tissue_uuid
from qupath_her2.scoring.intervals import h_score
from tests.groovy.studies import BIG, FOREIGN, HEIGHT, SECOND, WIDTH, Study, drawn_cells

pytestmark = [pytest.mark.qupath, pytest.mark.slow]


def people(dump: dict[str, Any], *, without_ours: bool = True) -> list[dict[str, Any]]:
    """All objects that are not ours, as QuPath writes them, without our measurements."""
    kept = []
    for found in dump["objects"]:
        if not is_ours(UUID(found["id"])):
            feature = json.loads(found["geojson"])
            values = feature["properties"].get("measurements", {})
            if without_ours:
                values = {name: value for name, value in values.items() if not name.startswith("HER2: ")}
            feature["properties"].pop("measurements", None)
            kept.append({**found, "geojson": feature, "measurements": values})
    return kept


def ours_in(dump: dict[str, Any]) -> list[dict[str, Any]]:
    return [found for found in dump["objects"] if is_ours(UUID(found["id"]))]


def our_steps(dump: dict[str, Any]) -> list[str]:
    return [step for step in dump["steps"] if "HER2" in step]


def test_pushed_twice_reopened_and_removed(study: Study) -> None:
    run = study.write_run()
    seen = study.replay(
        "dump=before", "dry", "dump=dry", "push", "dump=pushed", "push", "dump=again", "reopen", "dump=reopened",
        "remove", "dump=removed", "reopen", "dump=gone", "push", "dump=anew",
    )  # fmt: skip
    assert [line.split(":")[0] for line in seen.lines()] == [
        f"DONE {w}" for w in ("dry", "push", "push", "remove", "push")
    ]
    before, pushed = seen.dump("before"), seen.dump("pushed")
    assert seen.dump("dry") == before
    for name in ("pushed", "again", "reopened", "removed", "gone", "anew"):
        assert people(seen.dump(name)) == people(before), name
        assert seen.dump(name)["cores"] == before["cores"]
        assert seen.dump(name)["type"] == before["type"]
    assert {**seen.dump("again"), "changed": None} == {**pushed, "changed": None}
    # QuPath itself adds a workflow step for image type and stains whenever it reads an image.
    unlike = {"properties": None, "steps": None}
    assert {**seen.dump("reopened"), **unlike} == {**pushed, **unlike}
    assert our_steps(seen.dump("reopened")) == ["HER2: import results"]
    assert ours_in(seen.dump("anew")) == ours_in(pushed)
    # Nothing of ours is left, not even a measurement name.
    assert people(seen.dump("gone"), without_ours=False) == people(before, without_ours=False)
    for part in ("objects", "metadata"):
        assert seen.dump("gone")[part] == before[part]
    assert our_steps(seen.dump("gone")) == []
    assert seen.dump("removed")["steps"] == [s for s in seen.dump("reopened")["steps"] if "HER2" not in s]
    assert not any("HER2" in key for key in seen.dump("gone")["properties"])
    assert {**before["metadata"], **metadata_of(run)} == pushed["metadata"]
    assert pushed["steps"] == [*before["steps"], "HER2: import results"]
    assert not pushed["changed"]


def metadata_of(run: Any) -> dict[str, str]:
    record, cells, score = read_run(run)
    assert cells is not None
    return {
        "HER2 score": score.score or "",
        "HER2 reason": score.reason,
        "HER2 H-score": f"{score.h_score:.1f}",
        "HER2 cells": str(len(cells)),
        "HER2 run": record.run,
    }


def test_cells_are_those_of_the_table(study: Study) -> None:
    _, cells, _ = read_run(study.write_run())
    assert cells is not None
    found = {UUID(o["id"]): o for o in ours_in(study.replay("push", "reopen", "dump=pushed").dump("pushed"))}
    assert set(found) == {UUID(bytes=row.tobytes()) for row in cells.uuid}
    for i, row in enumerate(cells.uuid):
        got = found[UUID(bytes=row.tobytes())]
        feature = json.loads(got["geojson"])
        assert got["kind"] == "PathCellObject"
        assert got["parent"] == str((BIG, SECOND)[cells.region[i]].uuid)
        assert same_ring(
            feature["geometry"], cells.cell_xy[cells.cell_offsets[i] : cells.cell_offsets[i + 1]]
        )
        nucleus = cells.nucleus_xy[cells.nucleus_offsets[i] : cells.nucleus_offsets[i + 1]]
        assert ("nucleusGeometry" in feature) == (len(nucleus) > 0)
        if len(nucleus):
            assert same_ring(feature["nucleusGeometry"], nucleus)
        named = feature["properties"].get("classification", {}).get("names")
        code = cells.cell_class[i]
        assert named == (None if code == NOT_MEASURED else cells.class_names[code].split(": "))
        wanted = dict(zip(cells.measurement_names, cells.measurements[i].tolist(), strict=True))
        assert feature["properties"]["measurements"] == pytest.approx(
            {name: value for name, value in wanted.items() if not np.isnan(value)}, abs=1e-6
        )


def same_ring(geometry: dict[str, Any], ring: NDArray[np.float32]) -> bool:
    """Whether QuPath has this outline; it rounds to two decimals and may start at another vertex."""
    found, wanted = shapely.geometry.shape(geometry).normalize(), shapely.Polygon(ring).normalize()
    return bool(found.hausdorff_distance(wanted) < 0.0072 and len(found.exterior.coords) == len(ring) + 1)


def test_new_run_replaces_the_old_one(study: Study) -> None:
    first = study.write_run(1)
    second = study.write_run(2, cells=drawn_cells(f"{2 << 2:011x}", shift_px=2.0), score="3+")
    seen = study.replay(
        "dump=before", f"current={first}", "push", f"current={second}", "push", "dump=second", f"current={first}",
        "push", "dump=first",
    )  # fmt: skip
    for name, run in (("second", second), ("first", first)):
        record, cells, _ = read_run(run)
        assert cells is not None
        found = {UUID(o["id"]).bytes for o in ours_in(seen.dump(name))}
        assert found == {row.tobytes() for row in cells.uuid}
        assert seen.dump(name)["metadata"]["HER2 run"] == record.run
        assert people(seen.dump(name)) == people(seen.dump("before"))
    assert seen.dump("second")["metadata"]["HER2 score"] == "3+"


def test_not_assessable_result_removes_the_cells(study: Study) -> None:
    first = study.write_run(1)
    refused = study.write_run(2, cells=drawn_cells("0" * 64, regions=0), regions=(), score=None)
    seen = study.replay("dump=before", f"current={first}", "push", f"current={refused}", "push", "dump=after")
    assert ours_in(seen.dump("after")) == []
    assert people(seen.dump("after"), without_ours=False) == people(seen.dump("before"), without_ours=False)
    assert seen.dump("after")["metadata"]["HER2 score"] == "not assessable"


def test_existing_cells_are_classified_in_place(study: Study) -> None:
    run = study.write_run(cells=drawn_cells(f"{1 << 2:011x}", foreign=True))
    _, cells, _ = read_run(run)
    assert cells is not None
    seen = study.replay(
        "dump=before", "push", "dump=pushed", "push", "dump=again", "reopen", "remove", "dump=gone"
    )
    before = {found["id"]: found for found in seen.dump("before")["objects"]}
    pushed = {found["id"]: found for found in seen.dump("pushed")["objects"]}
    table = {UUID(bytes=row.tobytes()): i for i, row in enumerate(cells.uuid)}
    for uuid in FOREIGN:
        old, new = (json.loads(objects[str(uuid)]["geojson"]) for objects in (before, pushed))
        code = cells.cell_class[table[uuid]]
        if code == NOT_MEASURED:
            assert new["properties"].get("classification") == old["properties"].get("classification")
        else:
            assert new["properties"]["classification"]["names"] == cells.class_names[code].split(": ")
        assert new["geometry"] == old["geometry"]
        assert old["properties"]["measurements"].items() <= new["properties"]["measurements"].items()
        assert "HER2: m1" in new["properties"]["measurements"]
    assert {**seen.dump("again"), "changed": None} == {**seen.dump("pushed"), "changed": None}
    assert seen.dump("gone")["objects"] == seen.dump("before")["objects"]


def test_whole_tissue_region_is_added_and_removed_with_its_cells(study: Study) -> None:
    """Without a tumour annotation the whole tissue is the region; what the user draws in it later is kept."""
    hashes = {key: f"{key << 2:011x}" for key in (1, 2)}
    whole = {
        key: Region(
            whole_tissue_uuid(run_hash), shapely.box(10, 10, 390, 190), "tumour", None, "Whole tissue"
        )
        for key, run_hash in hashes.items()
    }
    run = {
        key: study.write_run(key, cells=drawn_cells(hashes[key], regions=1), regions=(whole[key],))
        for key in hashes
    }
    seen = study.replay(
        "dump=before", f"current={run[1]}", "push", "dump=first", "push", "dump=again", f"current={run[2]}", "push",
        "dump=second", "remove", "dump=gone", "push", "edit=inside", "dump=drawn", f"current={run[1]}", "push",
        "dump=both",
    )  # fmt: skip
    assert all(line.startswith("DONE") for line in seen.lines()), seen.lines()
    for name, key in (("first", 1), ("again", 1), ("second", 2)):
        made = [found for found in ours_in(seen.dump(name)) if found["kind"] == "PathAnnotationObject"]
        assert [(found["id"], found["parent"]) for found in made] == [(str(whole[key].uuid), None)]
        cells = [found for found in ours_in(seen.dump(name)) if found["kind"] == "PathCellObject"]
        assert {found["parent"] for found in cells} == {str(whole[key].uuid)}
        assert len(cells) == 40
        assert people(seen.dump(name), without_ours=False) == people(seen.dump("before"), without_ours=False)
    assert seen.dump("gone")["objects"] == seen.dump("before")["objects"]
    # The annotation that contains the user's object stays.
    assert people(seen.dump("both")) == people(seen.dump("drawn"))
    assert str(whole[2].uuid) in {found["id"] for found in ours_in(seen.dump("both"))}


def test_edited_cell_outlives_its_whole_tissue_region(study: Study) -> None:
    """A new run's whole-tissue region replaces the old one and takes over the edited cells."""
    hashes = {key: f"{key << 2:011x}" for key in (1, 2)}
    whole = {
        key: Region(
            whole_tissue_uuid(run_hash), shapely.box(10, 10, 390, 190), "tumour", None, "Whole tissue"
        )
        for key, run_hash in hashes.items()
    }
    run = {
        key: study.write_run(key, cells=drawn_cells(hashes[key], regions=1), regions=(whole[key],))
        for key in hashes
    }
    seen = study.replay(
        f"current={run[1]}", "push", "edit=class", "save", "reopen", "dump=edited", f"current={run[2]}",
        "cancel=4", "push", "dump=cancelled", "push", "reopen", "dump=second", "push", "dump=again", "remove",
        "reopen", "dump=gone",
    )  # fmt: skip
    edited = {found["id"]: found for found in ours_in(seen.dump("edited"))}
    changed = sorted(uuid for uuid, found in edited.items() if found["kind"] == "PathCellObject")[:2]
    assert [line.split(":")[0] for line in seen.lines()] == [
        "DONE push", "FAILED push", "DONE push", "DONE push", "DONE remove",
    ]  # fmt: skip
    assert seen.dump("cancelled")["objects"] == seen.dump("edited")["objects"]
    second = {found["id"]: found for found in ours_in(seen.dump("second"))}
    assert str(whole[1].uuid) not in second
    for uuid in changed:
        assert second[uuid] == {**edited[uuid], "parent": str(whole[2].uuid)}
    # Each new cell lies where an old one did, so the two in occupied places are not added.
    assert len(second) == 1 + 40
    assert seen.dump("again")["objects"] == seen.dump("second")["objects"]
    gone = {found["id"]: found for found in ours_in(seen.dump("gone"))}
    assert gone == {uuid: {**edited[uuid], "parent": None} for uuid in changed}


def test_cells_of_tma_cores_lie_below_their_cores(study: Study) -> None:
    """A core marked as missing is not a region; the grid stays unchanged."""
    exported = read_regions(
        study.her2 / "regions" / f"{study.image}.geojson", image_width=WIDTH, image_height=HEIGHT
    )
    assert [core.name for core in exported.cores] == ["A-1"]
    run = study.write_run(cells=drawn_cells(f"{1 << 2:011x}", regions=1), regions=exported.cores)
    seen = study.replay("dump=before", "push", "reopen", "dump=pushed", "remove", "dump=gone")
    assert all(line.startswith("DONE") for line in seen.lines()), (run, seen.lines())
    cells = ours_in(seen.dump("pushed"))
    assert {found["parent"] for found in cells} == {"30000000-0000-4000-8000-000000000001"}
    assert len(cells) == 40
    for name in ("pushed", "gone"):
        assert seen.dump(name)["cores"] == seen.dump("before")["cores"]
        assert people(seen.dump(name)) == people(seen.dump("before"))
    assert seen.dump("gone")["objects"] == seen.dump("before")["objects"]


def test_qupath_computes_the_same_h_score(study: Study) -> None:
    """QuPath computes it live from the cells' classes."""
    _, cells, _ = read_run(study.write_run())
    assert cells is not None
    said = dict(re.findall(r"^HSCORE (\S+) (\S+)$", study.replay("push", "h-scores").output, re.MULTILINE))
    for index, region in enumerate((BIG, SECOND)):
        counts = [int(((cells.region == index) & (cells.cell_class == code)).sum()) for code in range(4)]
        assert float(said[str(region.uuid)]) == pytest.approx(h_score(counts), abs=1e-9)
