"""Stain normalisation of a data set: one map per slide; slides that cannot be normalised are left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.errors import ImageReadError, SettingsError, TrainingError
from qupath_her2.patches.manifest import PatchManifest, without_images
from qupath_her2.slides.readers.view import open_view
from qupath_her2.slides.stains.macenko import macenko_map
from qupath_her2.slides.stains.tissue_sample import fit_slide_macenko, normalisation_reference

if TYPE_CHECKING:
    from qupath_her2.patches.manifest import ManifestImage
    from qupath_her2.slides.stains.density_map import DensityMap
    from qupath_her2.slides.stains.macenko_references import StainProfile

__all__ = ["NormalisedManifest", "normalise_manifest"]

#: Cause under which the patches of slides that cannot be normalised are counted as dropped.
UNFIT = "image: stains cannot be normalised"


@dataclass(frozen=True, slots=True, eq=False)
class NormalisedManifest:
    """A data set whose slides can all be normalised.

    Attributes
    ----------
    manifest
        Without the patches of slides that cannot be normalised, which are counted as dropped.
    maps
        One per image of the manifest; None without normalisation.
    left_out
        A sentence for each slide that was left out.
    """

    manifest: PatchManifest
    maps: tuple[DensityMap, ...] | None
    left_out: tuple[str, ...] = ()


def normalise_manifest(manifest: PatchManifest, stain: str | None) -> NormalisedManifest:
    """Fit the normalisation `stain` to each slide of a data set.

    Parameters
    ----------
    manifest
        Patches of any slides.
    stain
        Name of the normalisation, as in `models.card.ModelCard`; None leaves the data set as it is.

    Returns
    -------
    NormalisedManifest
        The data set with its maps.

    Raises
    ------
    TrainingError
        No slide can be normalised; the message gives the first reason.
    SettingsError
        Unknown normalisation.
    """
    if stain is None:
        return NormalisedManifest(manifest, None)
    reference = normalisation_reference(stain)
    with_patches = set(np.unique(manifest.image).tolist())
    maps: list[DensityMap] = []
    left_out: list[str] = []
    unfit: set[int] = set()
    for index, image in enumerate(manifest.images):
        # A slide without patches needs no map, whatever its stains.
        if index not in with_patches:
            unfit.add(index)
            continue
        try:
            maps.append(macenko_map(_profile(image), reference))
        except (SettingsError, ImageReadError) as error:
            # Reported and counted, not trained on as it is: unnormalised patches would teach the scanner.
            unfit.add(index)
            left_out.append(f"Left out: '{image.name}' cannot be normalised by {stain}: {error}")
    if not maps:
        first = left_out[0] if left_out else "there is no patch"
        raise TrainingError(
            f"None of {len(manifest.images)} slides can be normalised by {stain}: there is nothing to train on. {first}"
        )
    return NormalisedManifest(without_images(manifest, unfit, UNFIT), tuple(maps), tuple(left_out))


def _profile(image: ManifestImage) -> StainProfile:
    # Fitted to the tissue of the whole slide: the few patches of a slide may all be of one stain.
    with open_view(image.path, image.chain, width=image.width, height=image.height) as slide:
        size_um = None if np.isnan(image.pixel_size_um) else image.pixel_size_um
        return fit_slide_macenko(slide, pixel_size_um=size_um)
