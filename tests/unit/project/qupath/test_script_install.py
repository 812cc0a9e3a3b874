"""Installing scripts into a QuPath: its preferences, and the start-up script of the user."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qupath_her2.errors import QuPathError
from qupath_her2.project.qupath import script_install
from qupath_her2.project.qupath.installations import QuPath
from qupath_her2.project.qupath.script_install import install_into, remove_from
from qupath_her2.project.qupath.scripts import CONFIG
from tests.helpers.qupath_requests import SOME


@pytest.fixture
def preferences(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """QuPath's preferences, kept in a dictionary."""
    kept: dict[str, str | None] = {"user_folder": None, "startup": None}

    def call(verb: str, request: dict[str, dict[str, str | None]], qupath: QuPath) -> dict[str, str | None]:
        assert (verb, qupath) == ("preferences", SOME)
        kept.update(request.get("set", {}))
        return dict(kept)

    monkeypatch.setattr(script_install, "call_qupath", call)
    return kept


def test_the_start_up_script_of_the_user_is_restored(
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


def test_a_qupath_without_user_folder_gets_its_default_one(
    tmp_path: Path, source: Path, preferences: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    done = install_into(SOME, version="1")
    assert done.folder == tmp_path / "QuPath" / "v0.6" / "her2"
    assert preferences["user_folder"] == str(tmp_path / "QuPath" / "v0.6")


def test_removing_from_a_folder_without_scripts_is_refused(
    tmp_path: Path, source: Path, preferences: dict[str, str | None]
) -> None:
    with pytest.raises(QuPathError, match="No scripts of qupath-her2 are installed"):
        remove_from(SOME, user_folder=tmp_path)
