"""Edits of our cells by the user are kept, counted once, and respected by every later run."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import numpy as np
import pytest
import shapely

from qupath_her2.project.exchange.runs import read_run
from qupath_her2.records import CellTable
from tests.groovy.studies import FOREIGN, Seen, Study, drawn_cells
from tests.groovy.test_writeback_round import ours_in, people

pytestmark = [pytest.mark.qupath, pytest.mark.slow]


def said(seen: Seen) -> list[dict[str, str]]:
    """The printed counts of each push and removal."""
    lines = [line for line in seen.lines() if line.startswith(("DONE push", "DONE remove"))]
    return [dict(word.split("=", 1) for word in line.split(": ", 1)[1].split()) for line in lines]


def ids(cells: CellTable) -> list[str]:
    return [str(UUID(bytes=row.tobytes())) for row in cells.uuid]


def ours_by_id(dump: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {found["id"]: found for found in ours_in(dump)}


def held(cells: CellTable, by: list[shapely.Polygon]) -> set[str]:
    """Cells whose centre lies in one of the outlines."""
    points = shapely.points(cells.centroid_xy)
    inside = np.any([shapely.contains(outline, points) for outline in by], axis=0)
    return {uuid for uuid, is_in in zip(ids(cells), inside, strict=True) if is_in}


def outline(cells: CellTable, i: int) -> shapely.Polygon:
    return shapely.Polygon(cells.cell_xy[cells.cell_offsets[i] : cells.cell_offsets[i + 1]])


def test_edited_deleted_copied_and_merged_cells(study: Study) -> None:
    """The new run has the same cells, half a cell further right."""
    run = {
        key: study.write_run(key, cells=drawn_cells(f"{key << 2:011x}", shift_px=key - 1.0))
        for key in (1, 2, 3)
    }
    table = {key: read_run(path)[1] for key, path in run.items()}
    seen = study.replay(
        f"current={run[1]}", "push", "dump=first", "edit=class", "edit=delete", "edit=copy", "edit=merge", "save",
        "reopen", "dump=edited", f"current={run[2]}", "push", "dump=second", "push", "dump=again",
        f"current={run[3]}", "push", "reopen", "dump=third", f"current={run[1]}", "push", "dump=back",
        "remove", "dump=gone",
    )  # fmt: skip
    first, second, third = (cells for cells in (table[1], table[2], table[3]) if cells is not None)
    before, edited = ours_by_id(seen.dump("first")), ours_by_id(seen.dump("edited"))
    changed = ids(first)[:2]
    gone = [i for i, uuid in enumerate(ids(first)) if uuid not in edited]
    assert len(gone) == 2 + int(seen.lines()[1].removeprefix("MERGED "))
    assert all(edited[uuid] != before[uuid] for uuid in changed)

    occupied = [outline(first, i) for i in [*gone, 0, 1]]
    for name, cells in (("second", second), ("third", third)):
        found = ours_by_id(seen.dump(name))
        assert {uuid: found[uuid] for uuid in changed} == {uuid: edited[uuid] for uuid in changed}
        assert set(found) == set(changed) | (set(ids(cells)) - held(cells, occupied)), name
        assert people(seen.dump(name), without_ours=False) == people(seen.dump("edited"), without_ours=False)
    assert {**seen.dump("again"), "changed": None} == {**seen.dump("second"), "changed": None}
    assert set(ours_by_id(seen.dump("back"))) == set(edited)
    counts = said(seen)
    assert [c["edited"] for c in counts] == ["0", "2", "2", "2", "2", "2"]
    assert counts[1]["suppressed"] == str(len(held(second, occupied)))
    assert counts[2]["unchanged"] == counts[1]["added"]
    # What the user edited is kept; the rest is gone.
    assert set(ours_by_id(seen.dump("gone"))) == set(changed)


def test_cells_cleared_by_hand_come_back(study: Study) -> None:
    """Clearing all cells is no decision about a single one."""
    run = study.write_run()
    seen = study.replay(
        "push", "dump=first", "edit=clear", "save", "reopen", "push", "dump=again", "remove", "dump=gone"
    )
    assert run.is_dir()
    assert ours_in(seen.dump("again")) == ours_in(seen.dump("first"))
    assert ours_in(seen.dump("gone")) == []


def test_objects_of_a_lost_run_are_the_users(study: Study) -> None:
    first = study.write_run(1)
    second = study.write_run(2)
    seen = study.replay(f"current={first}", "push", "dump=first")
    assert seen.lines()[0].startswith("DONE")
    (first / "run.json").unlink()
    seen = study.replay(f"current={second}", "push", "dump=both", "remove", "dump=gone")
    lost = ours_by_id(study.replay("dump=end").dump("end"))
    assert set(lost) == set(ours_by_id(seen.dump("gone")))
    assert len(lost) == 80
    # Objects whose run is gone are counted separately from edited ones.
    assert (said(seen)[1]["lost"], said(seen)[1]["edited"]) == ("80", "0")
    # Their places are occupied, so no cell is added twice, and the import counts them.
    assert set(ours_by_id(seen.dump("both"))) == set(lost)
    assert (said(seen)[0]["lost"], said(seen)[0]["added"]) == ("80", "0")


def test_objects_of_a_lost_run_are_replaced_on_request(study: Study) -> None:
    first = study.write_run(1)
    second = study.write_run(2)
    study.replay(f"current={first}", "push", "save")
    (first / "run.json").unlink()
    seen = study.replay("replace", f"current={second}", "push", "dump=after", "push", "remove", "dump=gone")
    assert (said(seen)[0]["lost"], said(seen)[0]["removed"], said(seen)[0]["added"]) == ("0", "80", "80")
    assert len(ours_by_id(seen.dump("after"))) == 80
    assert (said(seen)[1]["removed"], said(seen)[1]["unchanged"]) == ("0", "80")
    assert ours_by_id(seen.dump("gone")) == {}


def test_edited_outline_of_a_cell_is_an_edit(study: Study) -> None:
    first, second = study.write_run(1), study.write_run(2)
    seen = study.replay(
        f"current={first}", "push", "dump=before", "edit=cell-outline", "save", "reopen", f"current={second}", "push",
        "dump=after", "push", "dump=again",
    )  # fmt: skip
    assert [said(seen)[1][name] for name in ("added", "edited", "removed")] == ["79", "1", "79"]
    kept = set(ours_by_id(seen.dump("before"))) & set(ours_by_id(seen.dump("after")))
    assert len(kept) == 1
    assert ours_by_id(seen.dump("again")) == ours_by_id(seen.dump("after"))
    assert (said(seen)[2]["edited"], said(seen)[2]["unchanged"]) == ("1", "79")


def test_class_set_by_the_user_on_a_classified_cell_stays(study: Study) -> None:
    run = {key: study.write_run(key, cells=drawn_cells(f"{key << 2:011x}", foreign=True)) for key in (1, 2)}
    seen = study.replay(
        "dump=before", f"current={run[1]}", "push", "edit=foreign-class", "save", "reopen", f"current={run[2]}", "push",
        "dump=second", "remove", "reopen", "dump=gone",
    )  # fmt: skip
    named = {
        name: {found["id"]: found["geojson"] for found in seen.dump(name)["objects"]}
        for name in ("before", "second", "gone")
    }
    edited = str(FOREIGN[0])
    assert '"Zebra"' in named["second"][edited]
    assert '"Zebra"' in named["gone"][edited]
    others = {uuid: text for uuid, text in named["gone"].items() if uuid != edited}
    assert others == {uuid: text for uuid, text in named["before"].items() if uuid != edited}
    assert said(seen)[1]["edited"] == "1"
