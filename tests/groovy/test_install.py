from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from qupath_her2.project.qupath.scripts import copy_scripts, remove_scripts, scripts_folder
from tests.groovy.conftest import SCRIPTS
from tests.groovy.fields import HERE, closing, python_program, run_with
from tests.helpers.qupath import QuPath

pytestmark = [
    pytest.mark.qupath,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="NOT TESTED: the Python is started by a shell script"),
]


def test_installs_the_same_as_the_command_line(qupath: QuPath, tmp_path: Path) -> None:
    """Same files and her2.json, so that either can update or remove what the other installed."""
    python = python_program(tmp_path)
    home = tmp_path / "home of Ö"
    mine = tmp_path / "mine.groovy"
    mine.write_text("println 'mine'", encoding="utf-8")
    options: dict[str, object] = {
        "java.util.prefs.userRoot": tmp_path / "private",
        "user.home": home,
        "qupath_her2.python": python,
    }
    run_with(qupath, HERE / "preferences.groovy", ["--args", str(mine)], options)
    said = run_with(qupath, SCRIPTS / "install.groovy", [], options)
    assert closing(said)["folder"].endswith("/her2/"), said
    assert "Python found: 3." in said

    user = home / "QuPath" / ("v" + ".".join(qupath.version.split(".")[:2]))
    folder = scripts_folder(user)
    copy_scripts(tmp_path / "other", python=python, version="any", former_startup=str(mine))
    other = scripts_folder(tmp_path / "other")
    assert files_below(folder) == files_below(other)
    facts, theirs = (json.loads((place / "her2.json").read_bytes()) for place in (folder, other))
    assert facts | {"version": "any"} == theirs
    kept = run_with(qupath, HERE / "preferences.groovy", [], options)
    assert f"STARTUP {folder / 'startup.groovy'} USER {user}" in kept, kept

    again = run_with(qupath, folder / "install.groovy", [], options)
    assert "HER2_INSTALL_OK" in again, again
    assert json.loads((folder / "her2.json").read_bytes()) == facts
    assert remove_scripts(user) == (len(facts["files"]), str(mine))
    assert not folder.exists()


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.groovy"))
