"""Stain groups: one pair of stain vectors for all images of a scanner and stain, kept in ``stains.json``.

An estimate per image is worse than none: in an unstained image it takes grey for DAB (false 1+ in up to 4.5 % of cells,
against 0 to 0.3 % with pooled vectors). So the tissue of all images of a group is sampled once and the estimate is
**kept**: an image added later is scored with the vectors of its group, and earlier results stay valid. The vectors are
part of every result's input hash. They are estimated again by ``--force`` over the whole folder, when the settings of
the estimate change, or when ``stains.json`` is deleted; all images of the group are then scored again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from qupath_her2.errors import ExchangeError, ImageReadError, SettingsError
from qupath_her2.project.exchange.writing import replace_file
from qupath_her2.provenance import canonical_json
from qupath_her2.slides.readers.slide import read_scaled
from qupath_her2.slides.readers.view import open_image
from qupath_her2.slides.stains.estimate import estimate_stains
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB, StainVectors, optical_density
from qupath_her2.slides.tissue import find_tissue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from qupath_her2.config import Settings
    from qupath_her2.records import SlideRef
    from qupath_her2.slides.readers.slide import Slide
    from qupath_her2.slides.tissue import Tissue

__all__ = ["STAINS_FILE", "PooledStains", "pooled_stains", "sample_tissue", "stain_group"]

STAINS_FILE = "stains.json"
_FORMAT = 1
_WAY_OUT = "Delete it to estimate the stains again."
#: Images sampled per group at most: a direction in colour space is settled long before.
_MAX_IMAGES = 40
_WINDOWS = 12
_WINDOW_PX = 256
#: At most so many pixels per image, so that a whole slide does not outweigh a core.
_PIXELS_AN_IMAGE = 40_000


@dataclass(frozen=True, slots=True)
class PooledStains:
    """Stain vectors by image id, and notes for the user."""

    stains: dict[str, StainVectors]
    notes: tuple[str, ...] = ()


def stain_group(ref: SlideRef, slide: Slide) -> str:
    """Return the group of an image: its file type and pixel size, which stand for the scanner, and its stain."""
    size = ref.pixel_size_um or slide.pixel_size_um
    kind = ref.path.suffix.lower().lstrip(".")
    return f"{kind}, {'unknown size' if size is None else f'{size:.2f} µm'}, {ref.case.stain}"


def pooled_stains(
    refs: Sequence[SlideRef],
    out: Path,
    settings: Settings,
    *,
    anew: bool = False,
    listen: Callable[[str], None] | None = None,
) -> PooledStains:
    """Return the stain vectors of each image's group; groups not in ``stains.json`` yet are estimated.

    Parameters
    ----------
    refs
        All images of the project, also where only some are run: the vectors must not depend on that choice.
    out
        The exchange folder; its ``stains.json`` is read and, if a group is new, replaced.
    settings
        Settings of the estimate and of the tissue search.
    anew
        Ignore the stored vectors.
    listen
        Called with a line of text before the images are sampled.

    Returns
    -------
    PooledStains
        Vectors of every image that can be opened.

    Raises
    ------
    ExchangeError
        ``stains.json`` is damaged.
    """
    groups: dict[str, list[SlideRef]] = {}
    for ref in refs:
        # QuPath's own vectors, if set, apply to that image and are never pooled.
        if ref.stains is None:
            group = _group(ref)
            if group is not None:
                groups.setdefault(group, []).append(ref)
    # Stored with the vectors: other settings of the estimate make it void.
    recipe = canonical_json({"estimate": settings.stains, "tissue": settings.tissue}).decode()
    kept = {} if anew else _read(out / STAINS_FILE)
    notes, changed = [], False
    for group, members in groups.items():
        if group not in kept or kept[group].get("recipe") != recipe:
            if listen is not None:
                listen(f"stains  sampling {len(members)} images ({group})")
            kept[group] = {**_estimate(members, settings), "recipe": recipe}
            changed = True
        # Only a hint: estimating again without being asked would change earlier results.
        elif len(members) > 2 * kept[group]["n_images"]:
            notes.append(
                f"The stain vectors of '{group}' come from {kept[group]['n_images']} images; there are now "
                f"{len(members)}. --force estimates them again and rescores all images."
            )
    if changed:
        content = {"format": _FORMAT, "groups": kept}
        replace_file(out / STAINS_FILE, orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")
    vectors = {group: _vectors(kept[group], out) for group in groups}
    notes += [
        f"The stain vectors of '{group}' are {found.source}. If the colours of these images differ from QuPath's "
        "defaults, set the vectors in QuPath or in her2.toml, or score the images together with strongly stained ones "
        "of the same batch."
        for group, found in vectors.items()
        if found.source.startswith(QUPATH_H_DAB.source)
    ]
    by_image = {ref.id: vectors[group] for group, members in groups.items() for ref in members}
    return PooledStains(by_image, tuple(notes))


def _group(ref: SlideRef) -> str | None:
    """Return an image's group; None if it cannot be opened, which the job of that image will report."""
    try:
        with open_image(ref) as slide:
            return stain_group(ref, slide)
    except ImageReadError:
        return None


def _estimate(members: Sequence[SlideRef], settings: Settings) -> dict[str, Any]:
    # Every step-th image, so that the sample spans the whole list, which is often in the order of staining batches.
    step = max(1, -(-len(members) // _MAX_IMAGES))
    samples = []
    for ref in members[::step]:
        try:
            with open_image(ref) as slide:
                size = ref.pixel_size_um or slide.pixel_size_um
                tissue = find_tissue(slide, pixel_size_um=size, settings=settings.tissue)
                samples.append(sample_tissue(slide, tissue, size))
        except ImageReadError:
            continue
    pixels = np.concatenate(samples) if samples else np.empty((0, 3), np.float32)
    found = estimate_stains(pixels, settings=settings.stains)
    return {
        "hematoxylin": found.hematoxylin,
        "dab": found.dab,
        "source": found.source,
        "n_images": len(members),
    }


def sample_tissue(slide: Slide, tissue: Tissue, pixel_size_um: float | None) -> NDArray[np.float32]:
    """Return optical densities of tissue against the image's own glass, float32 (N, 3), evenly spread.

    Windows at about 1 µm per pixel, at even steps through the tissue mask: no random numbers, so the same image always
    gives the same pixels.

    Parameters
    ----------
    slide
        The open image.
    tissue
        Its tissue mask and glass colour.
    pixel_size_um
        µm per level-0 pixel; None samples at level 0.

    Returns
    -------
    NDArray[np.float32]
        At most `_PIXELS_AN_IMAGE` rows of R, G, B.
    """
    where = np.flatnonzero(tissue.mask)
    if len(where) == 0:
        return np.empty((0, 3), np.float32)
    downsample = float(max(1, int(1.0 / pixel_size_um))) if pixel_size_um else 1.0
    half = _WINDOW_PX * downsample / 2
    picked = where[np.linspace(0, len(where) - 1, min(_WINDOWS, len(where))).astype(np.int64)]
    densities = []
    for flat in picked:
        row, column = divmod(int(flat), tissue.mask.shape[1])
        x, y = (round((place + 0.5) * tissue.downsample - half) for place in (column, row))
        rgb = read_scaled(slide, x, y, _WINDOW_PX, _WINDOW_PX, downsample)
        densities.append(optical_density(rgb, tissue.background_rgb).reshape(-1, 3))
    pixels: NDArray[np.float32] = np.concatenate(densities)
    # Glass in the windows carries no stain and would only dilute the sample.
    pixels = pixels[pixels.sum(axis=1) > 0.15]
    sample: NDArray[np.float32] = pixels[:: max(1, len(pixels) // _PIXELS_AN_IMAGE)]
    return sample


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        content = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, orjson.JSONDecodeError) as error:
        raise ExchangeError(f"'{path}' cannot be read: {error}. {_WAY_OUT}") from error
    groups = content.get("groups") if isinstance(content, dict) and content.get("format") == _FORMAT else None
    if not isinstance(groups, dict) or not all(
        isinstance(group, dict) and isinstance(group.get("n_images"), int) for group in groups.values()
    ):
        raise ExchangeError(f"'{path}' is not of format {_FORMAT}. {_WAY_OUT}")
    return groups


def _vectors(group: dict[str, Any], out: Path) -> StainVectors:
    try:
        return StainVectors(tuple(group["hematoxylin"]), tuple(group["dab"]), source=str(group["source"]))
    except (KeyError, TypeError, SettingsError) as error:
        path = out / STAINS_FILE
        raise ExchangeError(f"'{path}' is damaged ({error}). {_WAY_OUT}") from error
