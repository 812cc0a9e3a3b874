"""Proposals that a person deleted in QuPath stay deleted, until she asks for them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
import shapely

from qupath_her2.errors import ExchangeError
from qupath_her2.project.geojson.regions import RegionFile
from qupath_her2.records import QuarantinedFeature, Region, SlideRef
from qupath_her2.runs.deleted_proposals import (
    DELETED,
    deleted_entries,
    deleted_proposals,
    deleted_warning,
)

REF = SlideRef("7_a", "a.tif", Path("a.tif"), proposal_run="run1")


def square(number: int, class_name: str = "Tumor?") -> Region:
    shape = shapely.box(100 * number, 0.125, 100 * number + 50, 50)
    return Region(UUID(int=number), shape, "tumour", class_name, f"Proposed tumour {number}")


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A function that stores a run with these regions and deleted ones."""
    runs: dict[Path, tuple[tuple[Region, ...], dict[str, object]]] = {}

    class Record:
        def __init__(self, settings: dict[str, object]) -> None:
            self.settings = settings

    def store(folder: str, run: str, regions: tuple[Region, ...], deleted: object = None) -> Path:
        run_dir = tmp_path / folder / "results" / REF.id / run
        run_dir.mkdir(parents=True)
        runs[run_dir] = (regions, {"used": {} if deleted is None else {DELETED: deleted}})
        return run_dir

    monkeypatch.setattr(
        "qupath_her2.runs.deleted_proposals.read_record", lambda run_dir: Record(runs[run_dir][1])
    )
    monkeypatch.setattr(
        "qupath_her2.runs.deleted_proposals.stored_regions", lambda run_dir, _: runs[run_dir][0]
    )
    return store


def test_what_is_gone_was_deleted_and_what_was_accepted_or_edited_was_not(tmp_path: Path, stored) -> None:
    proposed = tuple(square(k) for k in range(1, 6))
    stored("proposals", "run1", proposed)
    accepted = replace(proposed[0], class_name="Tumor")
    reshaped = replace(proposed[1], geometry=shapely.box(0, 0, 9, 9))
    set_aside = QuarantinedFeature(0, str(proposed[2].uuid), "it has an unknown class")
    found = RegionFile(regions=(accepted,), proposals=(reshaped,), quarantined=(set_aside,))
    deleted = deleted_proposals(tmp_path / "proposals", REF, found)
    assert [(one.uuid.int, one.role, one.geometry) for one in deleted] == [
        (k, "ignore", proposed[k - 1].geometry) for k in (4, 5)
    ]


def test_nothing_was_deleted_where_qupath_shows_no_run_or_an_unknown_one(tmp_path: Path, stored) -> None:
    stored("proposals", "run1", (square(1),))
    assert deleted_proposals(tmp_path, replace(REF, proposal_run=None), RegionFile()) == ()
    assert deleted_proposals(tmp_path, replace(REF, proposal_run="gone"), RegionFile()) == ()


def test_of_a_score_only_proposals_count(tmp_path: Path, stored) -> None:
    stored(".", "score1", (square(1), square(2, "Tumor")))
    deleted = deleted_proposals(tmp_path, replace(REF, proposal_run=None, score_run="score1"), RegionFile())
    assert [one.uuid.int for one in deleted] == [1]


def test_deleted_ones_are_remembered_from_run_to_run(tmp_path: Path, stored) -> None:
    first = deleted_entries((square(1),))
    # As they are stored: through JSON.
    stored("proposals", "run1", (square(2),), json.loads(json.dumps(first)))
    deleted = deleted_proposals(tmp_path / "proposals", REF, RegionFile())
    assert [one.uuid.int for one in deleted] == [1, 2]
    assert deleted[0].geometry == square(1).geometry


@pytest.mark.parametrize("entries", [["a"], {"no uuid": "POINT (0 0)"}, {str(UUID(int=1)): "POLYGON ("}])
def test_a_damaged_record_is_named(tmp_path: Path, stored, entries: object) -> None:
    stored("proposals", "run1", (), entries)
    with pytest.raises(ExchangeError, match=r"run\.json.*--force"):
        deleted_proposals(tmp_path, REF, RegionFile())


def test_the_warning_counts_them() -> None:
    assert deleted_warning(()) == []
    assert deleted_warning((square(1),)) == [
        "1 proposed region that was deleted in QuPath stays left out; to have it proposed again, pass --force."
    ]
    (many,) = deleted_warning((square(1), square(2)))
    assert many.startswith("2 proposed regions that were deleted in QuPath stay left out")
