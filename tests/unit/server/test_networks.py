"""Networks that the service offers: those that classify slides, found by their ids and by nothing else."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="NOT TESTED: pip install qupath-her2[serve]")

from fastapi import FastAPI
from fastapi.testclient import TestClient

from qupath_her2.models.bag_specs import BAG_MODELS
from qupath_her2.models.card import ModelCard, card_bytes
from qupath_her2.patches.tasks import SEGMENTATION
from qupath_her2.server.networks import checkpoint_of, networks_router
from qupath_her2.server.problems import Problem


def put_card(
    folder: Path, name: str, task: str, pixel_size_um: float = 0.5, model: str = "convoher2"
) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    card = ModelCard(model, ("negative", "positive"), task, pixel_size_um, 224, (0.5,) * 3, (0.5,) * 3)
    path.with_suffix(".json").write_bytes(card_bytes(card))
    path.with_suffix(".safetensors").write_bytes(b"")


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    put_card(tmp_path / "first", "er/best", "er", math.nan)
    put_card(tmp_path / "first", "cells", SEGMENTATION.name)
    put_card(tmp_path / "first", "bag", "pr", model=next(iter(BAG_MODELS)))
    put_card(tmp_path / "second", "her2", "her2-4")
    (tmp_path / "second" / "broken.json").write_text("{")
    (tmp_path / "second" / "broken.safetensors").write_bytes(b"")
    put_card(tmp_path / "elsewhere", "pr", "pr")
    return [tmp_path / "first", tmp_path / "second"]


def test_networks_that_classify_slides_are_listed(folders: list[Path]) -> None:
    app = FastAPI()
    app.include_router(networks_router(folders))
    classes = ["negative", "positive"]
    assert TestClient(app).get("/api/v1/networks").json() == [
        {"id": "first/bag", "name": "bag", "task": "pr", "classes": classes, "pixel_size_um": 0.5},
        {"id": "first/er/best", "name": "er/best", "task": "er", "classes": classes, "pixel_size_um": None},
        {"id": "second/her2", "name": "her2", "task": "her2-4", "classes": classes, "pixel_size_um": 0.5},
    ]


def test_a_network_is_found_by_its_id(folders: list[Path]) -> None:
    assert checkpoint_of(folders, "first/er/best") == folders[0] / "er" / "best"


@pytest.mark.parametrize("network", ["first/cells", "../elsewhere/pr", "first/../../elsewhere/pr", "", "er"])
def test_what_is_not_offered_is_refused_with_what_is(folders: list[Path], network: str) -> None:
    with pytest.raises(Problem, match="no network") as caught:
        checkpoint_of(folders, network)
    assert caught.value.status == 422
    assert "first/er/best" in caught.value.advice


def test_without_networks_the_refusal_says_so(tmp_path: Path) -> None:
    with pytest.raises(Problem) as caught:
        checkpoint_of([tmp_path], "a")
    assert "started without networks" in caught.value.advice
