from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qupath_her2.cli import app
from qupath_her2.models.card import ModelCard, card_bytes
from qupath_her2.models.registry import MODELS


def call(*arguments: object, columns: int = 80) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["models", *map(str, arguments)], env={"COLUMNS": str(columns)})
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


def block(out: str, name: str) -> list[str]:
    """The line of a network, and the lines below it that belong to it."""
    lines = out.splitlines()
    (start,) = [number for number, line in enumerate(lines) if line.split()[:1] == [name]]
    below = itertools.takewhile(lambda line: line.startswith("  "), lines[start + 1 :])
    return [lines[start], *below]


@pytest.mark.parametrize("columns", [80, 260])
def test_every_name_and_number_is_whole_on_any_terminal(columns: int) -> None:
    code, out, _ = call(columns=columns)
    assert code == 0
    assert max(map(len, out.splitlines())) <= columns
    assert "…" not in out
    for spec in MODELS.values():
        first, *details = block(out, spec.name)
        scale = "whole image" if math.isnan(spec.pixel_size_um) else f"{spec.pixel_size_um:g}"
        counts = [f"{count / 1e6:.1f}" for count in (spec.n_parameters, spec.n_trainable)]
        assert first.split() == [spec.name, *scale.split(), str(spec.input.default), *counts]
        said = " ".join(" ".join(details).split())
        assert f"classes: {' · '.join(spec.class_names)} paper: {spec.paper}" in said
        assert not spec.doi or f"doi {spec.doi} " in said
        weights = f"{spec.backbone}, {spec.backbone_licence}" if spec.backbone else "none published"
        assert said.endswith(f"first weights: {weights}")
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
    assert block(out, "best")[0].split() == ["best", "0.25", "256", "convoher2", "mine"]
    assert block(out, "last")[0].split() == ["last", "whole", "image", "256", "convoher2", "mine"]
    assert block(out, "best")[1] == "  classes: 0 · 3+"
    assert len(block(out, "convoher2")) == 4
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
