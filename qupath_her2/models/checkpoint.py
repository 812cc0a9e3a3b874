"""Checkpoints: NAME.safetensors (tensors only) and NAME.json (the model card); reading one runs no code.

Both files are written as drafts (``.new``) and then renamed, weights first. A process killed between the two renames
leaves the draft of the new card beside the new weights, and the next reader completes the rename.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from qupath_her2.errors import ModelError
from qupath_her2.models.card import ModelCard, card_bytes, card_path, read_card, weights_path
from qupath_her2.models.optional import need
from qupath_her2.models.registry import build_model
from qupath_her2.models.weights import first_faults, read_weights
from qupath_her2.project.exchange.writing import output_errors, sync_folder, write_synced
from qupath_her2.provenance import sha256_file

if TYPE_CHECKING:
    from torch import nn

__all__ = ["load_checkpoint", "matching_card", "save_card", "save_checkpoint"]


def save_checkpoint(path: Path, model: nn.Module, card: ModelCard) -> ModelCard:
    """Write a network and its card as ``<path>.safetensors`` and ``<path>.json``.

    Parameters
    ----------
    path
        Path without suffix; its folder is created.
    model
        Built by `registry.build_model`; on any device, of any floating-point type.
    card
        Its card; `weights_sha256` is filled in, `options` and `initial_weights` only where empty.

    Returns
    -------
    ModelCard
        The card as written to the file.

    Raises
    ------
    ModelError
        The card belongs to another network: name or number of classes differ.
    OutputError
        The files cannot be written; an earlier checkpoint there is intact.
    """
    need("torch", "safetensors")
    from safetensors.torch import save

    if card.model != model.model_name or len(card.class_names) != model.n_classes:
        raise ModelError(
            f"The card describes model '{card.model}' with {len(card.class_names)} classes, but the network is "
            f"'{model.model_name}' with {model.n_classes}. Pass the card of this network."
        )
    # Serialised in memory before anything is written: its hash belongs into the card that is written first.
    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()})
    card = dataclasses.replace(
        card,
        options=card.options or model.options,
        initial_weights=card.initial_weights or model.weights_source,
        weights_sha256=hashlib.sha256(data).hexdigest(),
    )
    weights, card_file = weights_path(path), card_path(path)
    text = card_bytes(card)
    with output_errors(weights):
        weights.parent.mkdir(parents=True, exist_ok=True)
        # The card's draft first: whoever then finds new weights under an old card also finds their card.
        write_synced(_draft(card_file), text)
        write_synced(_draft(weights), data)
        _draft(weights).replace(weights)
        _draft(card_file).replace(card_file)
        sync_folder(weights.parent)
    return card


def save_card(path: Path, card: ModelCard) -> None:
    """Replace the card of a checkpoint, e.g. after calibration; the weights stay as they are.

    Raises
    ------
    ModelError
        The card belongs to other weights than those on disk.
    """
    if sha256_file(weights_path(path)) != card.weights_sha256:
        raise ModelError(
            f"The card does not belong to '{weights_path(path)}': their hashes differ. Start from the card read there."
        )
    file = card_path(path)
    with output_errors(file):
        write_synced(_draft(file), card_bytes(card))
        _draft(file).replace(file)
        sync_folder(file.parent)


def load_checkpoint(path: Path) -> tuple[nn.Module, ModelCard]:
    """Load a network with its card.

    Parameters
    ----------
    path
        Name of the checkpoint, or either of its files.

    Returns
    -------
    model
        The network on the CPU, in evaluation mode.
    card
        Its card.

    Raises
    ------
    ModelError
        A file is missing or damaged, the hash differs from the card's, the model is unknown, or the weights do not
        fit the network that the card describes; the message names the first differences.
    MissingExtraError
        torch or timm is not installed.
    """
    need("torch", "timm", "safetensors")
    weights = weights_path(path)
    card = matching_card(path)
    # `weights=None`: pretrained weights would be loaded, or downloaded, only to be overwritten.
    model = build_model(card.model, len(card.class_names), weights=None, **card.options)
    state = read_weights(weights)
    # Classifiers know the weight names of earlier versions.
    if hasattr(model, "current_names"):
        state = model.current_names(state)
    # Compared here rather than by load_state_dict, whose message lists every one of some hundred names.
    own = model.state_dict()
    faults = [f"{name} is missing" for name in own if name not in state]
    faults += [f"{name} is unexpected" for name in state if name not in own]
    faults += [
        f"{name} is {tuple(state[name].shape)}, not {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    if faults:
        raise ModelError(
            f"Weights '{weights}' do not fit model '{card.model}' with {len(card.class_names)} classes: "
            f"{first_faults(faults)}. They belong to another version or another card; train again."
        )
    model.load_state_dict(state)
    model.weights_source = card.initial_weights
    model.eval()
    return model, card


def _draft(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def matching_card(path: Path) -> ModelCard:
    """Return the card of a checkpoint, after completing an interrupted rename; ModelError unless its hash is right."""
    weights, file = weights_path(path), card_path(path)
    if not weights.is_file():
        raise ModelError(
            f"Checkpoint '{weights.with_suffix('')}' has no weights: '{weights.name}' is not there. A checkpoint is "
            "two files, NAME.safetensors and NAME.json: copy both."
        )
    found = sha256_file(weights)
    draft = _draft(file)
    # A draft of a save that never replaced the weights names another hash, and stays where it is.
    if draft.is_file() and f'"{found}"'.encode() in draft.read_bytes():
        with output_errors(file):
            draft.replace(file)
    card = read_card(path)
    if card.weights_sha256 != found:
        raise ModelError(
            f"Weights '{weights}' do not match their card: SHA-256 {found[:12]}…, but the card says "
            f"{card.weights_sha256[:12] or 'none'}…. One of the two files is damaged or belongs to another checkpoint: "
            "copy both again."
        )
    return card
