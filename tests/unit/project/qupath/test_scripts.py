"""Script files: installed, updated and removed, with files of others untouched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qupath_her2.errors import ExchangeError
from qupath_her2.project.qupath.scripts import (
    COMPILED,
    CONFIG,
    copy_scripts,
    groovy_folder,
    remove_scripts,
    scripts_folder,
)


def names_below(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_the_scripts_of_this_package_are_found() -> None:
    assert (groovy_folder() / "export_regions.groovy").is_file()
    assert (groovy_folder() / "lib" / "Her2Export.groovy").is_file()


def test_installing_twice_and_removing_leaves_nothing_behind(tmp_path: Path, source: Path) -> None:
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


def test_an_earlier_installation_is_taken_over(tmp_path: Path, source: Path) -> None:
    """It lay in QuPath's folder of scripts, which QuPath lists in a menu with all its files."""
    old = tmp_path / "scripts" / "HER2"
    (old / "lib").mkdir(parents=True)
    for name in ("startup.groovy", "lib/Her2X.groovy", "theirs.groovy"):
        (old / name).write_text(name)
    facts = {"files": ["startup.groovy", "lib/Her2X.groovy"], "former_startup": "/my/start.groovy"}
    (old / CONFIG).write_text(json.dumps(facts))
    done = copy_scripts(tmp_path, version="2", former_startup=str(old / "startup.groovy"))
    assert names_below(old) == {"theirs.groovy"}
    assert json.loads((done.folder / CONFIG).read_bytes())["former_startup"] == "/my/start.groovy"
    assert remove_scripts(tmp_path) == (3, "/my/start.groovy")
    assert names_below(tmp_path / "scripts") == {"HER2/theirs.groovy"}


def test_files_of_others_stay(tmp_path: Path, source: Path) -> None:
    done = copy_scripts(tmp_path, version="1")
    (done.folder / "lib" / "theirs.groovy").write_text("x")
    remove_scripts(tmp_path)
    assert names_below(done.folder) == {"lib/theirs.groovy"}


def test_a_record_that_leads_out_of_the_folder_is_refused(tmp_path: Path, source: Path) -> None:
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
