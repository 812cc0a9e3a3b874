from __future__ import annotations

import hashlib
import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from qupath_her2.batch import plan as planning
from qupath_her2.batch.manifest import ManifestRow, read_manifest
from qupath_her2.batch.plan import (
    PLAN,
    SlideLook,
    expected_hours,
    load_plan,
    measured_seconds,
    order_rows,
)
from qupath_her2.batch.run_batch import plan_batch
from qupath_her2.config import Settings
from qupath_her2.errors import ExchangeError
from qupath_her2.records import SlideRef
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.probe import Probe


def row(name: str, expected_s: float = 0.0, area_mm2: float = 0.0, failure: str = "") -> ManifestRow:
    probe = Probe(area_mm2=area_mm2, failure=failure, problem=failure)
    return ManifestRow(SlideRef(name, name, Path(name)), probe, expected_s=expected_s)


def test_unreadable_slides_come_first_then_the_longest() -> None:
    rows = [
        row("a", 1),
        row("b", 5),
        row("c", 0.4, failure="unreadable"),
        row("d", 5),
        row("e", failure="storage"),
    ]
    assert [one.ref.name for one in order_rows(rows)] == ["c", "b", "d", "a", "e"]


def test_time_is_no_less_than_the_longest_slide() -> None:
    rows = [row("a", 3600), row("b", 1800), row("c", 9e9, failure="unreadable")]
    assert expected_hours(rows, 1) == 1.5
    assert expected_hours(rows, 40) == 1.0
    assert expected_hours([], 4) == 0.0


def test_slides_that_ended_say_what_others_take() -> None:
    rows = [row(f"{k}", area_mm2=float(k)) for k in range(1, 7)]
    ended = {f"{k}": 0.4 + 2.0 * k for k in range(1, 7)}
    assert measured_seconds(rows, ended) == pytest.approx((0.4, 2.0))
    assert measured_seconds(rows[:4], ended) is None


def test_a_plan_is_saved_read_back_and_checked(project: Path) -> None:
    (project / "broken.svs").write_bytes(b"II*\0no slide")
    plan = plan_batch(project, RunOptions(), Settings())
    assert load_plan(project / "her2") == plan
    assert [row.ref.name for row in plan.rows] == ["broken.svs", "strong.ome.tif", "pale.ome.tif"]
    assert [job.name for job in plan.jobs] == ["strong.ome.tif", "pale.ome.tif"]
    assert list(plan.unreadable) == [plan.rows[0].ref.id]
    listed = (project / "her2" / PLAN / "unreadable.csv").read_text(encoding="utf-8-sig")
    assert "broken.svs" in listed
    assert "cannot be read" in listed
    strong = plan.rows[1]
    assert strong.stain_group.startswith("estimated from 2 images")
    assert strong.probe.area_mm2 > 0.02
    assert strong.expected_s > plan.rows[0].expected_s
    about = project / "her2" / PLAN / "plan.json"
    content = json.loads(about.read_bytes())
    about.write_text(json.dumps(content | {"version": "0.0.1"}))
    with pytest.raises(ExchangeError, match=r"version 0\.0\.1"):
        load_plan(project / "her2")
    about.write_text(json.dumps(content | {"jobs_sha256": "0"}))
    with pytest.raises(ExchangeError, match="damaged"):
        load_plan(project / "her2")
    about.unlink()
    with pytest.raises(ExchangeError, match="Plan first"):
        load_plan(project / "her2")


class _Command:
    """What a stranger might put in place of a plan."""

    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.touched),)


def test_a_plan_runs_no_code(project: Path, tmp_path: Path) -> None:
    folder = plan_batch(project, RunOptions(), Settings()).out / PLAN
    jobs, about = (
        pickle.dumps(_Command(tmp_path / "touched")),
        json.loads((folder / "plan.json").read_bytes()),
    )
    (folder / "jobs.pickle").write_bytes(jobs)
    # Whoever can write the jobs can write their hash as well.
    about["jobs_sha256"] = hashlib.sha256(jobs).hexdigest()
    (folder / "plan.json").write_text(json.dumps(about))
    with pytest.raises(ExchangeError, match="which no plan is made of"):
        load_plan(folder.parent)
    assert not (tmp_path / "touched").exists()


def test_keys_change_with_all_that_a_result_depends_on(project: Path) -> None:
    first = plan_batch(project, RunOptions(), Settings()).keys
    assert plan_batch(project, RunOptions(), Settings()).keys == first
    assert set(plan_batch(project, RunOptions(guideline="breast-2013"), Settings()).keys.values()).isdisjoint(
        first.values()
    )
    settings = Settings()
    other = replace(settings, scoring=replace(settings.scoring, min_cells=7))
    assert set(plan_batch(project, RunOptions(), other).keys.values()).isdisjoint(first.values())
    text = (project / "pale.geojson").read_text()
    (project / "pale.geojson").write_text(text + " ")
    changed = plan_batch(project, RunOptions(), Settings()).keys
    assert [changed[image] == key for image, key in first.items()] == [
        image.find("pale") < 0 for image in first
    ]
    # Asked to do all again, no earlier event counts.
    forced = plan_batch(project, RunOptions(force=True), Settings()).keys
    assert set(forced.values()).isdisjoint({*first.values(), *changed.values()})


def test_only_slides_that_changed_are_looked_at_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan_batch(project, RunOptions(), Settings())
    seen: list[str] = []
    look = planning.probe_image

    def counted(ref: SlideRef, settings: Settings, **more: bool) -> Probe:
        seen.append(ref.name)
        return look(ref, settings, **more)

    monkeypatch.setattr(planning, "probe_image", counted)
    plan_batch(project, RunOptions(), Settings())
    assert seen == []
    os.utime(project / "pale.ome.tif", (1, 1))
    plan_batch(project, RunOptions(), Settings())
    assert seen == ["pale.ome.tif"]
    # Tissue is what is scored now.
    plan_batch(project, RunOptions(whole_tissue=True), Settings())
    assert len(seen) == 3


def test_what_a_drive_could_not_give_is_asked_for_again(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Probe(problem="away", failure="storage")
    monkeypatch.setattr(planning, "probe_image", lambda *_, **__: away)
    plan = plan_batch(project, RunOptions(), Settings())
    # Its job finds out whether the drive is back.
    assert (len(plan.jobs), plan.unreadable) == (2, {})
    monkeypatch.undo()
    assert all(row.probe.problem == "" for row in plan_batch(project, RunOptions(), Settings()).rows)
    assert all(
        row.probe.fingerprint for row in read_manifest(project / "her2" / PLAN / "manifest.csv").values()
    )


def test_a_list_states_scanner_and_date(tmp_path: Path) -> None:
    ref = SlideRef("1_a", "a.svs", tmp_path / "a.svs")
    look = SlideLook(tmp_path, {"1_a": ("S1", "2026-01-02")})
    look([ref], Settings(), False)
    found = look.rows["1_a"]
    assert (found.probe.scanner, found.probe.scanned, found.n_bytes) == ("S1", "2026-01-02", -1)
    assert found.is_unreadable
