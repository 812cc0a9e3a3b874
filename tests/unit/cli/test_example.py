"""``example``: a project that can be scored at once, written only into a new or empty folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from qupath_her2.cli import app
from tests.unit.cli.commands import call


def test_the_example_says_what_to_do_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from qupath_her2.synthetic import example_project

    # Drawing takes seconds and is tested where it is written.
    monkeypatch.setattr(example_project, "write_example", lambda folder: [folder / "a", folder / "b"])
    code, out, _ = call("example", tmp_path / "demo")
    assert code == 0
    assert out == f"2 files in {tmp_path / 'demo'}. Next: qupath-her2 run {tmp_path / 'demo'}\n"
    assert app.info.name == "qupath-her2"


@pytest.mark.parametrize("kind", ["file", "full folder"])
def test_nothing_is_overwritten(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "demo"
    if kind == "file":
        place.write_text("mine")
    else:
        place.mkdir()
        (place / "mine.txt").write_text("mine")
    code, _, err = call("example", place)
    assert code == 1
    assert f"'{place}' already exists and is not empty. Choose a new folder" in err
