"""The tumour of an image as a network found it: the ground of ``--method indicators --tumour-from CKPT``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.records import Refusal
from qupath_her2.report.heat import heat_planes
from qupath_her2.runs.image_setup import NO_ONE_CHOSE
from qupath_her2.runs.methods.patches import ask_network
from qupath_her2.scoring.indicators.heat_map import heat_map_png
from qupath_her2.scoring.indicators.tumour import tumour_area

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from qupath_her2.report.heat import Overlay
    from qupath_her2.runs.image_setup import Ground
    from qupath_her2.runs.inputs import Inputs
    from qupath_her2.runs.score_image import ScoreJob
    from qupath_her2.slides.readers.slide import Slide

__all__ = ["TUMOUR", "TumourMap", "find_tumour"]

#: The class that counts, of the task of the same name.
TUMOUR = "tumour"


@dataclass(frozen=True, slots=True, eq=False)
class TumourMap:
    """Where a network found tumour.

    Attributes
    ----------
    mask
        bool (H, W), on the picture that was asked for.
    overlay, png
        Its probability, to be laid over the image.
    """

    mask: NDArray[np.bool_]
    overlay: Overlay
    png: bytes


def find_tumour(
    job: ScoreJob,
    slide: Slide,
    inputs: Inputs,
    ground: Ground,
    shape: tuple[int, int],
    scale: float,
    *,
    progress: Callable[[int, int, int], None] | None,
) -> TumourMap | None:
    """Ask a job's network for the tumour in the tissue; None, with the reason in the ground, where there is none.

    Parameters
    ----------
    job, slide, inputs, ground
        The image; a warning of the ground says who chose the tumour.
    shape, scale
        Of the picture that the mask is for; `scale` in its pixels per level-0 pixel.
    progress
        As of all methods.

    Raises
    ------
    ModelError
        The checkpoint is damaged, or does not fit the image's scale.
    """
    asked = ask_network(job, slide, inputs, ground, progress=progress)
    if isinstance(asked, Refusal):
        ground.refusal = asked
        return None
    table, card = asked.table, asked.card
    code = card.class_names.index(TUMOUR)
    assert inputs.pixel_size_um is not None
    mask = tumour_area(
        table.box_xywh,
        table.probabilities[:, code],
        shape,
        scale,
        inputs.pixel_size_um,
        job.settings.tumour,
    )
    if not mask.any():
        limit = f"{job.settings.tumour.area_mm2_min:g} mm²"
        ground.refusal = Refusal(
            "no_tumour_region",
            f"the network '{card.recipe or card.model}' found no tumour of at least {limit} in {len(table):,} patches",
        )
        return None
    ground.warnings[:] = [text for text in ground.warnings if text != NO_ONE_CHOSE]
    ground.warnings += asked.warnings
    ground.warnings.append(
        f"The tumour was found by the network '{card.recipe or card.model}', not by a person. Look at its map first."
    )
    planes = heat_planes(table, slide.width, slide.height)
    place = planes.overlay("Probability of tumour", "tumour.png")
    return TumourMap(mask, place, heat_map_png(planes.values[code], 1))
