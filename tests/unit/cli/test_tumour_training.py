"""``train --recipe tumour-finder``: from marks to a finder that runs use and name, and every refusal."""

from __future__ import annotations

import functools
import json
import re

import cv2
import numpy as np
import pytest

from qupath_her2.cells.tumour.finder_file import read_finder
from qupath_her2.project.spreadsheet import csv_bytes
from qupath_her2.runs.plan import select_images
from qupath_her2.synthetic.field import draw_field
from qupath_her2.synthetic.settings import FieldSettings
from qupath_her2.training.tumour_finder import retrain
from qupath_her2.training.tumour_finder.boosting import BoostingSettings
from tests.unit.cli.commands import call

pytest.importorskip("sklearn")

TRAIN = ("train", "--recipe", "tumour-finder")
SMALL = {
    "fields": 3, "judged_fields": 3, "min_cells": 10, "boosting": BoostingSettings(trees=15, learning_rate=0.3),
}  # fmt: skip


def test_what_does_not_apply_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((64, 64, 3), 240, np.uint8))
    code, _, err = call(TRAIN[0], tmp_path, *TRAIN[1:])
    assert code == 1
    typed = re.search(r"Add\s+(--from-review)", err)
    assert typed is not None, err
    code, _, err = call(TRAIN[0], tmp_path, *TRAIN[1:], typed.group(1))
    assert code == 1
    assert "Nobody has corrected anything" in err
    code, _, err = call(TRAIN[0], tmp_path, *TRAIN[1:], "--from-review", "--epochs", "3", "--model", "unet")
    assert code == 1
    assert "has no use for --model, --epochs" in err
    code, _, err = call(TRAIN[0], tmp_path, *TRAIN[1:], "--from-review", "--weights", "random")
    assert code == 1
    assert "--weights random knows nothing" in err
    code, _, err = call("patches", tmp_path, "--recipe", "tumour-finder")
    assert code == 1
    assert "train FOLDER --recipe tumour-finder --from-review" in " ".join(err.split())


def study(tmp_path):
    """Four drawn cases, in three of which a reader calls all tumour cells others, and others tumour cells."""
    folder = tmp_path / "study"
    labels = folder / "her2" / "review" / "labels" / "anna.csv"
    labels.parent.mkdir(parents=True)
    marks = []
    for number in range(4):
        field = draw_field(
            FieldSettings(
                seed=880 + number, width_px=360, height_px=360, pixel_size_um=0.5, stroma=0.5, lymphocytes=0.6
            )
        )
        cv2.imwrite(str(folder / f"case{number}.png"), field.rgb[..., ::-1])
        marks += [(number, *np.mean(ring, 0), "x") for ring in field.truth.nuclei]
        marks += [(number, *np.mean(ring, 0), "1+") for ring in field.truth.other_nuclei]
    ids = {ref.name: ref.id for ref in select_images(folder)}
    rows = [
        (ids[f"case{n}.png"], f"00000000-0000-4000-8000-{i:012d}", "Anna", value, f"{x:.1f}", f"{y:.1f}")
        for i, (n, x, y, value) in enumerate(marks)
        if n < 3
    ]
    labels.write_bytes(csv_bytes([("image", "uuid", "reader", "value", "x", "y"), *rows]))
    return folder


@pytest.mark.slow
def test_a_finder_that_forgets_is_not_written_and_one_that_helps_is_used_and_named(tmp_path, monkeypatch):
    folder = study(tmp_path)
    words = (TRAIN[0], folder, *TRAIN[1:], "--from-review", "--pixel-size-um", "0.5")
    settings = retrain.RetrainSettings
    monkeypatch.setattr(retrain, "RetrainSettings", functools.partial(settings, **SMALL))
    code, _, err = call(*words, "--replay", "0.1")
    assert code == 1
    assert "The finder forgets: on drawn tissue of all kinds, AUC" in err
    typed = re.search(r"A\s+greater\s+(--replay)\s+holds", err)
    assert typed is not None, err
    path = folder / "her2" / "finders" / "lab-a.npz"
    assert not path.parent.exists()

    loose = functools.partial(settings, **SMALL, max_auc_loss=1, max_loss_rise=10)
    monkeypatch.setattr(retrain, "RetrainSettings", loose)
    code, out, err = call(*words, typed.group(1), "0.1", "--name", "lab-a")
    assert code == 0, err
    finder = read_finder(path)
    assert finder.origin["reviewers"] == {"Anna": finder.origin["reviewers"]["Anna"]}
    assert len(finder.origin["cases"]) == 3
    assert finder.figures["reviewed"]["difference"]["auc"]["value"] > 0.2
    assert finder.figures["not_reviewed"] is None
    toml = re.search(r'write (find_tumour\.finder = "lab-a") in her2\.toml', out)
    assert toml is not None, out

    code, _, err = call(*words, "--weights", "lab-a")
    assert code == 1
    assert "has learned from 3 of these cases already" in err
    assert "leave --weights out" in " ".join(err.split())

    (folder / "her2.toml").write_text(toml.group(1), encoding="utf-8")
    code, _, err = call("propose", folder, "--pixel-size-um", "0.5", "--images", "case3*", "--no-qupath")
    assert code == 0, err
    record = json.loads(next((folder / "her2" / "proposals" / "results").glob("*/*/run.json")).read_bytes())
    assert record["inputs"]["finder"] == finder.digest
    assert (
        "Tumour was searched for by the finder lab-a, which learned from 3 reviewed cases."
        in record["warnings"]
    )

    path.write_bytes(b"torn")
    code, _, err = call("propose", folder, "--pixel-size-um", "0.5", "--no-qupath")
    assert code == 1
    assert "lab-a.npz' is damaged" in err
