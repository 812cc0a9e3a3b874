from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qupath_her2.errors import ModelError, SettingsError
from qupath_her2.learning.inference.predict import NO_CLASS, choose_classes, predict
from qupath_her2.learning.train.loop import train
from qupath_her2.learning.train.setup import initial_card
from qupath_her2.models.card import ModelCard
from qupath_her2.models.checkpoint import load_checkpoint
from qupath_her2.models.settings import PredictSettings, ReadSettings, ScheduleSettings, TrainSettings
from qupath_her2.patches.manifest import PatchManifest, select
from qupath_her2.patches.pixels.patch_pixels import PatchPixels
from qupath_her2.slides.stains.density_map import DensityMap

Build = Callable[..., Any]
Draw = Callable[..., PatchManifest]

QUICK = TrainSettings(
    epochs=6, batch_size=16, schedule=ScheduleSettings("cosine", learning_rate=2e-3), device="cpu"
)
ON_CPU = PredictSettings(batch_size=32, device="cpu")


@pytest.fixture(scope="module")
def unseen(draw: Draw, tmp_path_factory: pytest.TempPathFactory) -> PatchManifest:
    """Forty cases that no training uses."""
    return draw(tmp_path_factory.mktemp("unseen"), n_cases=40, seed=99)


def accuracy(trained: tuple[Any, ModelCard], manifest: PatchManifest) -> float:
    with PatchPixels(manifest, cache_bytes=64 << 20) as pixels:
        prediction = predict(*trained, manifest, pixels, ON_CPU)
    return float((prediction.chosen == manifest.label).mean())


@pytest.fixture(scope="module")
def shuffled(draw: Draw, tmp_path_factory: pytest.TempPathFactory) -> PatchManifest:
    """Cases whose labels are independent of their content: half of each class, in each split, are swapped."""
    manifest = draw(tmp_path_factory.mktemp("shuffled"), n_cases=24)
    swapped = manifest.image // 6 % 2
    changed = dataclasses.replace(manifest, label=((manifest.label + swapped) % 2).astype(np.int16))
    for part in range(3):
        here = manifest.split == part
        assert (manifest.label[here] == changed.label[here]).mean() == 0.5
    return changed


def test_a_trained_network_classifies_unseen_cases(
    drawn: PatchManifest, pixels: PatchPixels, unseen: PatchManifest, tiny_net: Build, tmp_path: Path
) -> None:
    result = train(tiny_net(), drawn, pixels, QUICK, tmp_path)
    assert accuracy(load_checkpoint(result.checkpoint), unseen) > 0.85


def test_shuffled_labels_teach_nothing_about_unseen_cases(
    shuffled: PatchManifest, unseen: PatchManifest, tiny_net: Build, tmp_path: Path
) -> None:
    settings = dataclasses.replace(QUICK, schedule=ScheduleSettings("cosine", 2e-3, monitor="accuracy"))
    with PatchPixels(shuffled, cache_bytes=64 << 20) as reader:
        result = train(tiny_net(), shuffled, reader, settings, tmp_path)
    # Each case has a tint of its own: the labels can be memorised, and a leak would show.
    assert result.history[-1].train_accuracy > 0.8
    # Forty cases at chance: a case is right or wrong as a whole at worst, deviation 0.08.
    assert abs(accuracy(load_checkpoint(result.checkpoint), unseen) - 0.5) < 0.25
    assert abs(result.history[-1].validation_accuracy - 0.5) < 0.35


def test_an_untrained_head_is_near_chance(unseen: PatchManifest, tiny_net: Build) -> None:
    found = []
    for seed in range(8):
        net = tiny_net(seed=seed)
        found.append(accuracy((net, initial_card(net, unseen, "", None)), unseen))
    # One net may lean on brown by luck; as many lean the other way.
    assert abs(np.mean(found) - 0.5) < 0.2


def scrambled(manifest: PatchManifest) -> tuple[PatchManifest, np.ndarray]:
    order = np.random.default_rng(0).permutation(len(manifest))
    return select(manifest, order), order


def test_results_are_in_the_order_of_the_manifest(
    drawn: PatchManifest, pixels: PatchPixels, tiny_net: Build
) -> None:
    net = tiny_net()
    card = initial_card(net, drawn, "", None)
    plain = predict(net, card, drawn, pixels, ON_CPU).probabilities
    assert np.allclose(plain.sum(axis=1), 1, atol=1e-6)
    assert plain.std(axis=0).min() > 1e-3, "all patches look alike: order would not show"
    mixed, order = scrambled(drawn)
    with PatchPixels(mixed) as reader:
        for threads, at_once in ((1, 64), (2, 5), (7, 1)):
            read = ReadSettings(threads=threads, rows_at_once=at_once)
            prediction = predict(net, card, mixed, reader, dataclasses.replace(ON_CPU, read=read))
            assert np.allclose(prediction.probabilities, plain[order], atol=1e-6)


def test_the_number_of_threads_does_not_change_a_bit(
    drawn: PatchManifest, pixels: PatchPixels, tiny_net: Build
) -> None:
    net = tiny_net()
    card = initial_card(net, drawn, "", None)
    found = [
        predict(net, card, drawn, pixels, dataclasses.replace(ON_CPU, read=ReadSettings(threads=n)))
        for n in (1, 3, 8)
    ]
    assert all(np.array_equal(found[0].probabilities, other.probabilities) for other in found[1:])


def test_probabilities_are_the_softmax_of_the_network(
    drawn: PatchManifest, pixels: PatchPixels, tiny_net: Build
) -> None:
    net = tiny_net().eval()
    card = dataclasses.replace(initial_card(net, drawn, "", None), temperature=2.5)
    rows = np.array([0, 40, 100])
    mean, std = (np.array(values, np.float32) for values in net.normalisation)
    by_hand = (pixels.read(rows).astype(np.float32) / 255 - mean) / std
    with torch.no_grad():
        logits = net(torch.from_numpy(by_hand.transpose(0, 3, 1, 2).copy()))
    wanted = torch.softmax(logits / 2.5, 1).numpy()
    assert np.allclose(predict(net, card, drawn, pixels, ON_CPU).probabilities[rows], wanted, atol=1e-5)


def test_full_memory_halves_the_batch(
    drawn: PatchManifest, pixels: PatchPixels, tiny_net: Build, full_memory: Callable[..., None]
) -> None:
    net = tiny_net()
    card = initial_card(net, drawn, "", None)
    plain = predict(net, card, drawn, pixels, ON_CPU).probabilities
    seen: list[int] = []
    full_memory(net, 9, seen)
    prediction = predict(net, card, drawn, pixels, ON_CPU)
    assert np.allclose(prediction.probabilities, plain, atol=1e-6)
    assert prediction.batch_size == 8
    assert seen[:4] == [32, 16, 8, 8]
    full_memory(net, 0, [])
    with pytest.raises(ModelError, match="a single patch of 32 px"):
        predict(net, card, drawn, pixels, ON_CPU)


def test_unreadable_patches_are_named_and_skipped(
    drawn: PatchManifest, tiny_net: Build, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(drawn.images[5].path.read_bytes()[:300])
    images = (*drawn.images[:5], dataclasses.replace(drawn.images[5], path=broken), *drawn.images[6:])
    manifest = dataclasses.replace(drawn, images=images)
    net = tiny_net()
    card = initial_card(net, manifest, "", None)
    told: list[tuple[int, int]] = []
    with PatchPixels(manifest) as pixels:
        prediction = predict(net, card, manifest, pixels, ON_CPU, progress=lambda *at: told.append(at))
    assert prediction.unread_rows.tolist() == np.flatnonzero(manifest.image == 5).tolist()
    assert np.isnan(prediction.probabilities[prediction.unread_rows]).all()
    assert np.isfinite(np.delete(prediction.probabilities, prediction.unread_rows, axis=0)).all()
    assert (prediction.chosen[prediction.unread_rows] == NO_CLASS).all()
    assert "Patch 80 of image 'case05.png' at x 0, y 0 (32 × 32 px)" in prediction.unread[0]
    assert told[-1] == (len(manifest), len(manifest))


def test_no_patches_give_an_empty_result(drawn: PatchManifest, pixels: PatchPixels, tiny_net: Build) -> None:
    net = tiny_net()
    nothing = select(drawn, np.zeros(len(drawn), bool))
    prediction = predict(net, initial_card(net, drawn, "", None), nothing, pixels, ON_CPU)
    assert prediction.probabilities.shape == (0, 2)
    assert prediction.chosen.shape == (0,)


def test_a_card_that_does_not_fit_is_refused_with_the_remedy(
    drawn: PatchManifest, pixels: PatchPixels, tiny_net: Build
) -> None:
    net = tiny_net()
    card = initial_card(net, drawn, "", None)
    for changed, words in (
        ({"pixel_size_um": 0.25}, r"patches have 0\.5 µm/px, but model .* was trained at 0\.25"),
        ({"patch_size_px": 64}, r"patches --size 64"),
        ({"stain": "macenko"}, "Pass stain_maps"),
        ({"class_names": ("a", "b", "c")}, "names 3 classes, but the network has 2"),
    ):
        with pytest.raises(ModelError, match=words):
            predict(net, dataclasses.replace(card, **changed), drawn, pixels, ON_CPU)
    nothing = DensityMap(np.eye(3), np.zeros(3), 256.0, 256.0)
    with pytest.raises(ModelError, match="Leave stain_maps out"):
        predict(net, card, drawn, pixels, ON_CPU, stain_maps=[nothing] * len(drawn.images))
    with pytest.raises(SettingsError, match="1 stain maps were given for 18 images"):
        predict(net, dataclasses.replace(card, stain="macenko"), drawn, pixels, ON_CPU, stain_maps=[nothing])


def test_stain_maps_are_those_of_each_patchs_image(
    drawn: PatchManifest, pixels: PatchPixels, tiny_net: Build
) -> None:
    net = tiny_net()
    card = dataclasses.replace(initial_card(net, drawn, "", None), stain="macenko")
    plain = predict(net, dataclasses.replace(card, stain=None), drawn, pixels, ON_CPU).probabilities
    nothing = DensityMap(np.eye(3), np.zeros(3), 256.0, 256.0)
    darker = DensityMap(1.5 * np.eye(3), np.zeros(3), 256.0, 256.0)
    maps = [nothing] * len(drawn.images)
    maps[7] = darker
    prediction = predict(net, card, drawn, pixels, ON_CPU, stain_maps=maps).probabilities
    touched = drawn.image == 7
    assert np.allclose(prediction[~touched], plain[~touched], atol=1e-4)
    assert np.abs(prediction[touched] - plain[touched]).max() > 1e-3


def test_classes_are_named_from_the_probability_asked_for() -> None:
    probabilities = np.array([[0.6, 0.4], [0.1, 0.9], [np.nan, np.nan], [0.5, 0.5]], np.float32)
    assert choose_classes(probabilities).tolist() == [0, 1, NO_CLASS, 0]
    assert choose_classes(probabilities, 0.7).tolist() == [NO_CLASS, 1, NO_CLASS, NO_CLASS]
    assert choose_classes(np.zeros((0, 2), np.float32)).tolist() == []


def test_cancelling_ends_the_reading(drawn: PatchManifest, pixels: PatchPixels, tiny_net: Build) -> None:
    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    net = tiny_net()
    with pytest.raises(KeyboardInterrupt):
        predict(net, initial_card(net, drawn, "", None), drawn, pixels, ON_CPU, progress=stop)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="NOT TESTED: needs an NVIDIA GPU")
@pytest.mark.parametrize("is_compiled", [False, True])
def test_a_gpu_says_what_the_processor_says(
    drawn: PatchManifest, pixels: PatchPixels, tiny_net: Build, is_compiled: bool
) -> None:
    net = tiny_net()
    card = initial_card(net, drawn, "", None)
    plain = predict(net, card, drawn, pixels, ON_CPU).probabilities
    for precision, tolerance in (("fp32", 2e-3), ("bf16", 0.05), ("fp16", 0.02)):
        settings = PredictSettings(batch_size=32, device="cuda", precision=precision, is_compiled=is_compiled)
        prediction = predict(net, card, drawn, pixels, settings)
        assert np.abs(prediction.probabilities - plain).max() < tolerance
        assert 0 < prediction.busy_share <= 1


def test_a_processor_has_no_busy_share(drawn: PatchManifest, pixels: PatchPixels, tiny_net: Build) -> None:
    net = tiny_net()
    prediction = predict(net, initial_card(net, drawn, "", None), drawn, pixels, ON_CPU)
    assert math.isnan(prediction.busy_share)
    assert (prediction.device, prediction.unread) == ("cpu", ())
