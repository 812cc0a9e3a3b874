"""Checkpoints of networks on bags."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")

from qupath_her2.errors import ModelError  # noqa: E402
from qupath_her2.models.bag_checkpoint import (  # noqa: E402
    bag_card,
    check_features,
    is_bag_card,
    load_bag_checkpoint,
)
from qupath_her2.models.bag_networks import build_bag_network  # noqa: E402
from qupath_her2.models.bag_settings import BagNetworkSettings  # noqa: E402
from qupath_her2.models.card import card_path, read_card  # noqa: E402
from qupath_her2.models.checkpoint import save_checkpoint  # noqa: E402


def saved(path: Path, name: str = "clam-mb") -> Any:
    net = build_bag_network(name, 6, 3, BagNetworkSettings(hidden=16, attention=8, dropout=0.1), seed=2)
    card = bag_card(
        net,
        ("0", "low", "high"),
        task="her2-3",
        recipe=name,
        encoder="uni",
        encoder_sha256="ab" * 32,
        n_features=6,
        pixel_size_um=0.5,
        patch_size_px=224,
    )
    net.options = dict(card.options)
    save_checkpoint(path, net, card)
    return net.eval()


@pytest.mark.parametrize("name", ["clam-sb", "clam-mb", "dtfd-afs", "abmil", "mean-pool", "max-pool"])
def test_a_network_is_read_back(name: str, tmp_path: Path) -> None:
    net = saved(tmp_path / "best", name)
    again, card = load_bag_checkpoint(tmp_path / "best")
    bag = torch.randn(9, 6)
    with torch.no_grad():
        assert torch.equal(net(bag), again(bag))
    assert is_bag_card(card)
    assert (card.options["encoder"], card.pixel_size_um, card.class_names) == (
        "uni",
        0.5,
        ("0", "low", "high"),
    )


def test_damaged_cards_are_refused(tmp_path: Path) -> None:
    saved(tmp_path / "best")
    file = card_path(tmp_path / "best")
    content = json.loads(file.read_text())
    for change, says in (
        ({"model": "resnet50"}, "network 'resnet50', which does not learn from bags"),
        ({"options": {}}, "Card of .* is invalid"),
        (
            {"options": {**content["options"], "network": {"hidden": 0}}},
            "hidden is 0; it must be a whole number",
        ),
        (
            {"options": {**content["options"], "n_features": 7}},
            "do not fit their card: attention_net.0.weight",
        ),
    ):
        file.write_text(json.dumps({**content, **change}))
        with pytest.raises(ModelError, match=says):
            load_bag_checkpoint(tmp_path / "best")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("uni", "ab" * 32, 6, 0.5), ""),
        (("", "", 6, float("nan")), ""),
        (
            ("timm:x", "", 6, 0.5),
            r"slide.svs: features are of timm:x \(6 numbers a patch\), but model 'clam-mb' was",
        ),
        (("uni", "cd" * 32, 6, 0.5), "with other weights"),
        (
            ("uni", "ab" * 32, 8, 0.5),
            r"uni \(8 numbers a patch\).* trained on those of uni \(6\). Embed the slides",
        ),
        (
            ("uni", "ab" * 32, 6, 1.0),
            r"at 1 µm/px, but .* trained at 0.5. .*qupath-her2 embed FOLDER --um-px 0.5",
        ),
    ],
)
def test_features_of_another_kind_are_refused(given: Any, says: str, tmp_path: Path) -> None:
    saved(tmp_path / "best")
    card = read_card(tmp_path / "best")
    if not says:
        check_features(card, *given, where="slide.svs")
        return
    with pytest.raises(ModelError, match=says):
        check_features(card, *given, where="slide.svs")
