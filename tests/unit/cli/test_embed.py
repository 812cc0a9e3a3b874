"""``embed`` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("timm", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")
pytest.importorskip("h5py", reason="feature files are NOT TESTED: pip install 'qupath-her2[learn]'")

from tests.helpers.drawn_study import draw_study
from tests.unit.cli.commands import call

SMALL = ("--encoder", "timm:test_resnet", "--weights", "random", "--size", "64")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embedded study")
    draw_study(folder, ("0", "3+"), cases=1)
    return folder


def test_features_are_written_once(study: Path) -> None:
    code, out, err = call("embed", study, *SMALL)
    assert (code, err) == (0, "")
    assert (
        "2 images embedded (18 patches), 0 up to date, 0 left out; by timm:test_resnet (random weights)"
        in out
    )
    assert len(list((study / "her2" / "features" / "timm-test_resnet_0.5um_64px").glob("*.h5"))) == 2
    code, out, _ = call("embed", study, *SMALL, "--progress", "json")
    last = json.loads(out.splitlines()[-1])
    assert (code, last["embedded"], last["up_to_date"]) == (0, 0, 2)


def test_an_image_too_coarse_is_left_out_and_the_advice_works(study: Path) -> None:
    code, _, err = call("embed", study, *SMALL, "--um-px", "0.25")
    assert code == 3
    assert "Pass --um-px 0.5 or more" in err
    assert call("embed", study, *SMALL, "--um-px", "0.5")[0] == 0


def test_an_unknown_encoder_is_a_sentence(study: Path) -> None:
    code, _, err = call("embed", study, "--encoder", "unii")
    assert code == 1
    assert err.startswith("Error: Unknown encoder 'unii'. Did you mean 'uni'?")
