"""Checkpoints of networks on bags: the same two files as other networks', with the encoder in the card's options.

The card's `options` hold ``n_features``, ``encoder``, ``encoder_sha256`` and the widths of the network; `mean` and
`std` are 0 and 1, for a bag is not normalised.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qupath_her2.errors import ModelError, SettingsError
from qupath_her2.models.bag_settings import BagNetworkSettings
from qupath_her2.models.bag_specs import BAG_MODELS
from qupath_her2.models.card import ModelCard, weights_path
from qupath_her2.models.checkpoint import matching_card
from qupath_her2.models.optional import need
from qupath_her2.models.weights import first_faults, read_weights

if TYPE_CHECKING:
    from qupath_her2.models.bag_base import BagNetwork

__all__ = ["bag_card", "check_features", "is_bag_card", "load_bag_checkpoint"]


def is_bag_card(card: ModelCard) -> bool:
    """Return whether a card describes a network on bags."""
    return card.model in BAG_MODELS


def bag_card(
    net: BagNetwork,
    class_names: tuple[str, ...],
    *,
    task: str,
    recipe: str,
    encoder: str,
    encoder_sha256: str,
    n_features: int,
    pixel_size_um: float,
    patch_size_px: int,
    **more: Any,
) -> ModelCard:
    """Return the card of a network on bags.

    Parameters
    ----------
    net
        The network.
    class_names, task, recipe
        What it was trained for, and by which recipe.
    encoder, encoder_sha256, n_features
        Encoder of its features, "" where unknown, and numbers per patch.
    pixel_size_um, patch_size_px
        Scale and side of the patches; NaN and 1 where the features do not say.
    **more
        Other fields of the card.

    Returns
    -------
    ModelCard
        To be saved with `checkpoint.save_checkpoint`.
    """
    settings: BagNetworkSettings = net.settings
    options = {"n_features": n_features, "encoder": encoder, "encoder_sha256": encoder_sha256}
    return ModelCard(
        model=net.model_name,
        class_names=class_names,
        task=task,
        pixel_size_um=pixel_size_um,
        patch_size_px=max(1, patch_size_px),
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        options={**options, "network": dataclasses.asdict(settings)},
        recipe=recipe,
        **more,
    )


def load_bag_checkpoint(path: Path) -> tuple[BagNetwork, ModelCard]:
    """Load a network on bags with its card.

    Parameters
    ----------
    path
        Name of the checkpoint, or either of its files.

    Returns
    -------
    tuple[BagNetwork, ModelCard]
        The network on the CPU, in evaluation mode.

    Raises
    ------
    ModelError
        A file is missing or damaged, or the checkpoint is of another kind.
    MissingExtraError
        torch is not installed.
    """
    need("torch", "safetensors")
    from qupath_her2.models.bag_networks import build_bag_network

    card = matching_card(path)
    if not is_bag_card(card):
        raise ModelError(f"Checkpoint '{path}' is of network '{card.model}', which does not learn from bags.")
    options = dict(card.options)
    try:
        settings = BagNetworkSettings(**options["network"])
        net = build_bag_network(card.model, int(options["n_features"]), len(card.class_names), settings)
    except (KeyError, TypeError, ValueError, SettingsError) as error:
        raise ModelError(
            f"Card of '{path}' is invalid: {error}. Restore it from a copy, or train again."
        ) from error
    state, own = read_weights(weights_path(path)), net.state_dict()
    faults = [name for name in {*own, *state} if name not in own or name not in state]
    faults += [name for name in own if name in state and own[name].shape != state[name].shape]
    if faults:
        raise ModelError(
            f"Weights '{weights_path(path)}' do not fit their card: {first_faults(sorted(faults))}."
        )
    net.load_state_dict(state)
    net.eval()
    return net, card


def check_features(
    card: ModelCard, encoder: str, encoder_sha256: str, n_features: int, pixel_size_um: float, *, where: str
) -> None:
    """Check that features are of the encoder and scale that a network on bags was trained on.

    Parameters
    ----------
    card
        Card of the network.
    encoder, encoder_sha256, n_features, pixel_size_um
        What the features say of themselves; "" and NaN where they say nothing.
    where
        The slide, for the message.

    Raises
    ------
    ModelError
        They are of another encoder, of other weights of it, or of another scale.
    """
    known = dict(card.options)
    same_name = not encoder or not known["encoder"] or encoder == known["encoder"]
    hashes = {encoder_sha256, str(known["encoder_sha256"])} - {""}
    same_weights = len(hashes) < 2
    if n_features != known["n_features"] or not same_name or not same_weights:
        mine = f"{encoder or 'an unknown encoder'} ({n_features} numbers a patch)"
        theirs = f"{known['encoder'] or 'an unknown encoder'} ({known['n_features']})"
        other = "" if same_weights else ", with other weights"
        raise ModelError(
            f"{where}: features are of {mine}{other}, but model '{card.model}' was trained on those of {theirs}. Embed "
            "the slides with that encoder, or train again."
        )
    if abs(pixel_size_um / card.pixel_size_um - 1) > 0.02:
        raise ModelError(
            f"{where}: features are of patches at {pixel_size_um:g} µm/px, but model '{card.model}' was trained at "
            f"{card.pixel_size_um:g}. Embed the slides at that scale (qupath-her2 embed FOLDER --um-px "
            f"{card.pixel_size_um:g}), or train again."
        )
