"""``predict`` with a network on features: tiles with attention, top patches, heat map, and the refusals."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("timm", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")
pytest.importorskip("h5py", reason="feature files are NOT TESTED: pip install 'qupath-her2[learn]'")

from qupath_her2.learning.bags.attention import slide_attention
from qupath_her2.learning.bags.feature_files import read_features, write_features
from qupath_her2.models.bag_checkpoint import load_bag_checkpoint
from qupath_her2.project.exchange.patch_files import patches_of_run
from qupath_her2.project.exchange.runs import read_run
from qupath_her2.records import NOT_MEASURED
from qupath_her2.runs.methods.bags import TOP_PATCHES
from tests.helpers.drawn_study import draw_study
from tests.unit.cli.commands import call
from tests.unit.cli.test_bag_training import SMALL, TOML


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("attention")
    draw_study(folder, ("0", "3+"), cases=3)
    (folder / "her2.toml").write_text(TOML)
    assert call("embed", folder, *SMALL)[0] == 0
    assert call("train", folder, "--recipe", "clam-sb", "--task", "her2-4", "--shares", "0.6,0.2,0.2")[0] == 0
    return folder


def net(folder: Path) -> Path:
    return folder / "her2" / "models" / "clam-sb-her2-4" / "best"


def features(folder: Path) -> Path:
    return folder / "her2" / "features" / "timm-test_resnet_0.5um_64px"


def test_every_patch_is_a_tile_with_its_attention_and_the_most_attended_have_a_class(trained: Path) -> None:
    code, out, _ = call("predict", trained, "--model", net(trained), "--images", "g1_0*")
    assert code == 0
    assert "1 predicted; 9 patches" in out
    (pointer,) = (trained / "her2" / "predictions" / "results").glob("*/current.json")
    run = pointer.parent / json.loads(pointer.read_text())["run"]
    record, _, score = read_run(run)
    patches = patches_of_run(run, record)
    assert patches is not None
    path = features(trained) / f"{pointer.parent.name}.h5"
    found = read_features(path)
    expected = slide_attention(load_bag_checkpoint(net(trained))[0], found.features)
    np.testing.assert_allclose(patches.probabilities[:, 0], expected.rank, atol=1e-6)
    np.testing.assert_array_equal(patches.box_xywh[:, :2], found.left_top)
    assert set(patches.box_xywh[:, 2:].ravel().tolist()) == {64}
    assert patches.class_names == ("HER2 patch attention",)
    assert (patches.patch_class != NOT_MEASURED).sum() == min(TOP_PATCHES, 9)
    assert score.prediction is not None
    assert score.prediction.n_patches == 9
    assert sum(score.prediction.probabilities.values()) == pytest.approx(1)
    assert "attention over the features of its patches" in score.reason
    overlays = json.loads((run / "overlays.json").read_text())
    assert "Attention of clam-sb for" in json.dumps(overlays)
    # A second run has nothing to do.
    assert "up to date" in call("predict", trained, "--model", net(trained), "--images", "g1_0*")[1]


def test_features_of_another_encoder_scale_or_with_nan_are_refused(trained: Path, tmp_path: Path) -> None:
    place = tmp_path / "features"
    shutil.copytree(features(trained), place)
    path = sorted(place.glob("*g1-0*"))[0]
    found = read_features(path)
    words = ("predict", trained, "--model", net(trained), "--images", "g1_0*", "--force", "--features", place)
    for info, says in (
        (replace(found.info, encoder="uni"), "features are of uni"),
        (replace(found.info, pixel_size_um=1.0), "features are of patches at 1 µm/px"),
        (replace(found.info, patch_size_level0=0), "do not say how large a patch is"),
    ):
        write_features(path, replace(found, info=info))
        code, out, err = call(*words)
        assert code == 3
        assert says in out + err
    found.features[2, 1] = np.nan
    write_features(path, found)
    _, out, err = call(*words)
    assert "1 rows with NaN or infinity" in out + err
    path.unlink()
    _, out, err = call(*words)
    assert "has no features in" in out + err


def test_features_are_for_networks_on_features(trained: Path, tmp_path: Path) -> None:
    card = json.loads(net(trained).with_suffix(".json").read_text())
    (tmp_path / "other.json").write_text(json.dumps({**card, "model": "resnet50", "options": {}}))
    code, _, err = call("predict", trained, "--model", tmp_path / "other", "--features", tmp_path)
    assert code == 1
    assert "--features needs a network on features, and" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--rule", "majority"), "classifies whole slides: patches do not vote"),
        (("--task", "her2-3"), "it knows no task but its own, 'her2-4'"),
        (("--cam",), "Grad-CAM is for networks that read pixels"),
    ],
)
def test_wishes_that_no_attention_fulfils(trained: Path, words: tuple[str, ...], says: str) -> None:
    code, _, err = call("predict", trained, "--model", net(trained), *words)
    assert code == 1
    assert says in err
