"""Embedding of the images of a folder or project: one feature file each, those that are up to date left as they are."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.errors import ImageReadError, ModelError, PatchError, TrainingError
from qupath_her2.learning.bags.embed import EmbeddedSlide, Embedder, embed_slide, features_hash
from qupath_her2.learning.bags.feature_files import read_feature_info
from qupath_her2.models.encoders import load_encoder
from qupath_her2.patches.cutting.drop import DROP_RULES
from qupath_her2.patches.cutting.tissue_patches import tissue_patches
from qupath_her2.patches.datasets.sources import SourceImage, image_size
from qupath_her2.patches.manifest import ManifestImage, PatchManifest, without_images
from qupath_her2.patches.pixels.patch_pixels import PatchPixels
from qupath_her2.patches.settings import PatchSettings
from qupath_her2.provenance import image_fingerprint
from qupath_her2.slides.tissue import find_tissue
from qupath_her2.slides.watershed_tissue import find_tissue_by_watershed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qupath_her2.config import Settings
    from qupath_her2.models.card import ModelCard
    from qupath_her2.models.encoders import Encoder
    from qupath_her2.models.settings import PredictSettings

__all__ = [
    "EmbeddedFolder",
    "embed_images",
    "embed_missing",
    "embed_one",
    "embedded_part",
    "embedding_settings",
    "feature_folder",
    "patches_of_tissue",
]


@dataclass(frozen=True, slots=True)
class EmbeddedFolder:
    """What became of the images of a folder.

    Attributes
    ----------
    folder
        Folder of the feature files.
    embedded
        Slides embedded now.
    n_up_to_date
        Slides whose features were there already.
    left_out
        A sentence for each image that has no features.
    encoder
        The encoder's name and the origin of its weights, in words.
    """

    folder: Path
    embedded: tuple[EmbeddedSlide, ...]
    n_up_to_date: int
    left_out: tuple[str, ...]
    encoder: str


def embedding_settings(settings: Settings, card: ModelCard) -> Settings:
    """Return the settings with the encoder and the patches that a network on bags was trained on."""
    encoder = str(card.options["encoder"]) or settings.embed.encoder
    embed = replace(
        settings.embed, encoder=encoder, patch_size_px=card.patch_size_px, target_um_px=card.pixel_size_um
    )
    return replace(settings, embed=embed)


def feature_folder(her2: Path, settings: Settings) -> Path:
    """Return the folder of the features that settings describe: one for each encoder and scale of patches."""
    s = settings.embed
    # Colons and slashes of hub names are no parts of file names.
    encoder = s.encoder.replace(":", "-").replace("/", "-")
    return her2 / "features" / f"{encoder}_{s.target_um_px:g}um_{s.patch_size_px}px"


def embed_images(
    images: Sequence[SourceImage],
    settings: Settings,
    folder: Path,
    *,
    weights: str = "pretrained",
    force: bool = False,
    progress: Callable[[str, int, int, int, int], None] | None = None,
) -> EmbeddedFolder:
    """Embed the tissue of images, and write one feature file for each.

    Parameters
    ----------
    images
        The images, usable or not.
    settings
        Encoder, patches and tissue in ``embed``, device and batches in ``predict``.
    folder
        Folder of the feature files, from `feature_folder`.
    weights
        See `models.encoders.load_encoder`.
    force
        Embed again what is up to date.
    progress
        Called with image name, images done, images, patches done and patches of the image.

    Returns
    -------
    EmbeddedFolder
        Images that cannot be embedded do not stop the others.

    Raises
    ------
    ModelError
        The encoder's weights are unavailable.
    OutputError
        A file cannot be written.
    """
    encoder = load_encoder(settings.embed.encoder, weights, seed=settings.patches.seed)
    words = f"{encoder.name} ({encoder.weights})"
    embedded: list[EmbeddedSlide] = []
    left_out: list[str] = []
    n_up_to_date = 0
    for number, image in enumerate(images):
        tell = None if progress is None else _teller(progress, image.name, number, len(images))
        try:
            done = embed_one(image, settings, folder, encoder, force=force, progress=tell)
        except (ImageReadError, PatchError) as error:
            left_out.append(str(error))
            continue
        if done is None:
            n_up_to_date += 1
        else:
            embedded.append(done)
    return EmbeddedFolder(folder, tuple(embedded), n_up_to_date, tuple(left_out), words)


def embed_one(
    image: SourceImage,
    settings: Settings,
    folder: Path,
    encoder: Encoder,
    *,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> EmbeddedSlide | None:
    """Embed the tissue of one image, and write its feature file.

    Parameters
    ----------
    image
        The image.
    settings, folder
        As for `embed_images`.
    encoder
        From `models.encoders.load_encoder`.
    force
        As for `embed_images`.
    progress
        Called with patches done and patches of the image.

    Returns
    -------
    EmbeddedSlide | None
        None where the file is up to date.

    Raises
    ------
    ImageReadError
        The image cannot be read.
    PatchError
        It has no pixel size, its pixels are too coarse, or it has no patch of tissue.
    """
    manifest = patches_of_tissue(image, settings)
    if len(manifest) == 0:
        raise PatchError(
            f"Image '{image.name}' has no patch of tissue at {settings.embed.target_um_px:g} µm/px."
        )
    path = folder / f"{image.id}.h5"
    digest = features_hash(manifest, encoder, settings.embed.tissue)
    if not force and _is_up_to_date(path, digest):
        return None
    with PatchPixels(manifest) as pixels:
        embedder = _embedder(encoder, settings.predict, settings.embed.patch_size_px)
        return embed_slide(embedder, manifest, pixels, path, digest, progress=progress)


# Prepared only where there is something to do, and once for all images: encoders are compared by identity.
@functools.lru_cache(maxsize=1)
def _embedder(encoder: Encoder, settings: PredictSettings, patch_size_px: int) -> Embedder:
    return Embedder(encoder, settings, patch_size_px)


def _teller(
    progress: Callable[[str, int, int, int, int], None], name: str, done: int, total: int
) -> Callable[[int, int], None]:
    return lambda patches, of: progress(name, done, total, patches, of)


def _is_up_to_date(path: Path, digest: str) -> bool:
    if not path.is_file():
        return False
    try:
        return read_feature_info(path).settings_hash == digest
    except ModelError:
        # A damaged file is written again.
        return False


def patches_of_tissue(image: SourceImage, settings: Settings) -> PatchManifest:
    """Lay a grid of patches over the tissue of an image, at the scale of the features.

    Parameters
    ----------
    image
        The image.
    settings
        Patches and tissue in ``embed``, its detection in ``tissue``.

    Returns
    -------
    PatchManifest
        Unlabelled patches of this image.

    Raises
    ------
    ImageReadError
        The image cannot be read, or was left out for a reason known before.
    PatchError
        It has no pixel size, or its pixels are too coarse.
    """
    if image.problem is not None:
        raise ImageReadError(image.problem)
    width, height, size_um = image_size(image)
    s = settings.embed
    empty = PatchManifest(
        image=np.zeros(0, np.int32),
        box_xywh=np.zeros((0, 4), np.int32),
        label=np.zeros(0, np.int16),
        overlap=np.zeros(0, np.float32),
        region_uuid=np.zeros((0, 16), np.uint8),
        split=np.zeros(0, np.int8),
        images=(
            ManifestImage(
                image.id,
                image.name,
                image.path,
                image.case.case,
                size_um,
                width,
                height,
                image.chain,
                image_fingerprint(image.path),
            ),
        ),
        class_names=(),
        patch_size_px=s.patch_size_px,
        pixel_size_um=s.target_um_px or math.nan,
        task="",
    )
    find = find_tissue if s.tissue == "own" else find_tissue_by_watershed
    # No rule drops patches by their brightness: what is tissue was found before, and fields of an unstained 0 are as
    # pale as glass.
    return tissue_patches(empty, PatchSettings(grid=s.grid, drop=DROP_RULES["none"]), settings.tissue, find)


def embed_missing(images: Sequence[SourceImage], settings: Settings, folder: Path) -> tuple[str, ...]:
    """Embed the images that have no feature file yet, whatever encoder the others were embedded by.

    Parameters
    ----------
    images
        The images.
    settings
        As `embed_images`.
    folder
        Folder of the feature files.

    Returns
    -------
    tuple[str, ...]
        A sentence for each image that cannot be embedded.

    Raises
    ------
    ModelError
        The encoder's weights are unavailable.
    """
    missing = [image for image in images if not (folder / f"{image.id}.h5").is_file()]
    return embed_images(missing, settings, folder).left_out if missing else ()


def embedded_part(
    manifest: PatchManifest, images: Sequence[SourceImage], settings: Settings, folder: Path
) -> tuple[PatchManifest, tuple[str, ...]]:
    """Embed the images of a manifest that have no feature file yet, and leave out those that cannot have one.

    Parameters
    ----------
    manifest
        One row a slide.
    images
        The images, those of the manifest among them.
    settings
        As `embed_images`.
    folder
        Folder of the feature files.

    Returns
    -------
    manifest
        Without images that have no tissue, or that cannot be read.
    left_out
        A sentence for each of them.

    Raises
    ------
    ModelError
        The encoder's weights are unavailable.
    TrainingError
        No image has features.
    """
    used = {image.id for image in manifest.images}
    left_out = embed_missing([image for image in images if image.id in used], settings, folder)
    without = {
        index for index, image in enumerate(manifest.images) if not (folder / f"{image.id}.h5").is_file()
    }
    if len(without) == len(manifest.images):
        raise TrainingError(f"None of {len(without)} slides has features. {left_out[0]}")
    return without_images(manifest, without, "image: no features"), left_out
