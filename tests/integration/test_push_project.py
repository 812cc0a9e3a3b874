"""A whole project is pushed by one QuPath: broken images are named, a cancelled push leaves every image whole."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from qupath_her2.project.exchange.runs import current_run, read_record
from tests.helpers.qupath import COMPILED
from tests.integration.conftest import Study, make, runs_java
from tests.integration.test_run import is_ours, theirs

pytestmark = [pytest.mark.qupath, pytest.mark.slow]
#: The last two are broken in the tests.
NAMES = ("one", "two", "three", "four", "five")


@pytest.fixture(scope="session")
def _scored(_field: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A project of five images, scored by ``batch``, and not pushed yet."""
    place = tmp_path_factory.mktemp(f"scored-{_field.qupath.version}")
    images = place / "images"
    images.mkdir()
    for name in NAMES:
        for ending in (".ome.tif", ".geojson"):
            shutil.copyfile(_field.folder / f"field{ending}", images / f"{name}{ending}")
    words = [f"named={name}.ome.tif" for name in NAMES]
    study = make(_field.qupath, place / "study", images, *words)
    study.her2("pull", str(study.project))
    study.her2("batch", str(study.project))
    return study


@pytest.fixture
def scored(_scored: Study, tmp_path: Path) -> Study:
    return Study(
        _scored.qupath, shutil.copytree(_scored.folder, tmp_path / "study"), tmp_path / "preferences"
    )


def persons(image: dict[str, Any]) -> list[dict[str, Any]]:
    """The person's objects of an image, by ID."""
    return theirs(sorted(image["objects"], key=lambda o: str(o["id"])))


def metadata(study: Study) -> dict[str, dict[str, str]]:
    """The metadata of each image, by name, as the project file has them."""
    images = json.loads(study.project.read_bytes())["images"]
    return {image["imageName"]: image.get("metadata") or {} for image in images}


def pushing(study: Study) -> subprocess.Popen[str]:
    """Start a push that tells its events as lines of JSON."""
    return subprocess.Popen(
        study.command("push", str(study.project), "--progress", "json"),
        env=study.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def check_whole(study: Study, before: dict[str, list[dict[str, Any]]]) -> set[str]:
    """Check that each image has its result as a whole or not at all; return the names of those that have it."""
    having = set()
    for image in study.look():
        assert persons(image) == before[image["name"]], image["name"]
        n_ours = sum(is_ours(o) for o in image["objects"])
        (folder,) = (study.folder / "her2" / "results").glob(f"{image['entry']}_*")
        run = current_run(study.folder / "her2", folder.name)
        assert run is not None
        # Objects and metadata come together: a half of either would count as the other half's absence.
        assert n_ours in (0, read_record(run).counts["cells"]), image["name"]
        assert (image["metadata"].get("HER2 run") == run.name) == (n_ours > 0), image["name"]
        having |= {image["name"]} if n_ours else set()
    return having


def test_one_qupath_serves_all_images_and_broken_ones_do_not_stop_it(scored: Study) -> None:
    names = list(metadata(scored))
    her2 = scored.folder / "her2"
    (scored.folder / "data" / "4" / "data.qpdata").write_bytes(b"not a data file")
    (pointer,) = (her2 / "results").glob("5_*/current.json")
    pointer.write_text("{")
    events, children = [], set()
    with pushing(scored) as running:
        assert running.stdout is not None
        for line in running.stdout:
            events.append(json.loads(line))
            # The command may end before it is asked for its children.
            with contextlib.suppress(psutil.NoSuchProcess):
                found = psutil.Process(running.pid).children()
                children |= {child.pid for child in found if runs_java(child)}
    assert running.returncode == 3
    assert len(children) == 1
    last = events[-1]
    assert (last["event"], last["exit"]) == ("pushed", 3)
    states = {image["name"]: image["state"] for image in last["images"]}
    assert states == dict(zip(names, (*["pushed"] * 3, *["refused"] * 2), strict=True))
    reasons = {image["name"]: image.get("reason", "") for image in last["images"]}
    assert "current.json" in reasons[names[4]]
    assert reasons[names[3]]
    assert [e["name"] for e in events if e["event"] == "push started"] == names[:4]
    done = [e for e in events if e["event"] == "push image"]
    assert [(e["images_done"], e["images"]) for e in done] == [(n, 4) for n in (1, 2, 3, 4)]
    assert done[-1]["seconds_left"] == 0
    assert all(e["seconds_left"] > 0 for e in done[:-1])

    # The others are named again, and nothing else is done.
    again = scored.her2("push", str(scored.project), code=3)
    assert "3 images up to date, 2 images not changed" in again.stdout
    assert all(f"Error: {name}: " in again.stderr for name in names[3:])


def test_the_compiled_library_is_kept_for_the_next_start(
    scored: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keeping it takes longer than telling the result, and is not cut short by the end of the command."""
    kept = tmp_path / "kept"
    monkeypatch.setenv(COMPILED, str(kept))
    scored.her2("push", str(scored.project), "--dry-run", "--images", NAMES[0] + "*")
    (file,) = kept.iterdir()
    assert file.suffix == ".jar"


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_push_leaves_whole_images_and_the_next_goes_on(
    scored: Study, end: signal.Signals
) -> None:
    before = {image["name"]: persons(image) for image in scored.look()}
    with pushing(scored) as running:
        assert running.stdout is not None
        # In the middle of the third image.
        starts = (line for line in running.stdout if json.loads(line)["event"] == "push started")
        assert len(list(itertools.islice(starts, 3))) == 3
        children = psutil.Process(running.pid).children(recursive=True)
        for process in children if end == signal.SIGKILL else []:
            process.kill()
        running.send_signal(end)
        _, said = running.communicate(timeout=120)
    assert running.returncode == (130 if end == signal.SIGINT else -signal.SIGKILL)
    assert end == signal.SIGKILL or "run the same command again to continue" in said
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive

    # QuPath saves what a killed one had left half saved when it is asked next.
    scored.her2("pull", str(scored.project))
    having = check_whole(scored, before)
    names = list(metadata(scored))
    assert 2 <= len(having) < len(names)
    assert set(names[:2]) <= having

    done = scored.her2("push", str(scored.project))
    assert f"into {len(names) - len(having)} image" in done.stdout
    assert f"{len(having)} images up to date" in done.stdout
    assert check_whole(scored, before) == set(names)
    done = scored.her2("push", str(scored.project))
    assert "5/5 up to date; nothing to do" in done.stdout
    data = scored.folder / "data" / "1" / "data.qpdata"
    written = data.stat().st_mtime_ns
    scored.her2("push", str(scored.project), "--force", "--images", names[0])
    assert data.stat().st_mtime_ns > written
    assert check_whole(scored, before) == set(names)
