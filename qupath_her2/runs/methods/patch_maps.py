"""What is laid over an image after a prediction: heat map, its pyramid, and where the network looked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from qupath_her2.patches.pixels.patch_pixels import reading_order
from qupath_her2.project.class_names import patch_colour
from qupath_her2.report.contact_sheet import paired_sheet
from qupath_her2.report.heat import (
    OVERLAYS,
    HeatPlanes,
    heat_planes,
    heat_pyramid,
    heat_step,
    map_slice,
    overlays_json,
)
from qupath_her2.scoring.indicators.heat_map import heat_map_png

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from qupath_her2.models.card import ModelCard
    from qupath_her2.models.settings import CamSettings
    from qupath_her2.patches.manifest import PatchManifest
    from qupath_her2.patches.pixels.patch_pixels import PatchPixels
    from qupath_her2.records import PatchTable
    from qupath_her2.slides.stains.density_map import DensityMap

__all__ = ["Looked", "look", "overlay_files"]

HEAT_PYRAMID = "heatmap.ome.tif"
CAM_SHEET = "cam.jpg"
#: Patches whose maps are made at once: their pictures lie in memory too, and a sheet shows few.
_AT_ONCE = 16
#: Pixels along a patch on the map of where the network looked; a last map has 7 to 16.
_CAM_PX = 32


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """Where a network looked on one image.

    Attributes
    ----------
    class_name
        The class it was asked for.
    heat
        One plane, 1 where it was hottest on the whole image, NaN where no patch lies.
    sheet
        JPEG of its surest and its least sure patches, each beside the same with its heat.
    """

    class_name: str
    heat: HeatPlanes
    sheet: bytes


def overlay_files(
    table: PatchTable, size: tuple[int, int], pixel_size_um: float | None, looked: Looked | None
) -> dict[str, bytes]:
    """Return the files that show an image's patches over it: {name: bytes}.

    ``heatmap.png`` with the probability of the last class, ``heatmap.ome.tif`` with those of all classes, ``cam.png``
    and ``cam.jpg`` where the network was asked where it looked, and ``overlays.json`` with their places.

    Parameters
    ----------
    table
        At least one patch.
    size
        Width and height of the image, level-0 pixels.
    pixel_size_um
        µm of a level-0 pixel; None where nobody knows it.
    looked
        Of `look`.
    """
    planes = heat_planes(table, *size)
    last = table.class_names[-1]
    files = {"heatmap.png": heat_map_png(planes.values[-1], 1)}
    overlays = [planes.overlay(f"Probability of {last}", "heatmap.png")]
    colours = {name: patch_colour(name) for name in table.class_names}
    files[HEAT_PYRAMID] = heat_pyramid(planes, pixel_size_um, colours)
    if looked is not None:
        files["cam.png"] = heat_map_png(looked.heat.values[0], 1, opacity_by_value=True)
        files[CAM_SHEET] = looked.sheet
        overlays.append(looked.heat.overlay(f"What speaks for {looked.class_name} (Grad-CAM)", "cam.png"))
    return files | {OVERLAYS: overlays_json(overlays)}


def look(
    model: Any,
    card: ModelCard,
    manifest: PatchManifest,
    pixels: PatchPixels,
    probabilities: NDArray[np.float32],
    wanted: int,
    size: tuple[int, int],
    settings: CamSettings,
    *,
    stain_maps: Sequence[DensityMap] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Looked:
    """Ask a network what in each patch of an image speaks for one class.

    Parameters
    ----------
    model, card
        The network, where it made the prediction.
    manifest, pixels
        The patches of one image.
    probabilities
        float (N, C), what it said of them; NaN where a patch could not be read.
    wanted
        Index of the class.
    size
        Width and height of the image, level-0 pixels.
    settings
        How many patches are shown.
    stain_maps, progress
        As in `learning.predict`.

    Raises
    ------
    ModelError
        The network has no map to look at.
    """
    from qupath_her2.learning.dataset import Preparation
    from qupath_her2.learning.inference.grad_cam import explain, heat_overlay

    step = heat_step(manifest.box_xywh, *size, _CAM_PX)
    shape = (int(np.ceil(size[1] / step)), int(np.ceil(size[0] / step)))
    heat = np.full(shape, np.nan, np.float32)
    prepare = Preparation(manifest, card.mean, card.std, stain_maps=stain_maps)
    known = np.isfinite(probabilities[:, wanted])
    shown = _shown(probabilities[:, wanted], known, settings.shown)
    kept: dict[int, tuple[NDArray[np.uint8], NDArray[np.uint8]]] = {}
    order = [row for row in reading_order(manifest).tolist() if known[row]]
    for start in range(0, len(order), _AT_ONCE):
        rows = np.array(order[start : start + _AT_ONCE])
        pictures = pixels.read(rows)
        found, strength = explain(model, pictures, prepare, rows, np.full(len(rows), wanted, np.int16))
        for row, picture, one, height in zip(rows.tolist(), pictures, found, strength, strict=True):
            _put(heat, manifest.box_xywh[row], one * height, step)
            if row in shown:
                kept[row] = picture, heat_overlay(picture, one, settings.opacity)
        if progress is not None:
            progress(start + len(rows), len(order))
    hottest = np.nanmax(heat)
    name = card.class_names[wanted]
    return Looked(
        name,
        HeatPlanes((name,), (heat / hottest if hottest > 0 else heat)[None], step),
        paired_sheet(
            [kept[row] for row in shown], [f"{name} {probabilities[row, wanted]:.2f}" for row in shown]
        ),
    )


def _put(heat: NDArray[np.float32], box: NDArray[np.int32], found: NDArray[np.float32], step: float) -> None:
    """Lay a patch's heat into the map of its image; where patches overlap, the hotter counts."""
    rows, columns = map_slice(box, step)
    # A patch may reach over the image's edge, the map does not.
    part = heat[rows, columns]
    wide, high = columns.stop - columns.start, rows.stop - rows.start
    small = cv2.resize(found, (wide, high), interpolation=cv2.INTER_AREA)
    np.fmax(part, small[: part.shape[0], : part.shape[1]], out=part)


def _shown(probability: NDArray[np.float32], known: NDArray[np.bool_], n: int) -> tuple[int, ...]:
    """Return the rows to show: those surest of the class, then those least sure, each at most once."""
    order = [int(row) for row in np.argsort(-probability, kind="stable") if known[row]]
    surest = order[:n]
    return (*surest, *order[max(len(surest), len(order) - n) :][::-1])
