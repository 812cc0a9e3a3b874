"""Patches of a run become tiles of the regions they were cut from, and are removed like cells."""

from __future__ import annotations

import json
import zipfile
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray

from qupath_her2.provenance import object_uuids
from qupath_her2.records import NOT_MEASURED, PatchTable
from tests.groovy.studies import BIG, SECOND, Study
from tests.groovy.test_writeback_refusals import seal
from tests.groovy.test_writeback_round import ours_in, people

pytestmark = [pytest.mark.qupath, pytest.mark.slow]

#: The second is that of a network on bags: its value is no probability.
CLASSES = ("HER2 patch 0", "HER2 patch attention")
MEASUREMENTS = ("HER2: probability HER2 patch 0", "HER2: attention")
#: Left, top, width, height, region index; the last tile extends beyond its region.
BOXES = [(20 + 40 * i, 20 + 40 * j, 40, 40, 0) for j in range(2) for i in range(4)] + [
    (200, 20, 60, 50, 1),
    (330, 100, 60, 50, 1),
]


def drawn_patches(key: int, *, shift_px: int = 0) -> PatchTable:
    boxes = np.array(BOXES, np.int32)
    boxes[:, 0] += shift_px
    random = np.random.default_rng(key)
    first = random.random(len(boxes)).astype(np.float32)
    probabilities = np.stack([first, 1 - first], axis=1)
    codes = probabilities.argmax(axis=1).astype(np.uint8)
    probabilities[3], codes[3] = np.nan, NOT_MEASURED
    # Serial numbers below 100 belong to the study's cells.
    uuid = object_uuids(f"{key << 2:011x}", len(boxes), start=100)
    return PatchTable(uuid, boxes[:, :4], boxes[:, 4], probabilities, codes, CLASSES)


def tiles_in(dump: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {found["id"]: found for found in ours_in(dump) if found["kind"] == "PathTileObject"}


def ids(patches: PatchTable) -> list[str]:
    return [str(UUID(bytes=row.tobytes())) for row in patches.uuid]


def corners(found: dict[str, Any]) -> NDArray[np.float64]:
    ring = np.array(json.loads(found["geojson"])["geometry"]["coordinates"][0])
    return np.array([*ring.min(axis=0), *(ring.max(axis=0) - ring.min(axis=0))])


def test_patches_are_added_kept_and_removed(study: Study) -> None:
    """The patches of the second run lie 6 px further right."""
    table = {1: drawn_patches(1), 2: drawn_patches(2, shift_px=6)}
    run = {key: study.write_run(key, patches=table[key]) for key in table}
    broken = study.write_run(3, patches=drawn_patches(3))
    with zipfile.ZipFile(broken / "patches.npz") as archive:
        columns = {name: archive.read(name) for name in archive.namelist()}
    columns["patch_class.npy"] = columns["patch_class.npy"][:-1] + b"\x07"
    with zipfile.ZipFile(broken / "patches.npz", "w") as archive:
        for name, data in columns.items():
            archive.writestr(name, data)
    seal(broken)
    seen = study.replay(
        "dump=before", f"current={run[1]}", "push", "dump=pushed", "push", "reopen", "dump=again",
        f"current={broken}", "push", "dump=refused", "edit=tiles", "save", "reopen", "dump=edited", f"current={run[2]}",
        "push", "reopen", "dump=second", "push", "dump=third", "remove", "reopen", "dump=gone",
    )  # fmt: skip
    assert [line.split()[0] for line in seen.lines()] == ["DONE", "DONE", "FAILED", "DONE", "DONE", "DONE"], (
        seen.lines()
    )
    before, pushed = seen.dump("before"), seen.dump("pushed")
    found = tiles_in(pushed)
    assert set(found) == set(ids(table[1]))
    for i, uuid in enumerate(ids(table[1])):
        properties = json.loads(found[uuid]["geojson"])["properties"]
        np.testing.assert_array_equal(corners(found[uuid]), table[1].box_xywh[i])
        assert found[uuid]["parent"] == str((BIG, SECOND)[table[1].region[i]].uuid)
        code = table[1].patch_class[i]
        named = None if code == NOT_MEASURED else CLASSES[code]
        assert properties.get("classification", {}).get("name") == named
        wanted = dict(zip(MEASUREMENTS, table[1].probabilities[i], strict=True))
        assert properties.get("measurements", {}) == pytest.approx(
            {name: value for name, value in wanted.items() if not np.isnan(value)}, abs=1e-6
        )
    assert len(ours_in(pushed)) == 80 + len(BOXES)
    assert seen.dump("again")["objects"] == pushed["objects"]
    assert "patch_class holds 7" in seen.lines()[2]
    assert seen.dump("refused")["objects"] == pushed["objects"]

    # One class changed and one tile deleted: both suppress the patches of the next run whose centres they contain.
    edited, second = tiles_in(seen.dump("edited")), tiles_in(seen.dump("second"))
    assert set(edited) == set(ids(table[1])) - {ids(table[1])[1]}
    assert set(second) == {ids(table[1])[0], *ids(table[2])[2:]}
    assert second[ids(table[1])[0]] == edited[ids(table[1])[0]]
    assert "suppressed=2" in seen.lines()[3]
    assert f"patches={len(BOXES) - 2}" in seen.lines()[3]
    assert seen.dump("third")["objects"] == seen.dump("second")["objects"]
    for name in ("pushed", "refused", "second", "gone"):
        assert people(seen.dump(name)) == people(before), name
    # What the user edited is kept; the rest is gone.
    assert [found["id"] for found in ours_in(seen.dump("gone"))] == ids(table[1])[:1]
