from __future__ import annotations

import json
from pathlib import Path

import pytest

from qupath_her2.errors import ExchangeError
from qupath_her2.project.qupath import script_install as install
from qupath_her2.project.qupath import scripts
from qupath_her2.project.qupath.installations import QuPath
from qupath_her2.project.qupath.script_install import install_into, remove_from
from qupath_her2.project.qupath.scripts import (
    COMPILED,
    CONFIG,
    copy_scripts,
    groovy_folder,
    remove_scripts,
    scripts_folder,
)

SOME = QuPath("0.6.0", Path("somewhere"))


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Scripts of our own, with one that QuPath is to start with."""
    folder = tmp_path / "groovy"
    for name in ("score.groovy", "startup.groovy", "lib/Her2X.groovy"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    monkeypatch.setattr(scripts, "groovy_folder", lambda: folder)
    return folder


@pytest.fixture
def preferences(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """QuPath's preferences, without a QuPath."""
    kept: dict[str, str | None] = {"user_folder": None, "startup": None}

    def call(verb: str, request: dict[str, dict[str, str | None]], qupath: QuPath) -> dict[str, str | None]:
        assert (verb, qupath) == ("preferences", SOME)
        kept.update(request.get("set", {}))
        return dict(kept)

    monkeypatch.setattr(install, "call_qupath", call)
    return kept


def names_below(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_the_scripts_of_this_package_are_found() -> None:
    assert (groovy_folder() / "export_regions.groovy").is_file()
    assert (groovy_folder() / "lib" / "Her2Export.groovy").is_file()


def test_installed_twice_and_removed_nothing_is_left(tmp_path: Path, source: Path) -> None:
    user = tmp_path / "user folder"
    (user / "scripts").mkdir(parents=True)
    (user / "scripts" / "mine.groovy").write_text("mine")
    before = names_below(user)
    copy_scripts(user, python=Path("/a/python"), version="1.0", former_startup="/my/start.groovy")
    (source / "score.groovy").rename(source / "score_all.groovy")
    done = copy_scripts(user, version="1.1", former_startup=str(scripts_folder(user) / "startup.groovy"))
    assert done.n_files == 3
    assert names_below(done.folder) == {CONFIG, "score_all.groovy", "startup.groovy", "lib/Her2X.groovy"}
    config = json.loads((done.folder / CONFIG).read_bytes())
    assert (config["version"], config["former_startup"]) == ("1.1", "/my/start.groovy")
    (user / COMPILED).mkdir()
    (user / COMPILED / "0123-4567.jar").touch()
    assert remove_scripts(user) == (3, "/my/start.groovy")
    assert names_below(user) == before
    assert not done.folder.exists()
    assert remove_scripts(user) == (0, None)


def test_what_somebody_else_put_there_stays(tmp_path: Path, source: Path) -> None:
    done = copy_scripts(tmp_path, version="1")
    (done.folder / "lib" / "theirs.groovy").write_text("x")
    remove_scripts(tmp_path)
    assert names_below(done.folder) == {"lib/theirs.groovy"}


def test_a_list_that_leads_elsewhere_is_refused(tmp_path: Path, source: Path) -> None:
    done = copy_scripts(tmp_path, version="1")
    precious = tmp_path / "precious.txt"
    precious.touch()
    (done.folder / CONFIG).write_text(json.dumps({"files": ["../../precious.txt"]}))
    with pytest.raises(ExchangeError, match="not in its folder"):
        remove_scripts(tmp_path)
    (done.folder / CONFIG).write_text("{")
    with pytest.raises(ExchangeError, match="cannot be read"):
        copy_scripts(tmp_path, version="1")
    assert precious.exists()


def test_the_users_own_start_up_script_comes_back(
    tmp_path: Path, source: Path, preferences: dict[str, str | None]
) -> None:
    preferences.update(user_folder=str(tmp_path / "user"), startup="/my/start.groovy")
    for _ in range(2):
        done = install_into(SOME, version="1")
        assert preferences["startup"] == str(done.startup)
        assert json.loads((done.folder / CONFIG).read_bytes())["former_startup"] == "/my/start.groovy"
    assert remove_from(SOME) == 3
    assert preferences == {"user_folder": str(tmp_path / "user"), "startup": "/my/start.groovy"}


def test_a_start_up_script_chosen_since_stays_on_removal(
    tmp_path: Path, source: Path, preferences: dict[str, str | None]
) -> None:
    preferences["user_folder"] = str(tmp_path / "user")
    install_into(SOME, version="1")
    preferences["startup"] = "/new/start.groovy"
    remove_from(SOME)
    assert preferences["startup"] == "/new/start.groovy"


def test_a_qupath_that_never_asked_gets_the_folder_it_would_propose(
    tmp_path: Path, source: Path, preferences: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    done = install_into(SOME, version="1")
    assert done.folder == tmp_path / "QuPath" / "v0.6" / "scripts" / "HER2"
    assert preferences["user_folder"] == str(tmp_path / "QuPath" / "v0.6")
