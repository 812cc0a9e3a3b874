"""Terminal output and exit codes of pull and push, with the transfer itself replaced by its result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from qupath_her2.cli import pull_push
from qupath_her2.cli.options import ProgressKind
from qupath_her2.config import Settings
from qupath_her2.project.qupath import installations, pull, push
from qupath_her2.project.qupath.installations import QuPath
from qupath_her2.project.qupath.pull import Pulled
from qupath_her2.project.qupath.push import Pushed
from qupath_her2.runs.options import RunOptions
from tests.unit.cli.commands import call

QUPATH = QuPath("0.6.0", Path("QuPath"))


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A QuPath project with its export: image 1 with a Tumor region, image 2 with Stroma only."""
    (tmp_path / "project.qpproj").write_text("{}")
    regions = tmp_path / "her2" / "regions"
    regions.mkdir(parents=True)
    images = []
    for number, class_name in (("1", "Tumor"), ("2", "Stroma")):
        images.append(
            {"id": f"{number}_a", "entry_id": number, "name": f"a{number}.svs", "path": f"a{number}.svs"}
            | {"width": 100, "height": 100, "pixel_size_um": 0.25, "chain": [], "refusal": None}
        )
        ring = [[0, 0], [50, 0], [50, 50], [0, 50], [0, 0]]
        feature = {
            "type": "Feature",
            "id": f"0b2f5c1e-9f0a-4c9e-8a57-33d2f1c0a00{number}",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"objectType": "annotation", "classification": {"name": class_name, "color": None}},
        }
        content = orjson.dumps({"type": "FeatureCollection", "features": [feature]})
        (regions / f"{number}_a.geojson").write_bytes(content)
    (tmp_path / "her2" / "images.json").write_bytes(orjson.dumps({"format": 1, "images": images}))
    return tmp_path


@pytest.fixture
def pulls(exported: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []

    def fake(place: Path, **given: Any) -> Pulled:
        seen.append({"place": place, **given})
        ids = ("1_a", "2_a")
        return Pulled(exported, exported / "her2", QUPATH, 2, 2, 1234, {"a3.svs": "cannot be opened"}, ids)

    monkeypatch.setattr(pull, "pull", fake)
    return seen


def pushed(*images: dict[str, Any]) -> Pushed:
    return Pushed(Path("project.qpproj"), QUPATH, images)


def test_pull_counts_what_was_exported(exported: Path, pulls: list[dict[str, Any]]) -> None:
    code, out, err = call("pull", exported, "--cells", "--images", "a*", "--heap", "512")
    assert code == 0, err
    assert (
        out
        == "pull    2 images, 2 regions, 1,234 cells, 1 without a tumour region, 1 refused  (QuPath 0.6.0)\n"
    )
    assert "a3.svs: cannot be opened" in err
    assert (pulls[0]["images"], pulls[0]["cells"], pulls[0]["pixels"], pulls[0]["heap_mb"]) == (
        ["a*"],
        True,
        False,
        512,
    )


def test_pull_as_json(exported: Path, pulls: list[dict[str, Any]]) -> None:
    code, out, _ = call("pull", exported, "--progress", "json")
    assert code == 0
    assert json.loads(out) == {
        "event": "pulled",
        "images": 2,
        "regions": 2,
        "cells": 1234,
        "without_tumour": 1,
        "refused": {"a3.svs": "cannot be opened"},
        "qupath": "0.6.0",
    }


IMAGE = {
    "name": "a1.svs",
    "state": "pushed",
    "added": 900,
    "unchanged": 100,
    "edited": 2,
    "suppressed": 1,
    "removed": 7,
}
REFUSED = {"name": "a2.svs", "state": "refused", "reason": "regions changed since they were exported"}


def test_push_counts_what_changed_and_what_was_refused(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "push", lambda place, **given: pushed(IMAGE, REFUSED))
    code, out, err = call("push", exported)
    assert code == 3
    assert out == (
        "push    1,000 cells into 1 image, 2 cells kept as edited by a person, "
        "1 cells left out where a person had edited or deleted one, 7 cells of earlier runs removed, "
        "1 image not changed, none of your own objects changed\n"
    )
    assert err == "Error: a2.svs: regions changed since they were exported\n"


def test_a_dry_run_says_what_would_change(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(push, "push", lambda place, **flags: given.update(flags) or pushed(IMAGE))
    code, out, _ = call("push", exported, "--dry-run")
    assert code == 0
    assert out.startswith("push    1,000 cells would go into 1 image")
    assert given["dry_run"] is True
    code, out, _ = call("push", exported, "--progress", "json")
    assert json.loads(out) == {
        "event": "pushed",
        "exit": 0,
        "dry_run": False,
        "images": [IMAGE],
        "up_to_date": 0,
    }


def test_a_push_goes_on_with_what_is_left_unless_everything_is_asked_for(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}
    left = Pushed(Path("project.qpproj"), QUPATH, (IMAGE,), 4)
    monkeypatch.setattr(push, "push", lambda place, **flags: given.update(flags) or left)
    code, out, _ = call("push", exported)
    assert code == 0
    assert "1,000 cells into 1 image" in out
    assert "4 images up to date" in out
    assert given["only_new"] is True
    for flag in ("--force", "--replace-lost"):
        call("push", exported, flag)
        assert given["only_new"] is False
    nothing = Pushed(Path("project.qpproj"), QUPATH, (), 4)
    monkeypatch.setattr(push, "push", lambda place, **flags: nothing)
    code, out, _ = call("push", exported)
    assert (code, out) == (
        0,
        "push    4/4 up to date; nothing to do (to write them again: push --force)\n",
    )


def test_a_folder_without_a_project_is_neither_pulled_nor_pushed(tmp_path: Path) -> None:
    assert pull_push.pull_and_push(tmp_path, RunOptions(), Settings(), None, ProgressKind.auto) is None


def test_an_exported_project_is_scored_without_qupath(
    exported: Path,
    pulls: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(installations, "find_qupaths", list)
    assert pull_push.pull_and_push(exported, RunOptions(), Settings(), None, ProgressKind.auto) is None
    assert "scoring the last export, without pull and push" in capsys.readouterr().err
    assert pulls == []


def test_a_run_pulls_first_and_pushes_only_what_is_new(
    exported: Path, pulls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(installations, "find_qupaths", lambda: [QUPATH])
    monkeypatch.setattr(push, "push", lambda place, **flags: given.update(flags) or pushed(IMAGE))
    options = RunOptions(images=("a1*",))
    push_results = pull_push.pull_and_push(exported, options, Settings(), 700, ProgressKind.off)
    assert pulls[0]["place"] == exported / "project.qpproj"
    assert (pulls[0]["images"], pulls[0]["cells"], pulls[0]["heap_mb"]) == (("a1*",), False, 700)
    assert given == {}
    assert push_results is not None
    assert push_results() == 0
    assert (given["only_new"], given["dry_run"], given["images"]) == (True, False, ("a1*",))
