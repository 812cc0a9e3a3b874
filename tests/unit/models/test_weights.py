"""Initial weights, tested on a small timm network with random weights made here."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")
timm = pytest.importorskip("timm", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")

import huggingface_hub  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from qupath_her2.errors import ModelError  # noqa: E402
from qupath_her2.models.registry import build_model  # noqa: E402
from qupath_her2.models.weights import WEIGHTS_FOLDER, RandomWeightsWarning, read_weights  # noqa: E402

NAME = "test_vit.r160_in1k"
SMALL = "timm:test_vit.r160_in1k"


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    """The weights of `NAME` as a hub publishes them, with a classifier of 1000 classes."""
    torch.manual_seed(7)
    return dict(timm.create_model(NAME, pretrained=False).state_dict())


@pytest.fixture
def file(published: dict[str, Any], tmp_path: Path) -> Path:
    path = tmp_path / f"{NAME}.safetensors"
    save_file(published, path)
    return path


def backbone_is(net: Any, published: dict[str, Any]) -> bool:
    own = net.backbone.state_dict()
    return all(torch.equal(own[k], v) for k, v in published.items() if not k.startswith("head."))


def test_a_weights_file_is_loaded_and_named(file: Path, published: dict[str, Any]) -> None:
    net = build_model(SMALL, 3, weights=file)
    assert backbone_is(net, published)
    assert net.weights_source == f"{file.name}, sha256 {hashlib.sha256(file.read_bytes()).hexdigest()}"


def test_pretrained_looks_in_the_folder_first(
    file: Path, published: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WEIGHTS_FOLDER, str(file.parent))
    net = build_model(SMALL, 3)
    assert backbone_is(net, published)
    assert net.weights_source.startswith(NAME)


def test_pretrained_asks_the_hub_for_safetensors(
    file: Path, published: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def hub(repo: str, name: str) -> str:
        asked.append((repo, name))
        return str(file)

    monkeypatch.delenv(WEIGHTS_FOLDER, raising=False)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hub)
    assert backbone_is(build_model(SMALL, 3), published)
    assert asked == [(f"timm/{NAME}", "model.safetensors")]


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Switch the hub's own code offline: it says no, without a network and at once."""
    monkeypatch.delenv(WEIGHTS_FOLDER, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))


@pytest.mark.usefixtures("no_hub")
def test_an_unreachable_hub_is_an_error_with_the_ways_out() -> None:
    with pytest.raises(ModelError) as caught:
        build_model(SMALL, 3)
    for words in (NAME, "--weights FILE", WEIGHTS_FOLDER, "--weights random", "huggingface.co/timm/"):
        assert words in str(caught.value)


@pytest.mark.usefixtures("no_hub")
def test_auto_falls_back_to_random_with_a_warning(published: dict[str, Any]) -> None:
    with pytest.warns(RandomWeightsWarning, match=f"Random weights are used.*{NAME}"):
        net = build_model(SMALL, 3, weights="auto")
    assert net.weights_source == "random"
    assert not backbone_is(net, published)


def test_auto_uses_pretrained_weights_where_available(
    file: Path, published: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WEIGHTS_FOLDER, str(file.parent))
    assert backbone_is(build_model(SMALL, 3, weights="auto"), published)


def test_random_weights_are_named_as_such(published: dict[str, Any]) -> None:
    net = build_model(SMALL, 3, weights="random")
    assert net.weights_source == "random"
    assert not backbone_is(net, published)


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(ModelError, match="none of 'pretrained', 'auto', 'random', or a file"):
        build_model(SMALL, 3, weights="imagenet")  # type: ignore[arg-type]


@pytest.mark.parametrize("change", ["missing", "unexpected", "not"])
def test_weights_of_another_network_are_refused(
    change: str, published: dict[str, Any], tmp_path: Path
) -> None:
    state = dict(published)
    first = next(k for k in state if k.startswith("blocks."))
    if change == "missing":
        del state[first]
    elif change == "unexpected":
        state["blocks.99.norm1.weight"] = torch.zeros(3)
    else:
        state[first] = torch.zeros(3)
    path = tmp_path / "other.safetensors"
    save_file(state, path)
    with pytest.raises(ModelError, match=change):
        build_model(SMALL, 3, weights=path)


def test_a_pth_of_tensors_is_read_and_code_is_not_run(published: dict[str, Any], tmp_path: Path) -> None:
    torch.save({"state_dict": {f"module.{k}": v for k, v in published.items()}}, tmp_path / "good.pth")
    assert set(read_weights(tmp_path / "good.pth")) == set(published)

    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (marker,)

    torch.save({"a": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ModelError, match="runs code is refused"):
        read_weights(tmp_path / "evil.pth")
    assert not marker.exists()


@pytest.mark.parametrize("name", ["x.safetensors", "x.pth"])
def test_damaged_and_missing_files(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        read_weights(tmp_path / name)
    (tmp_path / name).write_bytes(b"not weights at all")
    with pytest.raises(ModelError, match="damaged"):
        read_weights(tmp_path / name)
