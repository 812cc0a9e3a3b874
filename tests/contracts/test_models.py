"""The contract that every registered network fulfils."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")
pytest.importorskip("timm", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")

from qupath_her2.models.card import ModelCard  # noqa: E402
from qupath_her2.models.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from qupath_her2.models.registry import MODELS, ModelSpec, build_model, model_names  # noqa: E402
from qupath_her2.models.sizes import model_size  # noqa: E402
from qupath_her2.patches.tasks import TASKS  # noqa: E402

#: The smallest network of each builder; all of them would be hundreds of MB.
WRITTEN = {
    min((s for s in MODELS.values() if s.builder == builder), key=lambda s: s.n_parameters or 0).name
    for builder in {s.builder for s in MODELS.values()}
}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=model_names())
def spec(request: pytest.FixtureRequest) -> ModelSpec:
    return MODELS[request.param]


def side_of(spec: ModelSpec) -> int:
    """Side of the test images: small, for speed."""
    return spec.input.minimum if spec.input.is_fixed else max(64, spec.input.minimum)


@pytest.fixture(scope="module")
def net(spec: ModelSpec) -> Any:
    torch.manual_seed(0)
    sized = {"input_px": side_of(spec)} if spec.input.is_fixed else {}
    return build_model(spec.name, len(spec.class_names), weights="random", **sized)


def images(spec: ModelSpec, n: int = 2, seed: int = 0) -> Any:
    side = side_of(spec)
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, 3, side, side)).astype(np.float32))


def test_the_registry_states_its_size(spec: ModelSpec) -> None:
    # Shapes without numbers: the default sizes of all networks in moments.
    with torch.device("meta"):
        size = model_size(build_model(spec.name, len(spec.class_names), weights="random"))
    assert (size.parameters, size.trainable) == (spec.n_parameters, spec.n_trainable)


def test_its_registry_entry_is_complete(spec: ModelSpec) -> None:
    if spec.kind == "classification":
        assert spec.class_names == TASKS[spec.task].class_names
    assert spec.paper
    assert spec.task
    assert len(set(spec.class_names)) == len(spec.class_names) >= 2
    assert (spec.backbone is None) == (spec.backbone_licence == "")
    assert spec.input.default % spec.input.multiple == 0


def test_a_seed_gives_the_same_weights_and_another_seed_others(spec: ModelSpec) -> None:
    sized = {"input_px": side_of(spec)} if spec.input.is_fixed else {}

    def digest(seed: int) -> str:
        net = build_model(spec.name, len(spec.class_names), weights="random", seed=seed, **sized)
        found = hashlib.sha256()
        for name, value in sorted(net.state_dict().items()):
            found.update(name.encode() + value.numpy().tobytes())
        return found.hexdigest()

    state = torch.random.get_rng_state()
    first = digest(5)
    assert torch.equal(torch.random.get_rng_state(), state)
    # Numbers drawn by others in between change nothing.
    torch.rand(7)
    assert digest(5) == first
    if spec.name in WRITTEN:
        assert digest(6) != first


def test_logits_have_their_shape_and_each_image_its_own(spec: ModelSpec, net: Any) -> None:
    net.eval()
    given = images(spec)
    with torch.inference_mode():
        logits, alone = net(given), net(given[1:])
    expected = (2, len(spec.class_names), *(given.shape[2:] if spec.kind == "segmentation" else ()))
    assert tuple(logits.shape) == expected
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()
    # In evaluation an image's logits must not depend on the rest of the batch.
    assert torch.allclose(logits[1:], alone, atol=1e-3, rtol=1e-3)
    assert not torch.allclose(logits[:1], logits[1:], atol=1e-6)


def test_a_step_reaches_every_trainable_weight_and_no_other(spec: ModelSpec, net: Any) -> None:
    net.train()
    net.zero_grad()
    running = {k: v.clone() for k, v in net.named_buffers() if k.startswith("backbone")}
    logits = net(images(spec))
    torch.nn.functional.cross_entropy(
        logits, torch.zeros((2, *logits.shape[2:]), dtype=torch.long)
    ).backward()
    without = [k for k, p in net.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
    assert [k for k, p in net.named_parameters() if not p.requires_grad and p.grad is not None] == []
    if getattr(net, "is_frozen", False):
        assert all(torch.equal(v, running[k]) for k, v in net.named_buffers() if k in running)
    net.zero_grad()


def test_the_cam_layer_gives_a_map_with_a_gradient(spec: ModelSpec, net: Any) -> None:
    if spec.kind == "segmentation":
        assert net.cam_layer is None
        return
    net.eval()
    seen: list[Any] = []

    def keep(_: Any, __: Any, output: Any) -> None:
        output.requires_grad_() if not output.requires_grad else None
        output.retain_grad()
        seen.append(output)

    handle = net.get_submodule(net.cam_layer).register_forward_hook(keep)
    net(images(spec))[:, 0].sum().backward()
    handle.remove()
    (output,) = seen
    assert output.ndim == (4 if net.cam_prefix_tokens is None else 3)
    assert output.shape[0] == 2
    if net.cam_prefix_tokens is not None:
        side = side_of(spec) // spec.input.multiple
        assert output.shape[1] == net.cam_prefix_tokens + side * side
    assert output.grad.abs().max() > 0
    net.zero_grad()


def test_normalisation_is_three_means_and_three_deviations(net: Any) -> None:
    mean, std = net.normalisation
    assert len(mean) == len(std) == 3
    assert all(0 <= m <= 1 for m in mean)
    assert all(0 < s <= 1 for s in std)


def test_a_checkpoint_restores_it(spec: ModelSpec, net: Any, tmp_path: Path) -> None:
    if spec.name not in WRITTEN:
        return
    net.eval()
    given = images(spec, n=1)
    with torch.inference_mode():
        before = net(given)
    mean, std = net.normalisation
    card = ModelCard(
        model=spec.name,
        class_names=spec.class_names,
        task=spec.task,
        pixel_size_um=spec.pixel_size_um,
        patch_size_px=spec.input.default,
        mean=mean,
        std=std,
    )
    save_checkpoint(tmp_path / "best", net, card)
    again, read = load_checkpoint(tmp_path / "best")
    assert read.class_names == spec.class_names
    assert not again.training
    with torch.inference_mode():
        assert torch.equal(again(given), before)
