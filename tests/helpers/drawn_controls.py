"""Drawn slides with on-slide control tissue: a tumour of all classes beside four controls of one class each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np
import orjson
import shapely
import tifffile

from qupath_her2.scoring.rules import SCORES
from qupath_her2.synthetic.field import Field, draw_field
from qupath_her2.synthetic.settings import FieldSettings

__all__ = ["ControlSlide", "draw_control_slide"]

UM_PX = 0.5


@dataclass(frozen=True, slots=True)
class ControlSlide:
    """A drawn slide: the image as a file, and the drawn tumour, which lies at the left."""

    image: Path
    tumour: Field


def draw_control_slide(folder: Path, name: str, *, seed: int, scale: float, side_px: int) -> ControlSlide:
    """Write ``<name>.ome.tif`` and ``<name>.geojson`` with a tumour region and four named controls.

    Parameters
    ----------
    folder : an existing folder.
    name : stem of the files.
    seed : of the fields.
    scale : factor on all DAB.
    side_px : side of the tumour; each control is a quarter of it.
    """
    tumour = _field(seed, scale, side_px, (0.25, 0.25, 0.25, 0.25))
    half = side_px // 2
    controls = [_field(seed + 50 + k, scale, half, tuple(np.eye(4)[k].tolist())) for k in range(4)]
    right = np.vstack([np.hstack([one.rgb for one in controls[k : k + 2]]) for k in (0, 2)])
    path = folder / f"{name}.ome.tif"
    size = {"axes": "YXS", "PhysicalSizeX": UM_PX, "PhysicalSizeY": UM_PX}
    units = {"PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
    rgb = np.hstack([tumour.rgb, right])
    tifffile.imwrite(
        path, rgb, ome=True, photometric="rgb", compression="deflate", metadata={**size, **units}
    )
    features = [_feature(name, "Tumor", "", tumour.truth.tumour_region)]
    for k, one in enumerate(controls):
        shift = (side_px + half * (k % 2), half * (k // 2))
        shape = shapely.transform(one.truth.tumour_region, lambda xy, by=shift: xy + np.array(by))
        features.append(_feature(name, "Control", f"cell line {SCORES[k]}", shape))
    (folder / f"{name}.geojson").write_bytes(
        orjson.dumps({"type": "FeatureCollection", "features": features})
    )
    return ControlSlide(path, tumour)


def _field(seed: int, scale: float, side_px: int, shares: tuple[float, ...]) -> Field:
    return draw_field(
        FieldSettings(
            seed=seed,
            shares=shares,  # type: ignore[arg-type]
            stain_scale=scale,
            pixel_size_um=UM_PX,
            width_px=side_px,
            height_px=side_px,
        )
    )


def _feature(image: str, class_name: str, name: str, shape: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "id": str(uuid5(NAMESPACE_URL, f"{image}/{class_name}/{name}")),
        "geometry": shapely.geometry.mapping(shapely.set_precision(shape, 0.01)),
        "properties": {"objectType": "annotation", "classification": {"name": class_name}, "name": name},
    }
