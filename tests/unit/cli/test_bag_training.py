"""``train`` on features of slides: from a drawn folder to folds, the way out of missing features, flags refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("timm", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")
pytest.importorskip("h5py", reason="feature files are NOT TESTED: pip install 'qupath-her2[learn]'")

from tests.helpers.drawn_study import draw_study
from tests.unit.cli.commands import call

SMALL = ("--encoder", "timm:test_resnet", "--weights", "random", "--size", "64")
TOML = """
[embed]
encoder = "timm:test_resnet"
patch_size_px = 64
[bags]
epochs = 3
[bags.network]
hidden = 16
attention = 8
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bags study")
    draw_study(folder, ("0", "1+", "3+"), cases=4)
    (folder / "her2.toml").write_text(TOML)
    assert call("embed", folder, *SMALL)[0] == 0
    return folder


def test_folds_of_a_folder_and_again(study: Path) -> None:
    code, out, _ = call("train", study, "--recipe", "clam-sb", "--folds", "3", "--progress", "off")
    assert code == 0
    assert "3-fold cross-validation" in out
    assert "AUC high (DeLong)" in out
    net = study / "her2" / "models" / "clam-sb"
    assert (net / "fold-01" / "best.safetensors").is_file()
    assert (net / "folds.csv").is_file()
    code, out, _ = call("train", study, "--recipe", "clam-sb", "--folds", "3", "--progress", "off")
    assert code == 0
    assert "3 of 3 trainings were finished before and read back" in out
    # Listed like any other network.
    assert "clam-sb/fold-01/best" in call("models", study)[1]


def test_one_split_for_programs(study: Path) -> None:
    words = ("--recipe", "dtfd-afs", "--task", "her2-4", "--shares", "0.5,0.25,0.25", "--progress", "json")
    code, out, _ = call("train", study, *words)
    assert code == 0
    events = [json.loads(line) for line in out.splitlines()]
    assert [one["epoch"] for one in events if one["event"] == "epoch"] == [1, 2, 3]
    assert events[-1]["folder"].endswith("dtfd-afs-her2-4")


def test_missing_features_are_named_and_embedding_helps(study: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(study, copy)
    folder = next((copy / "her2" / "features").iterdir())
    for path in sorted(folder.glob("*.h5"))[:2]:
        path.unlink()
    words = ("train", copy, "--recipe", "abmil", "--features", folder, "--folds", "3", "--progress", "off")
    code, _, err = call(*words)
    assert code == 1
    assert "2 of 12 slides have no features in" in err
    assert "Embed them first: qupath-her2 embed FOLDER." in err
    assert call("embed", copy, *SMALL)[0] == 0
    assert call(*words)[0] == 0


def test_a_recipe_on_features_cuts_no_patches_and_says_what_to_do(study: Path) -> None:
    code, _, err = call("patches", study, "--recipe", "clam-sb")
    assert code == 1
    assert "Use qupath-her2 embed FOLDER, then qupath-her2 train FOLDER --recipe clam-sb." in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--recipe", "clam-sb", "--drop", "bright"), "--drop would change nothing. Leave it out."),
        (("--recipe", "clam-sb", "--layout", "bci"), "--layout would change nothing"),
        (
            ("--recipe", "clam-sb", "--model", "resnet50"),
            "--model 'resnet50' is no network on bags. There are clam-sb",
        ),
        (
            ("--recipe", "se-resnet50", "--features", "x"),
            "--features needs one of the recipes clam-sb, clam-mb",
        ),
    ],
)
def test_flags_that_do_not_apply(study: Path, words: tuple[str, ...], says: str) -> None:
    code, _, err = call("train", study, *words)
    assert code == 1
    assert says in err
