"""Tumour map by a network: the measured area of ``--method indicators --tumour-from CHECKPOINT``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.errors import ModelError
from qupath_her2.records import Refusal
from qupath_her2.report.heat import heat_planes
from qupath_her2.runs.methods.patches import patch_card, predict_patches
from qupath_her2.runs.whole_tissue import NO_ONE_CHOSE
from qupath_her2.scoring.indicators.heat_map import heat_map_png
from qupath_her2.scoring.indicators.tumour import tumour_area

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from qupath_her2.models.card import ModelCard
    from qupath_her2.report.heat import Overlay
    from qupath_her2.runs.types import ImageSetup, Progress

__all__ = ["TUMOUR", "TumourMap", "find_tumour", "tumour_card"]

#: Name of the task and of its positive class.
TUMOUR = "tumour"


@dataclass(frozen=True, slots=True, eq=False)
class TumourMap:
    """Tumour area found by a network.

    Attributes
    ----------
    mask
        bool (H, W), at the requested scale.
    overlay, png
        Map of the tumour probability, to be shown over the image.
    warnings
        All warnings of the image; they replace the earlier ones, as "no one chose the tumour" no longer holds.
    """

    mask: NDArray[np.bool_]
    overlay: Overlay
    png: bytes
    warnings: tuple[str, ...]


def tumour_card(checkpoint: Path) -> ModelCard:
    """Return the card of a network that finds the tumour.

    Raises
    ------
    ModelError
        The card is missing, or its network was trained for another task.
    """
    card = patch_card(checkpoint)
    if card.task != TUMOUR:
        raise ModelError(
            f"--tumour-from '{checkpoint}' is a network of the task '{card.task}', not '{TUMOUR}'. Train one that "
            "finds tumour: qupath-her2 train FOLDER --recipe tumour-resnet34."
        )
    return card


def find_tumour(
    checkpoint: Path,
    setup: ImageSetup,
    shape: tuple[int, int],
    scale: float,
    *,
    progress: Progress | None,
) -> TumourMap | Refusal:
    """Predict the tumour area of an image; a refusal where the network finds none.

    Parameters
    ----------
    checkpoint
        Of the network, path without ending.
    setup
        The image; its card is the network's.
    shape
        Height and width of the mask to return, pixels.
    scale
        Pixels of that mask per level-0 pixel.
    progress
        Called with patches done and in total.

    Returns
    -------
    TumourMap | Refusal
        The mask with its probability map.

    Raises
    ------
    ModelError
        The checkpoint is damaged, or does not fit the image's pixel size.
    """
    found = predict_patches(checkpoint, setup, progress=progress)
    if isinstance(found, Refusal):
        return found
    table, card = found.table, found.card
    code = card.class_names.index(TUMOUR)
    # Without a pixel size the image was refused at set-up.
    assert setup.inputs.pixel_size_um is not None
    settings = setup.settings.tumour
    mask = tumour_area(
        table.box_xywh, table.probabilities[:, code], shape, scale, setup.inputs.pixel_size_um, settings
    )
    network = card.recipe or card.model
    # A negative core and a failed network look the same; neither may be scored by all of its tissue instead.
    if not mask.any():
        return Refusal(
            "no_tumour_region",
            f"the network '{network}' found no tumour of at least {settings.area_mm2_min:g} mm² "
            f"in {len(table):,} patches",
        )
    warnings = (
        *(text for text in setup.context.warnings if text != NO_ONE_CHOSE),
        *found.warnings,
        f"The tumour was found by the network '{network}', not by a person. Check its probability map first.",
    )
    # The probability itself, not the mask: a person sees how close the threshold was.
    planes = heat_planes(table, setup.slide.width, setup.slide.height)
    overlay = planes.overlay("Probability of tumour", "tumour.png")
    return TumourMap(mask, overlay, heat_map_png(planes.values[code], 1), warnings)
