"""Flags of ``train`` that go together or not."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from qupath_her2.cli import app
from qupath_her2.cli.train import _recipe


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (("--recipe", "patch-count", "--folds", "2"), 2, "--folds"),
        (("--recipe", "her2net", "--folds", "3"), 1, "--folds is of networks that classify patches"),
        (
            ("--recipe", "her2net", "--normalise", "none"),
            1,
            "--normalise is of networks that classify patches",
        ),
        (("--recipe", "patch-count", "--normalise", "reinhard"), 1, "This version knows macenko:REFERENCE"),
        (("--recipe", "patch-count", "--normalise", "macenko:x"), 1, "veta-2013"),
        (("--recipe", "patch-count", "--rivals"), 1, "are of --recipe her2net"),
    ],
)
def test_flags_that_do_not_go_together(tmp_path: Path, flags: tuple[str, ...], code: int, said: str) -> None:
    done = CliRunner().invoke(app, ["train", str(tmp_path), *flags], env={"COLUMNS": "200"})
    assert done.exit_code == code
    assert said in done.stdout + done.stderr


def test_a_recipe_takes_another_normalisation() -> None:
    assert _recipe("se-resnet50", None).stain == "macenko:veta-2013"
    assert _recipe("se-resnet50", "none").stain is None
    assert _recipe("convoher2", "macenko:veta-2013").stain == "macenko:veta-2013"
