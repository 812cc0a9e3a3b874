from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import torch
from numpy.typing import NDArray

from qupath_her2.errors import TrainingError
from qupath_her2.learning.inference.predict import predict
from qupath_her2.learning.train.loop import TrainProgress, train
from qupath_her2.learning.train.seeding import epoch_order
from qupath_her2.models.checkpoint import load_checkpoint
from qupath_her2.models.settings import (
    AugmentSettings,
    LossSettings,
    PredictSettings,
    ReadSettings,
    ScheduleSettings,
    TrainSettings,
)
from qupath_her2.patches.manifest import PatchManifest
from qupath_her2.patches.pixels.patch_pixels import PatchPixels

Build = Callable[..., Any]

#: No batch norm, whose figures depend on how a batch is divided.
PLAIN_NET = "timm:test_convnext"
QUICK = TrainSettings(
    epochs=2,
    batch_size=16,
    schedule=ScheduleSettings("constant", learning_rate=2e-3),
    read=ReadSettings(threads=2),
    device="cpu",
)


def weights_of(model: Any) -> NDArray[np.float32]:
    return np.concatenate([p.detach().numpy().ravel() for p in model.parameters()])


def small(manifest: PatchManifest) -> PatchManifest:
    """The first four patches of each case only."""
    return dataclasses.replace(
        manifest, split=np.where(np.arange(len(manifest)) % 16 < 4, manifest.split, -1).astype(np.int8)
    )


def test_a_training_writes_its_files(
    drawn: PatchManifest, pixels: PatchPixels, tiny_net: Build, tmp_path: Path
) -> None:
    told: list[TrainProgress] = []
    net = tiny_net()
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    result = train(net, drawn, pixels, QUICK, tmp_path / "new" / "run", recipe="drawn", progress=told.append)
    assert torch.equal(torch.rand(3), expected), "the caller's own random numbers were used up"
    names = {"best.json", "best.safetensors", "curves.svg", "history.json", "state.safetensors"}
    assert {path.name for path in (tmp_path / "new" / "run").iterdir()} == names
    assert len(result.history) == 2
    assert result.warnings == result.unread == ()
    assert result.confusion.sum() == (drawn.split == 1).sum()
    card = load_checkpoint(result.checkpoint)[1]
    assert card == result.card
    assert (card.recipe, card.class_names, card.pixel_size_um) == ("drawn", drawn.class_names, 0.5)
    best = result.history[result.best_epoch - 1]
    assert best.validation_loss == min(record.validation_loss for record in result.history)
    assert card.metrics["validation_accuracy"] == best.validation_accuracy
    # After each step, and once more after each epoch, with its record.
    assert [(t.epoch, t.step) for t in told] == [(e, k) for e in (1, 2) for k in (*range(1, 7), 6)]
    assert [told[6].last, told[13].last] == list(result.history)


def test_the_history_matches_the_saved_weights(
    drawn: PatchManifest, pixels: PatchPixels, tiny_net: Build, tmp_path: Path
) -> None:
    """The recorded validation loss equals the one computed from the checkpoint with `predict`."""
    settings = dataclasses.replace(QUICK, loss=LossSettings(class_weights=(1.0, 3.0)), ema_decay=0.5)
    result = train(tiny_net(), drawn, pixels, settings, tmp_path)
    prediction = predict(*load_checkpoint(result.checkpoint), drawn, pixels, PredictSettings(device="cpu"))
    rows = np.flatnonzero(drawn.split == 1)
    labels = drawn.label[rows]
    weights = np.array([1.0, 3.0])[labels]
    loss = -(weights * np.log(prediction.probabilities[rows, labels])).sum() / weights.sum()
    best = result.history[result.best_epoch - 1]
    assert best.validation_loss == pytest.approx(loss, rel=1e-4)
    assert best.validation_accuracy == (prediction.chosen[rows] == labels).mean()
    assert result.confusion[0, 1] == ((labels == 0) & (prediction.chosen[rows] == 1)).sum()


def test_threads_and_read_sizes_do_not_change_the_curve(
    drawn: PatchManifest, pixels: PatchPixels, tiny_net: Build, tmp_path: Path
) -> None:
    settings = dataclasses.replace(QUICK, augment=AugmentSettings(angle_deg=10, scale=0.1))
    curves = []
    for threads, at_once, ahead in ((1, 64, 1), (4, 3, 5)):
        read = ReadSettings(threads=threads, rows_at_once=at_once, batches_ahead=ahead)
        one = dataclasses.replace(settings, read=read)
        curves.append(train(tiny_net(), small(drawn), pixels, one, tmp_path / str(threads)).history)
    assert curves[0] == curves[1]


@pytest.mark.parametrize("loss", [LossSettings(), LossSettings("focal", class_weights=(0.5, 4.0))])
def test_accumulated_parts_equal_the_whole_batch(
    drawn: PatchManifest, pixels: PatchPixels, tiny_net: Build, tmp_path: Path, loss: LossSettings
) -> None:
    curves, weights = [], []
    for micro in (0, 5):
        net = tiny_net(PLAIN_NET)
        settings = dataclasses.replace(QUICK, micro_batch_size=micro, optimiser="sgd", loss=loss)
        curves.append(train(net, small(drawn), pixels, settings, tmp_path / str(micro)).history)
        weights.append(weights_of(net))
    assert np.abs(weights[0] - weights_of(tiny_net(PLAIN_NET))).max() > 1e-3, "nothing was learned"
    assert np.abs(weights[0] - weights[1]).max() < 2e-6
    for whole, parts in zip(*curves, strict=True):
        assert whole.train_loss == pytest.approx(parts.train_loss, rel=1e-5)


def test_full_memory_halves_the_parts(
    drawn: PatchManifest, pixels: PatchPixels, tiny_net: Build, tmp_path: Path, full_memory: Build
) -> None:
    nets = [tiny_net(PLAIN_NET), tiny_net(PLAIN_NET)]
    seen: list[int] = []
    full_memory(nets[1], 5, seen)
    settings = dataclasses.replace(QUICK, optimiser="sgd", epochs=1)
    for number, net in enumerate(nets):
        train(net, small(drawn), pixels, settings, tmp_path / str(number))
    assert np.abs(weights_of(nets[0]) - weights_of(nets[1])).max() < 2e-6
    assert seen[:3] == [16, 8, 4]
    assert max(seen[3:]) <= 5


def test_a_single_patch_too_large_is_an_error_with_the_remedy(
    drawn: PatchManifest, pixels: PatchPixels, tiny_net: Build, tmp_path: Path, full_memory: Build
) -> None:
    net = tiny_net()
    full_memory(net, 0, [])
    with pytest.raises(TrainingError, match="full with 1 patches of 32 px"):
        train(net, drawn, pixels, QUICK, tmp_path)


def test_a_loss_that_is_not_finite_stops_with_step_and_patches(
    drawn: PatchManifest, pixels: PatchPixels, tiny_net: Build, tmp_path: Path
) -> None:
    net = tiny_net()
    kept: dict[str, bytes] = {}

    def poison(told: TrainProgress) -> None:
        if (told.epoch, told.step) == (2, 2):
            kept.update({name: (tmp_path / name).read_bytes() for name in ("best.json", "best.safetensors")})
            with torch.no_grad():
                next(net.parameters()).fill_(torch.nan)

    rows = np.flatnonzero(drawn.split == 0)
    batch = epoch_order(rows, 0, 1)[32:48]
    with pytest.raises(TrainingError, match="epoch 2, step 3, in the batch of patches") as caught:
        train(net, drawn, pixels, QUICK, tmp_path, progress=poison)
    assert ", ".join(map(str, batch)) in str(caught.value)
    assert "case" in str(caught.value)
    assert {name: (tmp_path / name).read_bytes() for name in kept} == kept
    assert len(kept) == 2
    model, _ = load_checkpoint(tmp_path / "best")
    assert np.isfinite(weights_of(model)).all()


def test_a_case_in_two_splits_is_refused(
    drawn: PatchManifest, pixels: PatchPixels, tiny_net: Build, tmp_path: Path
) -> None:
    split = drawn.split.copy()
    split[np.flatnonzero(drawn.image == 3)[:1]] = 0 if split[drawn.image == 3][0] else 1
    leaking = dataclasses.replace(drawn, split=split)
    with pytest.raises(TrainingError, match="1 cases have patches in more than one split: c03"):
        train(tiny_net(), leaking, pixels, QUICK, tmp_path)
    named = {"split": {"kind": "by patch", "warning": "Split by patch: patch-level, leakage possible."}}
    result = train(
        tiny_net(), dataclasses.replace(small(leaking), settings=named), pixels, QUICK, tmp_path / "by_patch"
    )
    assert result.warnings == ("Split by patch: patch-level, leakage possible.",)
    assert result.card.metrics["warnings"] == list(result.warnings)


def test_unknown_cases_and_missing_classes_give_warnings(
    drawn: PatchManifest, pixels: PatchPixels, tiny_net: Build, tmp_path: Path
) -> None:
    unknown = tuple(dataclasses.replace(image, case=None) for image in drawn.images)
    manifest = dataclasses.replace(
        small(drawn), images=unknown, class_names=(*drawn.class_names, "unseen"), settings={}
    )
    manifest.split[manifest.split == 1] = -1
    result = train(tiny_net(n_classes=3), manifest, pixels, QUICK, tmp_path)
    assert "No training patch of class unseen" in result.warnings[0]
    assert "patch-level, leakage possible" in result.warnings[1]
    assert "lowest training loss" in result.warnings[2]
    assert np.isnan(result.history[0].validation_loss)
    one_class = dataclasses.replace(drawn, label=np.zeros_like(drawn.label))
    with pytest.raises(TrainingError, match="at least two classes and has 96 of negative, 0 of positive"):
        train(tiny_net(), one_class, pixels, QUICK, tmp_path / "none")


def test_early_stopping_and_plateau(
    drawn: PatchManifest, pixels: PatchPixels, tiny_net: Build, tmp_path: Path
) -> None:
    # A gain of 10 never comes, so every epoch after the first waits.
    schedule = ScheduleSettings(
        "plateau", learning_rate=1e-3, plateau_epochs=1, least_gain=10.0, stop_after_epochs=3
    )
    settings = dataclasses.replace(QUICK, epochs=20, schedule=schedule)
    result = train(tiny_net(), small(drawn), pixels, settings, tmp_path)
    assert [record.learning_rate for record in result.history] == [1e-3, 1e-3, 5e-4, 2.5e-4]
    assert result.best_epoch == 1


def interrupted(at: tuple[int, int]) -> Callable[[TrainProgress], None]:
    def stop(told: TrainProgress) -> None:
        if (told.epoch, told.step) == at:
            raise KeyboardInterrupt

    return stop


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_a_resumed_training_ends_with_the_same_bytes(
    drawn: PatchManifest, pixels: PatchPixels, tiny_net: Build, tmp_path: Path, ema_decay: float
) -> None:
    settings = dataclasses.replace(
        QUICK, epochs=3, save_every_steps=2, ema_decay=ema_decay, schedule=ScheduleSettings("cosine", 2e-3)
    )

    def run(folder: Path, stop: Callable[[TrainProgress], None] | None, seed: int) -> Any:
        net = tiny_net(seed=seed)
        # Dropout must not depend on the random numbers drawn before the interruption.
        net.backbone.fc.register_forward_pre_hook(
            lambda module, given: (torch.nn.functional.dropout(given[0], 0.5, module.training),)
        )
        return train(net, small(drawn), pixels, settings, folder, progress=stop)

    whole = run(tmp_path / "whole", None, 3)
    for at in ((1, 1), (2, 1), (3, 2)):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "parts", interrupted(at), 3)
    # Initial weights no longer matter: everything is restored from the state.
    parts = run(tmp_path / "parts", None, 4)
    assert parts.history == whole.history
    for name in ("best.safetensors", "history.json", "curves.svg", "state.safetensors"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    again = run(tmp_path / "parts", interrupted((1, 1)), 5)
    assert again.history == whole.history


def test_another_training_is_not_resumed(
    drawn: PatchManifest, pixels: PatchPixels, tiny_net: Build, tmp_path: Path
) -> None:
    train(tiny_net(), small(drawn), pixels, QUICK, tmp_path)
    other = dataclasses.replace(QUICK, seed=7, batch_size=8, device="auto", save_every_steps=3)
    with pytest.raises(
        TrainingError,
        match=r"Cannot resume .* settings differ \(settings.batch_size: 16 → 8, settings.seed: 0 → 7\)",
    ):
        train(tiny_net(), small(drawn), pixels, other, tmp_path)
    with pytest.raises(TrainingError, match="patches"):
        train(tiny_net(), drawn, pixels, QUICK, tmp_path)
    assert len(train(tiny_net(), small(drawn), pixels, other, tmp_path, resume=False).history) == 2
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-9])
    with pytest.raises(TrainingError, match="is not a training state"):
        train(tiny_net(), small(drawn), pixels, other, tmp_path)


def test_unreadable_patches_are_named_and_left_out(
    drawn: PatchManifest, tiny_net: Build, tmp_path: Path
) -> None:
    broken = {0: "train", 2: "validation"}
    images = list(drawn.images)
    for number in broken:
        path = tmp_path / f"broken{number}.png"
        path.write_bytes(images[number].path.read_bytes()[:400])
        images[number] = dataclasses.replace(images[number], path=path)
    manifest = dataclasses.replace(drawn, images=tuple(images))
    with PatchPixels(manifest) as opened:
        result = train(tiny_net(), manifest, opened, QUICK, tmp_path / "run")
        assert len(result.unread) == 32
        assert sum("case00.png" in sentence for sentence in result.unread) == 16
        assert result.confusion.sum() == 80
        only_broken = dataclasses.replace(
            manifest, split=np.where(np.isin(drawn.image, (0, 2)), 0, -1).astype(np.int8)
        )
        # Label both classes, so that nothing but the reading is wrong.
        only_broken.label[:] = np.arange(len(drawn)) % 2
        with pytest.raises(TrainingError, match="None of the 32 training patches could be read"):
            train(tiny_net(), only_broken, opened, QUICK, tmp_path / "none")


def test_history_json_is_the_history(
    drawn: PatchManifest, pixels: PatchPixels, tiny_net: Build, tmp_path: Path
) -> None:
    result = train(tiny_net(), small(drawn), pixels, QUICK, tmp_path)
    stored = orjson.loads((tmp_path / "history.json").read_bytes())
    assert stored == [record.to_dict() for record in result.history]


def test_a_network_that_does_not_fit_is_refused(
    drawn: PatchManifest, pixels: PatchPixels, tiny_net: Build, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="has 3 classes and the patches have 2: negative, positive"):
        train(tiny_net(n_classes=3), drawn, pixels, QUICK, tmp_path)
    with pytest.raises(TrainingError, match="built for patches of 64 px and the patches have 32"):
        train(tiny_net("timm:test_vit", input_px=64), drawn, pixels, QUICK, tmp_path)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_16_bit_types_learn_and_resume(
    drawn: PatchManifest,
    pixels: PatchPixels,
    tiny_net: Build,
    tmp_path: Path,
    precision: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On the CPU, with the same arithmetic: fp16 with a scaled loss, whose scale is part of the state."""
    # oneDNN takes AMX for halves, and dies of an illegal instruction where a virtual machine names AMX but forbids it.
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    settings = dataclasses.replace(QUICK, precision=precision, epochs=3)
    whole = train(tiny_net(PLAIN_NET), small(drawn), pixels, settings, tmp_path / "whole")
    assert whole.history[-1].train_loss < whole.history[0].train_loss
    with pytest.raises(KeyboardInterrupt):
        train(
            tiny_net(PLAIN_NET),
            small(drawn),
            pixels,
            settings,
            tmp_path / "parts",
            progress=interrupted((3, 1)),
        )
    assert (
        train(tiny_net(PLAIN_NET), small(drawn), pixels, settings, tmp_path / "parts").history
        == whole.history
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="NOT TESTED: needs an NVIDIA GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_gpu_learns_and_resumes(
    drawn: PatchManifest, pixels: PatchPixels, tiny_net: Build, tmp_path: Path, precision: Any
) -> None:
    settings = dataclasses.replace(QUICK, device="cuda", precision=precision, epochs=6)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_net(PLAIN_NET), drawn, pixels, settings, tmp_path, progress=interrupted((3, 2)))
    result = train(tiny_net(PLAIN_NET), drawn, pixels, settings, tmp_path)
    assert [record.epoch for record in result.history] == [1, 2, 3, 4, 5, 6]
    assert result.history[-1].validation_accuracy > 0.85


def test_a_fully_frozen_network_is_refused(
    drawn: PatchManifest, pixels: PatchPixels, tiny_net: Build, tmp_path: Path
) -> None:
    net = tiny_net()
    net.freeze_backbone()
    with pytest.raises(TrainingError, match="Every weight of the model is frozen"):
        train(net, drawn, pixels, QUICK, tmp_path)
