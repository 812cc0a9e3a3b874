"""``train --recipe compare-resolution`` on a drawn folder with tiny networks: one table, one page, and again."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("timm", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")
pytest.importorskip("h5py", reason="feature files are NOT TESTED: pip install 'qupath-her2[learn]'")

from tests.helpers.drawn_study import draw_study
from tests.unit.cli.commands import call

TOML = """
[embed]
encoder = "timm:test_resnet"
[bags]
epochs = 2
[bags.network]
hidden = 8
attention = 4
[compare]
bag_networks = ["clam-sb", "mean-pool"]
image_networks = ["timm:test_resnet"]
patch_network = "timm:test_resnet"
resolutions_um_px = [1.0, 0.5, 0.25]
"""
WORDS = (
    "--recipe",
    "compare-resolution",
    "--folds",
    "3",
    "--epochs",
    "1",
    "--size",
    "64",
    "--weights",
    "random",
)


@pytest.mark.slow
def test_one_table_of_all_approaches_and_the_same_again(tmp_path: Path) -> None:
    draw_study(tmp_path, ("0", "1+", "3+"), cases=3)
    (tmp_path / "her2.toml").write_text(TOML)
    assert call("embed", tmp_path, "--weights", "random", "--size", "64")[0] == 0
    code, out, err = call("train", tmp_path, *WORDS)
    assert code == 0
    rows = ("clam-sb", "mean-pool", "timm:test_resnet", "mlp, low", "random-forest, moderate", "svm, low")
    assert all(name in out for name in rows)
    # The drawn images have 0.5 µm/px.
    assert "Patch counts at 0.25 µm/px (high) are left out" in err
    place = tmp_path / "her2" / "models" / "compare-resolution-her2-3"
    page = (place / "report.html").read_text(encoding="utf-8")
    assert "mlp, moderate" in page
    assert "timm:test_resnet, 64 px at 0.5 µm/px; epochs: at most 1" in page
    assert "timm:test_resnet, 64 px; epochs: at most 1; initial weights: random" in page
    table = (place / "comparison.csv").read_bytes()
    code, _, err = call("train", tmp_path, *WORDS)
    assert code == 0
    assert err.count("finished before") == 15
    assert (place / "comparison.csv").read_bytes() == table


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--model", "abmil"), "--model would change nothing. Leave it out."),
        (("--shuffle-labels",), "--shuffle-labels would change nothing"),
    ],
)
def test_flags_that_do_not_apply(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    draw_study(tmp_path, ("0", "3+"), cases=1)
    code, _, err = call("train", tmp_path, "--recipe", "compare-resolution", *words)
    assert code == 1
    assert says in err
