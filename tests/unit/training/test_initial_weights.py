"""Weights that a training starts from: checkpoints that fit, and one message with all that does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from qupath_her2.errors import ModelError
from qupath_her2.patches.manifest import PatchManifest
from qupath_her2.recipes import RECIPES
from qupath_her2.training.classifier import train_network
from qupath_her2.training.initial_weights import build_initial_model
from qupath_her2.training.types import TrainedNetwork, TrainJob
from tests.unit.training.jobs import job_of

pytestmark = pytest.mark.slow


@pytest.fixture
def job(count_study: Path, count_manifest: PatchManifest, tmp_path: Path) -> TrainJob:
    return replace(job_of(count_study, "patch-count", count_manifest), out=tmp_path / "net")


def test_a_training_starts_from_a_checkpoint(job: TrainJob, count_network: TrainedNetwork) -> None:
    model = build_initial_model(replace(job, weights=count_network.checkpoint))
    assert model.weights_source.startswith("checkpoint timm:test_convnext, sha256 ")
    other = build_initial_model(job)
    first, second = next(iter(model.parameters())), next(iter(other.parameters()))
    assert not torch.equal(first, second)


def test_all_differences_are_named_at_once(job: TrainJob, count_network: TrainedNetwork) -> None:
    names = ("low", "mid", "high", "top")
    wrong = replace(
        job,
        weights=count_network.checkpoint,
        model="convoher2",
        manifest=replace(job.manifest, class_names=names),
    )
    with pytest.raises(ModelError) as caught:
        build_initial_model(wrong)
    text = str(caught.value)
    assert "its model is 'timm:test_convnext', not 'convoher2' (--model timm:test_convnext)" in text
    assert "its classes are 0, 1+, 2+, 3+, those of the patches low, mid, high, top" in text


def test_only_the_unet_is_shipped(job: TrainJob) -> None:
    with pytest.raises(ModelError, match=r"ships no weights for 'timm:test_convnext'.*--model unet"):
        build_initial_model(replace(job, weights="shipped"))


def test_an_earlier_training_is_removed_only_by_a_sound_job_that_does_not_resume(job: TrainJob) -> None:
    old = job.out / "last.pt"
    job.out.mkdir()
    old.write_bytes(b"of an earlier training")
    with pytest.raises(ModelError):
        build_initial_model(replace(job, weights="shipped", resume=False))
    build_initial_model(job)
    assert old.exists()
    build_initial_model(replace(job, resume=False))
    assert not job.out.exists()
    assert job.recipe is RECIPES["patch-count"]


def test_one_seed_gives_one_network(job: TrainJob) -> None:
    def weights(seed: int) -> dict[str, torch.Tensor]:
        train = replace(job.settings.train, seed=seed)
        return build_initial_model(replace(job, settings=replace(job.settings, train=train))).state_dict()

    first, again, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_two_trainings_with_one_seed_write_the_same_checkpoint(job: TrainJob, tmp_path: Path) -> None:
    def checkpoint(name: str, seed: int) -> bytes:
        train = replace(job.settings.train, seed=seed)
        settings = replace(job.settings, train=train)
        done = train_network(replace(job, settings=settings, out=tmp_path / name))
        return done.checkpoint.with_suffix(".safetensors").read_bytes()

    first = checkpoint("a", 1)
    # What else drew random numbers in the same process changes nothing.
    torch.rand(13)
    assert checkpoint("b", 1) == first
    assert checkpoint("c", 2) != first
