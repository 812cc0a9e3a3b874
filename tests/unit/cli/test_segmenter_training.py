"""``patches`` and ``train`` by recipe ``her2net`` on a folder of masks, from the command line to the table."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")

from qupath_her2.cli import app
from qupath_her2.models.checkpoint import load_checkpoint
from qupath_her2.models.shipped import shipped_checkpoint
from qupath_her2.patches.manifest import read_manifest
from qupath_her2.patches.targets.stored_targets import read_targets
from qupath_her2.recipes import find_recipe
from qupath_her2.runs.plan import find_settings
from tests.helpers.drawn_masks import draw_masks
from tests.helpers.recipes import as_toml

QUICK = {
    "patches": {
        "grid": {"patch_size_px": 64, "target_um_px": 0.5},
        "shares": [0.5, 0.25, 0.25],
        "segmentation": {"crop_px": 0},
    },
    "train": {
        "epochs": 3,
        "batch_size": 4,
        "micro_batch_size": 0,
        "optimiser": "adam",
        "weight_decay": 0.0,
        "schedule": {"learning_rate": 5e-3},
        "loss": {"class_weights": "balanced"},
        "read": {"threads": 1},
    },
}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    draw_masks(tmp_path)
    (tmp_path / "her2.toml").write_text(as_toml(QUICK), encoding="utf-8")
    return tmp_path


def call(verb: str, folder: Path, *arguments: str) -> tuple[int, str]:
    words = [verb, str(folder), "--recipe", "her2net", "--pixel-size-um", "0.5", "--progress", "off"]
    done = CliRunner().invoke(app, [*words, *arguments], env={"COLUMNS": "300"})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def test_windows_of_a_folder_with_masks(study: Path) -> None:
    code, out = call("patches", study)
    assert code == 0, out
    assert "32 patches of 8 images and 8 known cases" in out
    assert "pixels of Background" in out
    folder = study / "her2" / "patches" / "her2net"
    manifest = read_manifest(folder)
    assert read_targets(folder, manifest).counts.sum() == 8 * 128 * 128
    before = (folder / "manifest.json").read_bytes()
    assert call("patches", study)[0] == 0
    assert (folder / "manifest.json").read_bytes() == before


def test_comparison_networks_share_one_table(study: Path) -> None:
    code, out = call("train", study, "--width", "2", "--rivals", "--device", "cpu")
    assert code == 0, out
    models = study / "her2" / "models"
    names = ("her2net", "her2net-unet", "her2net-segnet", "her2net-bayesian-segnet")
    for name in names:
        net, card = load_checkpoint(models / name / "best")
        assert (card.task, card.recipe, card.patch_size_px) == ("segmentation", "her2net", 64)
        assert card.class_names == ("Background", "Membrane", "Nucleus")
        assert card.options["width"] == net.options["width"] == 2
        assert card.temperature > 0
        assert json.loads((models / name / "training.json").read_bytes())["test_patches"] == 8
    table = models / "her2net-rivals" / "rivals"
    with table.with_suffix(".csv").open(newline="", encoding="utf-8-sig") as file:
        lines = list(csv.DictReader(file))
    assert [line["network"] for line in lines if (line["score"], line["class"]) == ("all", "all")] == [
        "her2net",
        "unet",
        "segnet",
        "bayesian-segnet",
    ]
    pixels = {line["n_pixels"] for line in lines if (line["score"], line["class"]) == ("all", "all")}
    assert pixels == {str(2 * 128 * 128)}
    scores = {line["score"] for line in lines} - {"all"}
    assert scores
    assert scores <= {"0", "1+", "2+", "3+"}
    assert "Segmentation on the test set" in table.with_suffix(".txt").read_text(encoding="utf-8")
    assert "research use only" in out


def test_the_window_study_compares_sizes_on_the_same_cases(study: Path) -> None:
    words = ("--width", "2", "--epochs", "1", "--model", "unet", "--study", "window", "--windows", "32,64")
    code, out = call("train", study, *words)
    assert code == 0, out
    patches = study / "her2" / "patches"
    small, large = (read_manifest(patches / name) for name in ("her2net-32", "her2net"))
    assert (small.patch_size_px, large.patch_size_px) == (32, 64)
    split = [
        {one.images[k].id: int(s) for k, s in zip(one.image, one.split, strict=True)}
        for one in (small, large)
    ]
    assert split[0] == split[1]
    with (study / "her2/models/her2net-unet-windows/windows.csv").open(newline="") as file:
        sides = {line["window_px"] for line in csv.DictReader(file)}
    assert sides == {"32", "64"}


def test_training_starts_from_a_checkpoint(study: Path) -> None:
    shipped, of_package = load_checkpoint(shipped_checkpoint("unet"))
    still = ("--epochs", "1", "--learning-rate", "1e-9", "--device", "cpu", "--model", "unet")
    code, out = call("train", study, *still, "--weights", "shipped", "--name", "mine")
    assert code == 0, out
    mine = study / "her2" / "models" / "mine" / "best"
    net, card = load_checkpoint(mine)
    assert card.initial_weights == f"checkpoint unet, sha256 {of_package.weights_sha256}"
    assert card.options["width"] == of_package.options["width"]
    before = dict(shipped.named_parameters())
    assert all(
        float((now - before[name]).detach().abs().max()) < 1e-6 for name, now in net.named_parameters()
    )
    # One's own checkpoint likewise; what does not fit is said before anything is removed.
    code, out = call("train", study, *still, "--weights", str(mine), "--name", "further")
    assert code == 0, out
    for words, said in (
        (("--width", "2"), "its width is 8, not 2."),
        (("--model", "segnet"), "its model is 'unet', not 'segnet' (--model unet)"),
    ):
        code, out = call(
            "train", study, *still, "--weights", str(mine), "--name", "mine", "--restart", *words
        )
        assert code == 1
        assert said in " ".join(out.split())
        assert load_checkpoint(mine)[1] == card


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--weights", "shipped"),
            "The package ships no weights for 'her2net'. Pass --model unet --weights shipped",
        ),
        (("--rivals", "--study", "window"), "Pass one at a time"),
        (("--study", "window", "--windows", "a,b"), "is not a list of sides in px"),
        (
            ("--model", "resnet50"),
            "Model 'resnet50' classifies patches, but the task 'segmentation' labels pixels",
        ),
    ],
)
def test_flags_that_exclude_each_other_are_refused(study: Path, words: tuple[str, ...], said: str) -> None:
    code, out = call("train", study, *words)
    assert code == 1
    assert said in " ".join(out.split())


def test_flags_of_segmenters_are_refused_elsewhere(study: Path) -> None:
    words = ["train", str(study), "--recipe", "se-resnet50", "--rivals", "--pixel-size-um", "0.5"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert "--rivals, --study and --width need --recipe her2net" in " ".join(done.output.split())


def test_the_recipe_has_the_papers_values(tmp_path: Path) -> None:
    settings = find_settings(tmp_path, recipe=find_recipe("her2net"))
    train, grid = settings.train, settings.patches.grid
    assert (train.optimiser, train.schedule.learning_rate, train.momentum) == ("sgd", 0.01, 0.5)
    assert (train.weight_decay, train.batch_size, grid.patch_size_px) == (0.046, 128, 251)
    assert settings.patches.segmentation.crop_px == 2048
