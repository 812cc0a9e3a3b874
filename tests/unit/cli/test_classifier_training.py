"""``train`` for classifiers with a tiny network on drawn cases: what it prints, and where it points to."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tests.helpers.drawn_study import draw_study
from tests.helpers.recipes import DRAWN, as_toml
from tests.unit.cli.commands import call

TINY = ("--recipe", "patch-count", "--model", "timm:test_convnext", "--weights", "random", "--device", "cpu")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    draw_study(folder, ("0", "1+", "2+", "3+"), cases=3)
    settings = DRAWN["patch-count"].settings(
        epochs=2, schedule={"learning_rate": 3e-3, "least_learning_rate": 0.0}
    )
    (folder / "her2.toml").write_text(as_toml(settings), encoding="utf-8")
    return folder


def test_a_training_prints_metrics_epochs_and_the_checkpoint(study: Path) -> None:
    code, out, err = call("train", study, *TINY, "--name", "one")
    assert code == 0, err
    checkpoint = study / "her2" / "models" / "one" / "best"
    assert f"network  {checkpoint}.safetensors" in out
    assert checkpoint.with_suffix(".json").is_file()
    assert re.search(r"^best epoch [12] of 2, \d+ s on cpu; research use only$", out, re.MULTILINE)
    assert out.count("Agreement with the truth") == 2
    # The log has one line per epoch, on standard error.
    assert re.findall(r"^epoch (\d/\d)  train loss \d", err, re.MULTILINE) == ["1/2", "2/2"]


def test_a_control_says_that_it_is_one(study: Path) -> None:
    code, out, err = call(
        "train", study, *TINY, "--shuffle-labels", "--name", "shuffled", "--progress", "off"
    )
    assert code == 0, err
    assert "control trained on shuffled labels; research use only" in out


def test_programs_get_the_result_as_the_last_json_line(study: Path) -> None:
    code, out, err = call("train", study, *TINY, "--name", "json", "--progress", "json")
    assert code == 0, err
    last = json.loads(out.splitlines()[-1])
    assert last["event"] == "trained"
    assert last["checkpoint"] == str(study / "her2" / "models" / "json" / "best")
    assert last["best_epoch"] in (1, 2)
    assert 0 <= last["accuracy"] <= 1


@pytest.mark.slow
def test_folds_print_mean_and_sd_and_the_table(study: Path) -> None:
    code, out, err = call("train", study, *TINY, "--folds", "3", "--name", "folds", "--progress", "off")
    assert code == 0, err
    table = study / "her2" / "models" / "folds" / "folds.csv"
    assert f"folds    {table}" in out
    assert table.is_file()
    assert {"patches", "images"} <= set(out.splitlines())
    assert "SD" in out
