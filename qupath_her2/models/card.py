"""Model cards: classes, scale, normalisation and provenance of a checkpoint, as strict JSON beside its weights.

Reading a card needs no torch, so ``models`` can list checkpoints, and a wrong one is refused before it is loaded.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from qupath_her2.errors import ModelError

__all__ = [
    "CARD_FORMAT",
    "ModelCard",
    "card_bytes",
    "card_path",
    "check_patch_scale",
    "identity",
    "read_card",
    "weights_path",
]

CARD_FORMAT = 1
#: A card is about a page of text; a file beyond this size is not one, and must not fill the memory.
_MAX_BYTES = 16 << 20
#: Pixel sizes are rounded differently by scanners and by QuPath; a real change of magnification is far larger.
_SCALE_TOLERANCE = 0.02


@dataclasses.dataclass(frozen=True, slots=True)
class ModelCard:
    """Description of a trained network, kept beside its weights.

    Attributes
    ----------
    model, options
        Name in the registry, and the options the network was built with.
    class_names
        Names of the C logits, in order.
    task
        Labelling task it was trained for (``her2-4`` …).
    pixel_size_um
        Scale of its input, µm/px; NaN = whole images are resized to `patch_size_px`.
    patch_size_px
        Side of its square input, px.
    mean, std
        Normalisation of RGB values in 0..1.
    stain
        Stain normalisation applied to the patches ("macenko" …), or None.
    recipe
        Name of the training recipe, "" without one.
    data_hash
        SHA-256 of the training manifest, "" for none.
    metrics
        Training and validation metrics, JSON-serialisable.
    temperature
        Calibration: logits are divided by it before the softmax; > 0.
    abstain_below
        A patch whose highest probability is lower gets no class; 0..1, 0 = never.
    versions
        Package versions at training time.
    initial_weights
        Origin of the initial weights: ``weights_source`` of the built network.
    weights_sha256
        SHA-256 of the weights file; filled in by `save_checkpoint`.
    """

    model: str
    class_names: tuple[str, ...]
    task: str
    pixel_size_um: float
    patch_size_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    stain: str | None = None
    recipe: str = ""
    data_hash: str = ""
    metrics: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    temperature: float = 1.0
    abstain_below: float = 0.0
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    initial_weights: str = ""
    weights_sha256: str = ""


def identity(card: ModelCard) -> dict[str, Any]:
    """Return what determines a network's output, for input hashes: weights and card, without metrics and versions."""
    return {
        "weights": card.weights_sha256,
        "card": dataclasses.asdict(card) | {"metrics": None, "versions": None},
    }


def weights_path(path: Path) -> Path:
    """Return the weights file of a checkpoint given by its name, its weights or its card."""
    return _stem(path).with_name(f"{_stem(path).name}.safetensors")


def card_path(path: Path) -> Path:
    """Return the card of a checkpoint given by its name, its weights or its card."""
    return _stem(path).with_name(f"{_stem(path).name}.json")


def _stem(path: Path) -> Path:
    # Only our own two suffixes are removed: a name such as "fold1.best" keeps its dot.
    return path.with_suffix("") if path.suffix in (".json", ".safetensors") else path


def card_bytes(card: ModelCard) -> bytes:
    """Return a card as JSON: sorted keys, NaN as null, a newline at the end.

    Raises
    ------
    ModelError
        A value cannot be written as JSON, or `read_card` would refuse it.
    """
    values = {name: getattr(card, name) for name in _FIELDS}
    # orjson writes NaN as null without being asked; explicit here, as reading relies on it.
    values["pixel_size_um"] = None if math.isnan(card.pixel_size_um) else card.pixel_size_um
    values = {name: dict(v) if isinstance(v, Mapping) else v for name, v in values.items()}
    try:
        data = orjson.dumps(
            {"format": CARD_FORMAT, **values},
            option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE,
        )
    except TypeError as error:
        raise ModelError(f"The card of model '{card.model}' cannot be written as JSON: {error}.") from error
    # Parsed again at once: an invalid card must fail when it is written, not years later when it is needed.
    _parse(data, f"of model '{card.model}'")
    return data


def read_card(path: Path) -> ModelCard:
    """Read the card of a checkpoint, given by its name, its weights or its card.

    Raises
    ------
    ModelError
        The card is missing, is not JSON or has another format, or a field is missing, unknown or invalid; the
        message names the field.
    """
    file = card_path(path)
    try:
        # One byte more than allowed is read, to tell a file of the largest size from a larger one.
        with file.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise ModelError(
            f"Checkpoint '{file.with_suffix('')}' has no card: '{file.name}' is not there. A checkpoint is two files, "
            "NAME.safetensors and NAME.json: copy both."
        ) from error
    except OSError as error:
        raise ModelError(f"Card '{file}' cannot be read: {error.strerror or error}.") from error
    if len(data) > _MAX_BYTES:
        raise ModelError(f"Card '{file}' is larger than {_MAX_BYTES >> 20} MiB, so it is not a model card.")
    return _parse(data, f"'{file}'")


def _parse(data: bytes, source: str) -> ModelCard:
    try:
        content = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ModelError(f"Card {source} is not JSON: {error}. Copy it again.") from error
    found = content.get("format") if isinstance(content, dict) else None
    # `True == 1` in Python, so the type is compared too.
    if type(found) is not int or found != CARD_FORMAT:
        raise ModelError(
            f"Card {source} has format {found!r}; this version reads format {CARD_FORMAT}. It is either not a model "
            "card or was written by a newer qupath-her2: upgrade, or train again."
        )
    del content["format"]
    # All faults are collected, so that a card edited by hand is corrected in one round.
    faults = [f"{name!r} is missing" for name in _FIELDS if name not in content]
    faults += [f"{name!r} is unknown" for name in content if name not in _FIELDS]
    faults += [
        f"{name!r} must be {_FIELDS[name][0]}, not {_short(value)}"
        for name, value in content.items()
        if name in _FIELDS and not _FIELDS[name][1](value)
    ]
    if faults:
        raise ModelError(
            f"Card {source} is invalid: {'; '.join(faults[:5])}. Restore it from a copy, or train again."
        )
    content["pixel_size_um"] = float("nan") if content["pixel_size_um"] is None else content["pixel_size_um"]
    for name in ("class_names", "mean", "std"):
        content[name] = tuple(content[name])
    return ModelCard(**content)


def check_patch_scale(card: ModelCard, pixel_size_um: float, patch_size_px: int, *, where: str) -> None:
    """Check that patches have the scale and size that a network was trained on.

    Parameters
    ----------
    card
        Card of the network.
    pixel_size_um
        Scale of the patches, µm/px; NaN where unknown or where whole images are resized.
    patch_size_px
        Side of the patches, px.
    where
        Image or data set the patches come from, for the message.

    Raises
    ------
    ModelError
        The pixel size is unknown or differs by more than rounding, or the side differs.
    """
    if not math.isnan(card.pixel_size_um):
        if math.isnan(pixel_size_um):
            raise ModelError(
                f"{where}: the pixel size is unknown, but model '{card.model}' was trained at "
                f"{card.pixel_size_um:g} µm/px. Set it in QuPath (Image tab → Pixel width)."
            )
        # A ratio: rounding errors of pixel sizes are relative.
        if abs(pixel_size_um / card.pixel_size_um - 1) > _SCALE_TOLERANCE:
            raise ModelError(
                f"{where}: patches have {pixel_size_um:g} µm/px, but model '{card.model}' was trained at "
                f"{card.pixel_size_um:g}. Cut them at that scale (qupath-her2 patches --um-px "
                f"{card.pixel_size_um:g}), or train again."
            )
    if patch_size_px != card.patch_size_px:
        raise ModelError(
            f"{where}: patches have {patch_size_px} px, but model '{card.model}' was trained on "
            f"{card.patch_size_px} px. Cut them again (qupath-her2 patches --size {card.patch_size_px}), or "
            "train again."
        )


def _short(value: object, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}…"


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def _three(value: object, low: float) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(_is_number(v) and v > low for v in value)


def _is_names(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) >= 2
        and all(isinstance(v, str) and v for v in value)
        and len(set(value)) == len(value)
    )


def _is_texts(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"([0-9a-f]{64})?", value) is not None


#: {field: (description of a valid value, check of a JSON value)}, in the order of the dataclass. Written out, as
#: pydantic would coerce: ``true`` for a number of pixels, ``512.0`` for a side.
_FIELDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "model": ("the name of a model", lambda v: isinstance(v, str) and v != ""),
    "class_names": ("a list of at least two different names", _is_names),
    "task": ("text", _is_text),
    "pixel_size_um": ("µm/px above 0, or null", lambda v: v is None or (_is_number(v) and v > 0)),
    "patch_size_px": ("a whole number above 0", lambda v: type(v) is int and v > 0),
    "mean": ("three numbers", lambda v: _three(v, -math.inf)),
    "std": ("three numbers above 0", lambda v: _three(v, 0.0)),
    "options": ("an object", lambda v: isinstance(v, dict)),
    "stain": ("text or null", lambda v: v is None or _is_text(v)),
    "recipe": ("text", _is_text),
    "data_hash": ("a hexadecimal SHA-256, or empty", _is_hash),
    "metrics": ("an object", lambda v: isinstance(v, dict)),
    "temperature": ("a number above 0", lambda v: _is_number(v) and v > 0),
    "abstain_below": ("a number in 0..1", lambda v: _is_number(v) and 0 <= v <= 1),
    "versions": ("an object of strings", _is_texts),
    "initial_weights": ("text", _is_text),
    "weights_sha256": ("a hexadecimal SHA-256, or empty", _is_hash),
}
