"""Encoders, with small networks of random weights saved in the layout of the hub."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")
timm = pytest.importorskip("timm", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")

import huggingface_hub  # noqa: E402
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from qupath_her2.errors import ModelError, SettingsError  # noqa: E402
from qupath_her2.models.encoders import load_encoder  # noqa: E402

#: UNI's layout with a small transformer in place of its large one.
SMALL = {
    "architecture": "vit_tiny_patch16_224",
    "num_classes": 0,
    "model_args": {
        "img_size": 32,
        "depth": 2,
        "init_values": 1e-5,
        "num_classes": 0,
        "dynamic_img_size": True,
    },
    "pretrained_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]},
}


def small_net(seed: int = 3) -> Any:
    torch.manual_seed(seed)
    return timm.create_model(SMALL["architecture"], pretrained=False, **SMALL["model_args"]).eval()


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A folder as UNI is published: a configuration, and weights as a pickle of tensors."""
    folder = tmp_path / "uni"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(SMALL))
    torch.save(small_net().state_dict(), folder / "pytorch_model.bin")
    return folder


def says_what_it_should(encoder: Any, seed: int = 3) -> bool:
    seen = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        return torch.equal(encoder.net(seen), small_net(seed)(seen))


def test_a_folder_in_the_layout_of_the_hub_is_loaded(published: Path) -> None:
    encoder = load_encoder("uni", str(published))
    assert (encoder.n_features, encoder.mean, encoder.std) == (192, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    assert encoder.weights.startswith("pytorch_model.bin, sha256 ")
    assert says_what_it_should(encoder)


def test_a_file_finds_its_configuration_beside_it(published: Path) -> None:
    save_file(small_net(5).state_dict(), published / "other.safetensors")
    encoder = load_encoder("hub:me/small", str(published / "other.safetensors"))
    assert says_what_it_should(encoder, 5)
    (published / "config.json").unlink()
    with pytest.raises(ModelError, match=r"'hub:me/small' needs its config.json beside the weights"):
        load_encoder("hub:me/small", str(published / "other.safetensors"))


def test_the_hub_is_asked_for_configuration_and_weights(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(hub_id: str, file: str) -> str:
        asked.append((hub_id, file))
        if not (published / file).is_file():
            raise EntryNotFoundError(file)
        return str(published / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_mine")
    assert says_what_it_should(load_encoder("uni"))
    assert asked == [
        ("MahmoodLab/UNI", "config.json"),
        ("MahmoodLab/UNI", "model.safetensors"),
        ("MahmoodLab/UNI", "pytorch_model.bin"),
    ]


def test_a_missing_token_says_where_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    monkeypatch.setattr(
        huggingface_hub, "hf_hub_download", lambda *_: pytest.fail("nothing is asked without a token")
    )
    with pytest.raises(
        ModelError, match=r"'uni' is gated and there is no token\. Accept its licence at .*HF_TOKEN"
    ):
        load_encoder("uni")


def test_no_connection_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: str) -> str:
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(ModelError, match=r"'hub:me/small' cannot be downloaded .*--weights DIR"):
        load_encoder("hub:me/small")


class _Harmful:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("a pickle was run",))


def test_a_pickle_that_runs_code_is_refused(published: Path) -> None:
    (published / "pytorch_model.bin").write_bytes(pickle.dumps(_Harmful(), protocol=2))
    with pytest.raises(ModelError, match="a pickle that runs code is refused"):
        load_encoder("uni", str(published))


def test_weights_of_another_network_are_named(published: Path) -> None:
    torch.save(
        small_net().state_dict() | {"cls_token": torch.zeros(1, 1, 7)}, published / "pytorch_model.bin"
    )
    with pytest.raises(ModelError, match=r"do not fit .*cls_token is \(1, 1, 7\), not \(1, 1, 192\)"):
        load_encoder("uni", str(published))


def test_folders_and_configurations_that_are_none(published: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds none of model.safetensors, pytorch_model.bin"):
        load_encoder("uni", str(tmp_path))
    (published / "config.json").write_text("[]")
    with pytest.raises(ModelError, match="names no architecture"):
        load_encoder("uni", str(published))
    (published / "config.json").write_text("{")
    with pytest.raises(ModelError, match="is no configuration of an encoder"):
        load_encoder("uni", str(published))
    (published / "config.json").write_text(json.dumps({**SMALL, "model_args": {"depth": "two"}}))
    with pytest.raises(ModelError, match="cannot be built with"):
        load_encoder("uni", str(published))


def test_names_that_are_none_are_corrected() -> None:
    with pytest.raises(
        SettingsError, match=r"Unknown encoder 'efficientnet-lite'\. Did you mean 'efficientnet-lite0'"
    ):
        load_encoder("efficientnet-lite")
    with pytest.raises(SettingsError, match=r"timm .* has no network 'resnet5'"):
        load_encoder("timm:resnet5")


def test_any_network_of_timm_without_its_classifier() -> None:
    encoder = load_encoder("timm:test_resnet", "random", seed=4)
    again = load_encoder("timm:test_resnet", "random", seed=4)
    seen = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert encoder.net(seen).shape == (1, encoder.n_features)
        assert torch.equal(encoder.net(seen), again.net(seen))
    assert (encoder.weights, encoder.weights_sha256) == ("random weights", "")
