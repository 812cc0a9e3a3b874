"""The card of a checkpoint: what a network was trained on and for, as strict JSON beside its weights.

Reading a card needs no torch, so that ``models`` lists checkpoints and a wrong one is refused before it is loaded.
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
    "check_picture",
    "identity",
    "read_card",
    "weights_path",
]

CARD_FORMAT = 1
#: A card is a page; what is larger is something else.
_MAX_BYTES = 16 << 20
#: Rounding of pixel sizes in files, not another magnification.
_SCALE_TOLERANCE = 0.02


@dataclasses.dataclass(frozen=True, slots=True)
class ModelCard:
    """What belongs to a network's weights.

    Attributes
    ----------
    model, options
        Its name in the registry, and the options it was built with.
    class_names
        Of the C logits, in their order.
    task
        The table of labels it was trained for (``her2-4`` …).
    pixel_size_um
        Of the pictures it takes; NaN = images scaled to `patch_size_px` as a whole.
    patch_size_px
        Side of the pictures it takes.
    mean, std
        RGB in 0..1 is normalised by these.
    stain
        None, or the normalisation done before ("macenko" …).
    recipe
        Name of the recipe, "" without.
    data_hash
        SHA-256 of the manifest it was trained on, "" for none.
    metrics
        What training measured, JSON-able.
    temperature
        Logits are divided by it before the softmax (calibration); > 0.
    abstain_below
        A patch whose best probability is smaller is left unnamed; 0..1, 0 = never.
    versions
        Of the packages that trained it.
    initial_weights
        Where training began: ``weights_source`` of the built network.
    weights_sha256
        Of the file of weights; written by `save_checkpoint`.
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
    """Return what of a network decides what it says: its weights and its card, but for figures and versions."""
    return {
        "weights": card.weights_sha256,
        "card": dataclasses.asdict(card) | {"metrics": None, "versions": None},
    }


def weights_path(path: Path) -> Path:
    """Return the file of weights of a checkpoint given by its name, its weights or its card."""
    return _stem(path).with_name(f"{_stem(path).name}.safetensors")


def card_path(path: Path) -> Path:
    """Return the card of a checkpoint given by its name, its weights or its card."""
    return _stem(path).with_name(f"{_stem(path).name}.json")


def _stem(path: Path) -> Path:
    # Only our own two endings are cut: a name such as "fold1.best" keeps its dot.
    return path.with_suffix("") if path.suffix in (".json", ".safetensors") else path


def card_bytes(card: ModelCard) -> bytes:
    """Return a card as JSON: sorted keys, NaN as null, a line at the end.

    Raises
    ------
    ModelError
        A value cannot be written as JSON, or is none that `read_card` would take back.
    """
    values = {name: getattr(card, name) for name in _FIELDS}
    values["pixel_size_um"] = None if math.isnan(card.pixel_size_um) else card.pixel_size_um
    values = {name: dict(v) if isinstance(v, Mapping) else v for name, v in values.items()}
    try:
        data = orjson.dumps(
            {"format": CARD_FORMAT, **values},
            option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE,
        )
    except TypeError as error:
        raise ModelError(f"The card of model '{card.model}' cannot be written as JSON: {error}.") from error
    _parse(data, f"of model '{card.model}'")
    return data


def read_card(path: Path) -> ModelCard:
    """Read the card of a checkpoint, given by its name, its weights or its card.

    Raises
    ------
    ModelError
        It is not there, is not JSON, is of another format, or a field is missing, unknown or not what it must be;
        the message names the field.
    """
    file = card_path(path)
    try:
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
        raise ModelError(f"Card '{file}' holds more than {_MAX_BYTES >> 20} MiB; that is no card of a model.")
    return _parse(data, f"'{file}'")


def _parse(data: bytes, whose: str) -> ModelCard:
    try:
        content = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ModelError(f"Card {whose} is not JSON: {error}. Copy it again.") from error
    found = content.get("format") if isinstance(content, dict) else None
    if type(found) is not int or found != CARD_FORMAT:
        raise ModelError(
            f"Card {whose} is of format {found!r}; this version reads format {CARD_FORMAT}. It is no card of a model, "
            "or of a newer qupath-her2: upgrade, or train again."
        )
    del content["format"]
    faults = [f"{name!r} is missing" for name in _FIELDS if name not in content]
    faults += [f"{name!r} is unknown" for name in content if name not in _FIELDS]
    faults += [
        f"{name!r} must be {_FIELDS[name][0]}, not {_short(value)}"
        for name, value in content.items()
        if name in _FIELDS and not _FIELDS[name][1](value)
    ]
    if faults:
        raise ModelError(
            f"Card {whose} is wrong: {'; '.join(faults[:5])}. Restore it from a copy, or train again."
        )
    content["pixel_size_um"] = float("nan") if content["pixel_size_um"] is None else content["pixel_size_um"]
    for name in ("class_names", "mean", "std"):
        content[name] = tuple(content[name])
    return ModelCard(**content)


def check_picture(card: ModelCard, pixel_size_um: float, patch_size_px: int, *, where: str) -> None:
    """Raise ModelError unless pictures are of the scale and size that a network was trained for.

    Parameters
    ----------
    card
        Of the network.
    pixel_size_um, patch_size_px
        Of the pictures: µm/px, NaN where unknown or where images are scaled as a whole; side in px.
    where
        Whose pictures they are, for the message.
    """
    cure = f"Cut them at {card.pixel_size_um:g} µm/px (patches --pixel-size-um {card.pixel_size_um:g}), or train again."
    if not math.isnan(card.pixel_size_um):
        if math.isnan(pixel_size_um):
            raise ModelError(
                f"{where}: its pixel size is unknown, and model '{card.model}' was trained at "
                f"{card.pixel_size_um:g} µm/px. Set it in QuPath (Image tab → Pixel width)."
            )
        if abs(pixel_size_um / card.pixel_size_um - 1) > _SCALE_TOLERANCE:
            raise ModelError(
                f"{where}: pictures of {pixel_size_um:g} µm/px, and model '{card.model}' was trained at "
                f"{card.pixel_size_um:g}. {cure}"
            )
    if patch_size_px != card.patch_size_px:
        raise ModelError(
            f"{where}: pictures of {patch_size_px} px, and model '{card.model}' was trained on "
            f"{card.patch_size_px} px. Cut them again (patches --patch-size-px {card.patch_size_px}), or train again."
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


#: {field: (what it must be, in words; whether a JSON value is that)}, in the order of the dataclass.
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
    "data_hash": ("a SHA-256 in hex, or empty", _is_hash),
    "metrics": ("an object", lambda v: isinstance(v, dict)),
    "temperature": ("a number above 0", lambda v: _is_number(v) and v > 0),
    "abstain_below": ("a number in 0..1", lambda v: _is_number(v) and 0 <= v <= 1),
    "versions": ("an object of texts", _is_texts),
    "initial_weights": ("text", _is_text),
    "weights_sha256": ("a SHA-256 in hex, or empty", _is_hash),
}
