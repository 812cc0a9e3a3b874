"""``images.json``: the images of a project as QuPath described them at the last pull.

Format 1: ``{"format": 1, "images": [{…}]}``, each image with ``id`` (its folder name in the exchange folder) and
``name``, and, where known, ``path``, ``width``, ``height``, ``pixel_size_um`` (null if QuPath has none), ``stains``,
``image_type``, ``entry_id``, ``metadata``, ``fingerprint``, ``series`` (index of the image in its file), ``chain``
(crops and rotations from the file to the image as QuPath shows it), ``refusal`` (``code`` and ``reason`` of an image
that could not be exported), ``score_run`` and ``proposal_run`` (the runs whose objects QuPath shows).
Unknown members are ignored. Only ``groovy/lib/Her2Export.groovy`` writes it.
"""

from __future__ import annotations

import math
import re
import unicodedata
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from qupath_her2.errors import ExchangeError
from qupath_her2.project.cases import case_from_metadata
from qupath_her2.project.exchange.image_ids import image_folder
from qupath_her2.records import CHOSEN_FOR_IMAGE, GUIDELINE_KEY, CaseInfo, Refusal, SlideRef

__all__ = [
    "IMAGES_FORMAT",
    "CONTROLS",
    "FIELDS",
    "INDICATORS",
    "PREDICTIONS",
    "PROPOSALS",
    "exchange_root",
    "field_folder",
    "read_images",
    "read_metadata",
]

IMAGES_FORMAT = 1
#: Largest coordinate of a crop, px: QuPath's own coordinates are 32-bit integers.
_MAX_SIDE = 2**31
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: Subfolder of the exchange folder for predictions of networks, with the same layout of ``results``.
PREDICTIONS = "predictions"
#: The same for tumour regions that the program proposes.
PROPOSALS = "proposals"
#: The same for indicators that were measured to fit or evaluate their ranges.
INDICATORS = "indicators"
#: The same for control tissue that was measured to calibrate by it.
CONTROLS = "controls"
#: The same for annotations that were scored by themselves, a folder for each, named by its UUID.
FIELDS = "fields"


def exchange_root(her2: Path) -> Path:
    """Return the exchange folder that has the images and regions: ``her2`` for ``her2/predictions``.

    Predictions of networks, proposed regions and fields are kept apart from scores, so that none replaces another in
    QuPath; so are indicators measured for their ranges, and control tissue.
    """
    if her2.absolute().parent.name == FIELDS and _UUID.fullmatch(her2.name):
        return her2.absolute().parents[1]
    is_part = her2.name in (PREDICTIONS, PROPOSALS, INDICATORS, CONTROLS)
    return her2.absolute().parent if is_part else her2


def field_folder(her2: Path, region: UUID) -> Path:
    """Return the folder of an annotation that is scored by itself."""
    return her2 / FIELDS / str(region)


def read_images(her2: Path) -> list[SlideRef]:
    """Return the images listed in ``images.json``; `stains` is passed through unparsed.

    A relative ``path`` is relative to the folder that contains the exchange folder. The region file of an image is
    ``regions/<id>.geojson``, or the same with ``.gz``.

    Raises
    ------
    ExchangeError
        The file cannot be read or violates format 1; the message names the image and the field.
    """
    her2 = exchange_root(her2)
    path = her2 / "images.json"
    try:
        raw = orjson.loads(path.read_bytes())
    except OSError as error:
        raise ExchangeError(
            f"'{path}' cannot be read: {error.strerror or error}. Pull the project again."
        ) from error
    except orjson.JSONDecodeError as error:
        raise ExchangeError(f"'{path}' is not JSON ({error}). Pull the project again.") from error
    if (
        not isinstance(raw, dict)
        or raw.get("format") != IMAGES_FORMAT
        or not isinstance(raw.get("images"), list)
    ):
        found = raw.get("format") if isinstance(raw, dict) else type(raw).__name__
        raise ExchangeError(
            f"'{path}' has format {found!r}; this version reads {IMAGES_FORMAT}. Pull the project again."
        )
    slides = [_slide(image, number, her2) for number, image in enumerate(raw["images"])]
    # Ids are folder names, and Windows and macOS ignore case in those.
    ids = [slide.id.casefold() for slide in slides]
    if len(set(ids)) < len(ids):
        duplicate = next(name for name in ids if ids.count(name) > 1)
        raise ExchangeError(f"'{path}' has two images with the id {duplicate!r}. Pull the project again.")
    return slides


def read_metadata(her2: Path) -> dict[str, dict[str, str]]:
    """Return {image id: metadata in QuPath}; empty for a folder of images.

    Raises
    ------
    ExchangeError
        ``images.json`` is damaged.
    """
    path = exchange_root(her2) / "images.json"
    if not path.is_file():
        return {}
    try:
        images = orjson.loads(path.read_bytes())["images"]
        return {image["id"]: dict(image.get("metadata") or {}) for image in images}
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ExchangeError(f"'{path}' is damaged ({error}). Pull the project again.") from error


def _slide(image: Any, number: int, her2: Path) -> SlideRef:
    where = f"'{her2 / 'images.json'}', image {number}"
    if not isinstance(image, dict):
        raise ExchangeError(f"{where} is not an object. Pull the project again.")
    for key in ("id", "name"):
        if not isinstance(image.get(key), str) or not image[key]:
            raise ExchangeError(f"{where}: {key!r} is {image.get(key)!r}, not text. Pull the project again.")
    # Results and regions are named after the id: it must not lead out of the exchange folder.
    try:
        image_folder(her2, image["id"])
    except ExchangeError as error:
        raise ExchangeError(f"{where}: {error} Pull the project again.") from error
    # Without a recorded path, the name is taken for the path.
    path = image.get("path", image["name"])
    if not isinstance(path, str) or not path:
        raise ExchangeError(f"{where}: 'path' is {path!r}, not text. Pull the project again.")
    candidates = [her2 / "regions" / f"{image['id']}.geojson{packed}" for packed in ("", ".gz")]
    return SlideRef(
        id=image["id"],
        name=unicodedata.normalize("NFC", image["name"]),
        path=_locate(path, her2),
        regions_path=next((candidate for candidate in candidates if candidate.is_file()), None),
        pixel_size_um=_pixel_size(image.get("pixel_size_um"), where),
        stains=image.get("stains"),
        case=case_from_metadata(_metadata(image.get("metadata"), where), image["name"]) or CaseInfo(),
        entry_id=_text(image.get("entry_id"), "entry_id", where),
        width=_size(image.get("width"), "width", where),
        height=_size(image.get("height"), "height", where),
        chain=_chain(image.get("chain") or [], where),
        image_type=_text(image.get("image_type"), "image_type", where),
        refusal=_refusal(image.get("refusal"), where),
        chosen_guideline=_chosen_guideline(_metadata(image.get("metadata"), where)),
        score_run=_text(image.get("score_run"), "score_run", where),
        proposal_run=_text(image.get("proposal_run"), "proposal_run", where),
    )


def _chosen_guideline(metadata: dict[str, str]) -> str | None:
    """Return the name of the guideline that a person chose for an image; None where nobody did."""
    # A name without an origin was typed in QuPath.
    name, _, origin = metadata.get(GUIDELINE_KEY, "").partition(" (")
    return name.strip() or None if origin in ("", f"{CHOSEN_FOR_IMAGE})") else None


def _locate(recorded: str, her2: Path) -> Path:
    """Return the path of an image file; if the recorded path does not exist, look for the name near the project.

    A project is often copied to another machine for scoring, together with its images.
    """
    path = her2.parent / recorded
    if path.exists():
        return path
    # The path may come from Windows, so both separators count.
    name = recorded.replace("\\", "/").rpartition("/")[2]
    nearby = [folder / name for folder in (her2.parent, her2.parent / "images", her2.parent / "slides")]
    return next((candidate for candidate in nearby if candidate.is_file()), path)


def _text(value: Any, key: str, where: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ExchangeError(f"{where}: {key!r} is {value!r}, not text. Pull the project again.")
    return value


def _metadata(value: Any, where: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ExchangeError(
            f"{where}: 'metadata' is {value!r}, not an object of texts. Pull the project again."
        )
    return value


def _size(value: Any, key: str, where: str) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ExchangeError(f"{where}: {key!r} is {value!r}, not a number of pixels. Pull the project again.")
    return value


def _chain(value: Any, where: str) -> tuple[dict[str, Any], ...]:
    # An unknown step would shift every coordinate, so it is an error rather than ignored.
    for step in value if isinstance(value, list) else [value]:
        box = step.get("crop") if isinstance(step, dict) else None
        is_crop = (
            isinstance(box, list)
            and len(box) == 4
            and all(type(n) is int and abs(n) < _MAX_SIDE for n in box)
        )
        is_crop = is_crop and box is not None and min(box[2:]) >= 1
        is_rotation = isinstance(step, dict) and step.get("rotate") in (90, 180, 270)
        if not is_crop and not is_rotation:
            raise ExchangeError(
                f"{where}: step {step!r} of 'chain' is neither a crop nor a rotation by 90, 180 or 270 degrees. "
                "Update qupath-her2."
            )
    return tuple(value)


def _refusal(value: Any, where: str) -> Refusal | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not all(isinstance(value.get(k), str) for k in ("code", "reason")):
        raise ExchangeError(
            f"{where}: 'refusal' is {value!r}, not an object with code and reason. Pull the project again."
        )
    return Refusal(value["code"], value["reason"])


def _pixel_size(value: Any, where: str) -> float | None:
    if value is None:
        return None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value <= 0:
        raise ExchangeError(
            f"{where}: 'pixel_size_um' is {value!r}, not a positive number. Set it in QuPath and pull again."
        )
    return float(value)
