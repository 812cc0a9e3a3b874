"""``install-scripts`` where no QuPath is installed: into a user folder that is named, and out of it again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qupath_her2.project.qupath import installations
from tests.unit.cli.commands import call


@pytest.fixture(autouse=True)
def no_qupath(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installations, "find_qupaths", list)


def test_scripts_go_into_the_named_folder_and_out_again(
    tmp_path: Path, tree: Callable[[Path], dict[str, bytes]]
) -> None:
    folder = tmp_path / "v0.6"
    folder.mkdir()
    (folder / "startup.groovy").write_text("// mine")
    before = tree(folder)
    code, out, err = call("install-scripts", "--user-dir", folder)
    assert code == 0, err
    assert f"files installed in '{folder}" in out
    # What QuPath's first score would otherwise wait for.
    assert "a drawn 3+ field scored 3+" in out
    names = {Path(name).name for name in tree(folder)}
    assert {"score_image.groovy", "startup.groovy"} <= names
    code, out, err = call("install-scripts", "--user-dir", folder, "--remove")
    assert code == 0, err
    assert f"files removed from '{folder}'" in out
    assert tree(folder) == before


def test_without_a_folder_the_missing_qupath_is_named(tmp_path: Path) -> None:
    code, _, err = call("install-scripts")
    assert code == 1
    assert "No QuPath was found" in err
    # The ways into an installation that is not in a usual place.
    assert "install.groovy' onto QuPath's window" in err
    assert "--user-dir ~/QuPath/v0.6" in err
