from __future__ import annotations

import json
import math
from pathlib import Path

from typer.testing import CliRunner

from qupath_her2.cli import app
from qupath_her2.models.card import ModelCard, card_bytes
from qupath_her2.models.registry import MODELS


def call(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["models", *map(str, arguments)], env={"COLUMNS": "260"})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def put_card(folder: Path, name: str, pixel_size_um: float) -> None:
    place = folder / "her2" / "models"
    place.mkdir(parents=True, exist_ok=True)
    card = ModelCard(
        "convoher2", ("0", "3+"), "her2-4", pixel_size_um, 256, (0.5,) * 3, (0.5,) * 3, recipe="mine"
    )
    (place / f"{name}.json").write_bytes(card_bytes(card))
    (place / f"{name}.safetensors").write_bytes(b"")


def test_the_table_names_every_model_with_its_facts() -> None:
    code, out, _ = call()
    assert code == 0
    for spec in MODELS.values():
        (line,) = [text for text in out.splitlines() if text.split()[:1] == [spec.name]]
        assert f"{spec.n_parameters / 1e6:.1f}" in line
        assert spec.paper[:6] in line
        assert (spec.backbone_licence or "none published") in line
    assert f"{len(MODELS)} models, 0 checkpoints" in out


def test_json_says_the_same_without_nan() -> None:
    code, out, _ = call("--json")
    assert code == 0
    rows = {row["name"]: row for row in json.loads(out)["models"]}
    assert set(rows) == set(MODELS)
    assert json.loads(out)["shipped"] == ["unet"]
    assert "svm" in json.loads(out)["patch_count_heads"]
    assert rows["convoher2"]["trainable"] == 9_724_932
    assert rows["convoher2"]["pixel_size_um"] is None
    assert rows["se-resnet50"]["pixel_size_um"] == 0.25


def test_checkpoints_of_a_project_are_listed(tmp_path: Path) -> None:
    put_card(tmp_path, "best", 0.25)
    put_card(tmp_path, "last", math.nan)
    code, out, _ = call(tmp_path)
    assert code == 0
    assert "2 checkpoints" in out
    names = [line.split()[0] for line in out.splitlines() if line.strip()]
    assert names[-4:-2] == ["best", "last"]
    assert names.count("convoher2") == 1
    code, out, _ = call(tmp_path, "--json")
    assert [(c["name"], c["pixel_size_um"]) for c in json.loads(out)["checkpoints"]] == [
        ("best", 0.25),
        ("last", None),
    ]


def test_a_checkpoint_without_a_good_card_is_said_and_the_others_listed(tmp_path: Path) -> None:
    put_card(tmp_path, "best", 0.25)
    put_card(tmp_path, "other", 0.25)
    (tmp_path / "her2" / "models" / "other.json").write_text("{}")
    code, out, err = call(tmp_path)
    assert code == 3
    assert "1 checkpoints" in out
    assert "other.json" in err
