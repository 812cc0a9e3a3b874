from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")
pytest.importorskip("timm", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")

from safetensors.torch import load_file, save_file  # noqa: E402

from qupath_her2.errors import Her2Error, ModelError, OutputError  # noqa: E402
from qupath_her2.models.card import (  # noqa: E402
    ModelCard,
    card_bytes,
    read_card,
)
from qupath_her2.models.checkpoint import (  # noqa: E402
    load_checkpoint,
    save_card,
    save_checkpoint,
)
from qupath_her2.models.registry import build_model  # noqa: E402
from qupath_her2.provenance import sha256_file  # noqa: E402

SMALL = "timm:test_resnet"


def small(seed: int = 0, n_classes: int = 3) -> Any:
    torch.manual_seed(seed)
    return build_model(SMALL, n_classes, weights="random")


def card_of(net: Any) -> ModelCard:
    mean, std = net.normalisation
    return ModelCard(
        model=net.model_name,
        class_names=tuple(f"class {i}" for i in range(net.n_classes)),
        task="her2-4",
        pixel_size_um=0.5,
        patch_size_px=64,
        mean=mean,
        std=std,
    )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    net = small()
    save_checkpoint(tmp_path / "models" / "best", net, card_of(net))
    return tmp_path / "models" / "best"


def test_card_and_weights_round_trip(saved: Path) -> None:
    net, card = load_checkpoint(saved)
    assert card == read_card(saved)
    assert card.initial_weights == net.weights_source == "random"
    assert card.weights_sha256 == sha256_file(saved.with_suffix(".safetensors"))
    given = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(net(given), small().eval()(given))
    assert sorted(p.name for p in saved.parent.iterdir()) == ["best.json", "best.safetensors"]


def test_options_are_in_the_card_and_rebuild_the_network(tmp_path: Path) -> None:
    net = build_model("timm:test_vit", 2, weights="random", input_px=64)
    save_checkpoint(tmp_path / "vit", net, card_of(net))
    again, card = load_checkpoint(tmp_path / "vit.json")
    assert card.options == {"input_px": 64}
    assert again(torch.randn(1, 3, 64, 64)).shape == (1, 2)


def test_a_card_of_another_network_is_refused(tmp_path: Path) -> None:
    net = small()
    for wrong in ({"model": "resnet50"}, {"class_names": ("a", "b")}):
        with pytest.raises(ModelError, match="Pass the card of this network"):
            save_checkpoint(tmp_path / "x", net, dataclasses.replace(card_of(net), **wrong))
    assert not list(tmp_path.iterdir())


def test_one_changed_byte_is_detected(saved: Path) -> None:
    weights = saved.with_suffix(".safetensors")
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ModelError, match="do not match their card: SHA-256"):
        load_checkpoint(saved)


def test_each_missing_file_is_named(saved: Path) -> None:
    saved.with_suffix(".json").unlink()
    with pytest.raises(ModelError, match=r"best\.json' is not there"):
        load_checkpoint(saved)
    saved.with_suffix(".safetensors").unlink()
    with pytest.raises(ModelError, match=r"best\.safetensors' is not there"):
        load_checkpoint(saved)


def rewrite(saved: Path, **changes: Any) -> None:
    """Give the weights that are there a card with `changes`, its hash right."""
    card = dataclasses.replace(
        read_card(saved), weights_sha256=sha256_file(saved.with_suffix(".safetensors")), **changes
    )
    saved.with_suffix(".json").write_bytes(card_bytes(card))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"class_names": ("a", "b")}, r"fc\.weight is \(3, .*\), not \(2, "),
        ({"model": "timm:test_resnets"}, "has no network"),
        ({"model": "resnet51"}, "Unknown model 'resnet51'"),
        ({"options": {"input_px": 3}}, "has no option 'input_px'"),
        ({"model": "timm:test_efficientnet"}, "is missing"),
    ],
)
def test_a_card_that_describes_another_network(changes: dict[str, Any], words: str, saved: Path) -> None:
    rewrite(saved, **changes)
    with pytest.raises(Her2Error, match=words):
        load_checkpoint(saved)


@pytest.mark.parametrize("words", ["is missing", "is unexpected"])
def test_a_missing_or_unexpected_weight_is_named(words: str, saved: Path) -> None:
    weights = saved.with_suffix(".safetensors")
    state = load_file(weights)
    if words == "is missing":
        state.pop("backbone.conv1.0.weight")
    else:
        state["backbone.more"] = torch.zeros(1)
    save_file(state, weights)
    rewrite(saved)
    with pytest.raises(ModelError, match=words):
        load_checkpoint(saved)


def test_weights_in_another_format_are_refused(saved: Path) -> None:
    torch.save(small().state_dict(), saved.with_suffix(".safetensors"))
    rewrite(saved)
    with pytest.raises(ModelError, match="damaged"):
        load_checkpoint(saved)


@pytest.mark.parametrize("n_renames", [0, 1])
def test_killed_at_any_rename_a_complete_checkpoint_is_read(
    n_renames: int, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = small(seed=1)
    done = []
    replace = Path.replace

    def stop(self: Path, target: Path) -> Path:
        if len(done) == n_renames:
            raise KeyboardInterrupt
        done.append(target)
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(saved, other, dataclasses.replace(card_of(other), recipe="second"))
    net, card = load_checkpoint(saved)
    expected = (small(), "") if n_renames == 0 else (other, "second")
    assert card.recipe == expected[1]
    assert torch.equal(net.backbone.fc.weight, expected[0].backbone.fc.weight)


def test_the_card_alone_can_be_replaced(saved: Path) -> None:
    card = dataclasses.replace(read_card(saved), temperature=1.7)
    save_card(saved, card)
    assert load_checkpoint(saved)[1] == card
    with pytest.raises(ModelError, match="hashes differ"):
        save_card(saved, dataclasses.replace(card, weights_sha256="1" * 64))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a folder that may not be written")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    net = small()
    with pytest.raises(OutputError, match="read-only"):
        save_checkpoint(tmp_path / "x", net, card_of(net))


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("")
    net = small()
    with pytest.raises(OutputError, match="--out DIR"):
        save_checkpoint(tmp_path / "models" / "x", net, card_of(net))
