"""Folders of small slides with regions, cases and labels, for tests of patch extraction."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from uuid import UUID

import numpy as np
import shapely
import tifffile
from PIL import Image

from qupath_her2.patches.cutting.drop import DROP_RULES
from qupath_her2.patches.cutting.grid import GridSettings
from qupath_her2.patches.manifest import PatchManifest
from qupath_her2.patches.settings import PatchSettings
from tests.unit.patches.conftest import noise

SIDE = 200

SMALL = PatchSettings(grid=GridSettings(20, 0.5), drop=DROP_RULES["none"], split="none")


def tissue(width: int = SIDE, height: int = SIDE, seed: int = 0) -> np.ndarray:
    """Dark speckle on glass: tissue inside a margin of a fifth, glass of 244 outside."""
    rgb = np.full((height, width, 3), 244, np.uint8)
    inner = rgb[height // 5 : -height // 5, width // 5 : -width // 5]
    inner[:] = noise(inner.shape[1], inner.shape[0], seed) // 3 + (110, 90, 120)
    return rgb


def slide(folder: Path, name: str, rgb: np.ndarray | None = None, um_px: float | None = 0.5) -> Path:
    path = folder / f"{name}.tif"
    rgb = tissue() if rgb is None else rgb
    size = {} if um_px is None else {"resolution": (1e4 / um_px, 1e4 / um_px), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(path, rgb, tile=(64, 64), photometric="rgb", metadata=None, **size)
    return path


def regions(folder: Path, name: str, *drawn: tuple[str | None, shapely.Geometry], first: int = 1) -> None:
    features = [
        {
            "type": "Feature",
            "id": str(UUID(int=first + number)),
            "geometry": shapely.geometry.mapping(shape),
            "properties": {
                "objectType": "annotation",
                **({} if class_name is None else {"classification": {"name": class_name}}),
            },
        }
        for number, (class_name, shape) in enumerate(drawn)
    ]
    text = json.dumps({"type": "FeatureCollection", "features": features})
    (folder / f"{name}.geojson").write_text(text, encoding="utf-8")


def cases(folder: Path, *rows: tuple[str, ...], header: tuple[str, ...] = ("image", "case", "label")) -> None:
    with (folder / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def small_settings(**change: object) -> PatchSettings:
    return dataclasses.replace(SMALL, **change)


def labels_by_box(manifest: PatchManifest) -> dict[tuple[int, ...], str]:
    boxes = map(tuple, manifest.box_xywh[:, :2].tolist())
    names = [manifest.class_names[i] if i >= 0 else "?" for i in manifest.label.tolist()]
    return dict(zip(boxes, names, strict=True))


def pulled(tmp_path: Path, **image: object) -> Path:
    """A pulled QuPath project with one image whose metadata say 2+."""
    her2 = tmp_path / "her2"
    (her2 / "regions").mkdir(parents=True)
    path = slide(tmp_path, "a")
    entry = {
        "id": "1_a",
        "name": "a.tif",
        "path": path.name,
        "entry_id": "1",
        "width": SIDE,
        "height": SIDE,
        "pixel_size_um": 0.5,
        "metadata": {"HER2 IHC": "2+", "Case": "P9"},
        **image,
    }
    (her2 / "images.json").write_text(json.dumps({"format": 1, "images": [entry]}), encoding="utf-8")
    regions(her2 / "regions", "1_a", ("Tumor", shapely.box(0, 0, 20, 20)))
    return tmp_path


def draw_cohort(folder: Path, n: int = 6) -> None:
    for i in range(n):
        slide(folder, f"s{i}", noise(60, 60, i))
        regions(folder, f"s{i}", (("3+", "0")[i % 2], shapely.box(0, 0, 60, 60)), first=10 * i + 1)
    cases(folder, *[(f"s{i}", f"P{i}", "") for i in range(n)])


def png(path: Path, side: int = 48) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(side, side)).save(path)


def tif(path: Path, side: int = 96) -> None:
    """A tiled TIFF under whatever name: what a file is comes from its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        tifffile.imwrite(stream, noise(side, side), tile=(32, 32), photometric="rgb", metadata=None)


def xml(*drawn: tuple[list[tuple[float, float]], str, str], name: str = "") -> str:
    """Aperio's XML of (vertices, type, negative)."""
    parts = "".join(
        f'<Region Id="{i}" Type="{kind}" NegativeROA="{negative}" Analyze="1"><Vertices>'
        + "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in points)
        + "</Vertices></Region>"
        for i, (points, kind, negative) in enumerate(drawn, 1)
    )
    return (
        '<?xml version="1.0"?>\n<Annotations MicronsPerPixel="0.25"><Annotation Id="1" '
        f'Name="{name}" Type="4"><Attributes><Attribute Name="d" Value=""/></Attributes><Regions>'
        f"<RegionAttributeHeaders/>{parts}</Regions><Plots/></Annotation></Annotations>\n"
    )


def square(x: float, y: float, side: float) -> list[tuple[float, float]]:
    return [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]
