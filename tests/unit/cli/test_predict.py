"""``predict``: which rule or classifier decides the class of an image."""

from __future__ import annotations

from pathlib import Path

import pytest

from qupath_her2.cli.predict import RuleName, _head
from qupath_her2.errors import ModelError
from qupath_her2.recipes import RECIPES
from tests.unit.cli.commands import call

COUNTS = RECIPES["patch-count"]


def put_head(checkpoint: Path, kind: str) -> Path:
    from qupath_her2.training.count_heads import head_path

    path = head_path(checkpoint, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    return path


def test_the_flag_decides_then_the_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = tmp_path / "best"
    first = put_head(checkpoint, COUNTS.heads[0])
    forest = put_head(checkpoint, "random-forest")
    assert _head(checkpoint, COUNTS, RuleName.mean) is None
    assert _head(checkpoint, COUNTS, RuleName.random_forest) == forest
    assert _head(checkpoint, COUNTS, None) == first
    assert _head(checkpoint, RECIPES["se-resnet50"], None) is None
    assert _head(checkpoint, None, None) is None
    assert capsys.readouterr().err == ""


def test_a_missing_classifier_is_an_error_only_where_it_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _head(tmp_path / "best", COUNTS, None) is None
    assert "patches vote by majority instead" in capsys.readouterr().err
    with pytest.raises(
        ModelError, match=r"svm.json' does not exist. Run qupath-her2 train FOLDER --recipe patch-count"
    ):
        _head(tmp_path / "best", COUNTS, RuleName.svm)


def test_another_task_takes_its_own_classifier(tmp_path: Path) -> None:
    checkpoint = tmp_path / "best"
    own, other = put_head(checkpoint, "mlp"), put_head(checkpoint, "mlp-her2-3")
    assert _head(checkpoint, COUNTS, RuleName.mlp, "her2-3", "her2-4") == other
    assert _head(checkpoint, COUNTS, None, "her2-3", "her2-4") == other
    assert _head(checkpoint, COUNTS, RuleName.mlp, "her2-4", "her2-4") == own
    # Asked for, so a missing one is an error even without --rule.
    with pytest.raises(ModelError, match=r"mlp-her2-binary.json' does not exist"):
        _head(checkpoint, COUNTS, None, "her2-binary", "her2-4")
    for recipe, rule in ((RECIPES["se-resnet50"], None), (COUNTS, RuleName.majority)):
        with pytest.raises(ModelError, match="Task 'her2-3' needs a classifier of patch counts"):
            _head(checkpoint, recipe, rule, "her2-3", "her2-4")


def test_a_checkpoint_that_is_not_there(project: Path) -> None:
    code, out, err = call("predict", project, "--model", project / "none")
    assert code == 1
    assert "none.json" in err
    assert out == ""
