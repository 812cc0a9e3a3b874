"""A small project of drawn HER2 fields, as a pathologist would leave it.

The fields are drawn by `synthetic`, so what every cell is, is known. Nothing in them comes from a patient.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

import orjson
import shapely
import tifffile

from qupath_her2.project.class_names import class_colour
from qupath_her2.project.exchange.writing import output_errors, replace_file
from qupath_her2.synthetic.field import draw_field
from qupath_her2.synthetic.presets import preset

if TYPE_CHECKING:
    from pathlib import Path

    from qupath_her2.synthetic.field import Field

__all__ = ["EXAMPLE", "ExampleImage", "write_example", "write_field"]


@dataclass(frozen=True, slots=True)
class ExampleImage:
    """One drawn image: its name, the score it is drawn for, what ``cases.csv`` says of it."""

    name: str
    score: str
    seed: int
    case: str
    specimen: str = "resection"
    ish_ratio: str = ""
    her2_copies: str = ""


#: The four scores; the 2+ case has an ISH result, which then decides.
EXAMPLE: tuple[ExampleImage, ...] = (
    ExampleImage("case01", "0", 101, "K-01"),
    ExampleImage("case02", "1+", 102, "K-02", "biopsy"),
    ExampleImage("case03", "2+", 103, "K-03", ish_ratio="1.3", her2_copies="3.1"),
    ExampleImage("case04", "3+", 104, "K-04"),
)
_PIXEL_SIZE_UM = 0.5
_SIDE_PX = 600
_COLUMNS = ("image", "case", "site", "specimen", "stain", "ish_ratio", "her2_copies")


def write_example(folder: Path) -> tuple[Path, ...]:
    """Write the example project into `folder` and return the files, images first.

    The same version of the package writes the same pixels; JPEG bytes may differ between versions of its
    codec.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    files = [
        path
        for image in EXAMPLE
        for path in write_field(folder, image.name, score=image.score, seed=image.seed)
    ]
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(_COLUMNS)
    for image in EXAMPLE:
        rows.writerow(
            (f"{image.name}.ome.tif", image.case, "breast", image.specimen, "HER2", image.ish_ratio,
             image.her2_copies)
        )  # fmt: skip
    replace_file(folder / "cases.csv", text.getvalue().encode())
    return (*files, folder / "cases.csv")


def write_field(
    folder: Path, name: str, *, score: str, seed: int, side_px: int = _SIDE_PX, **changes: Any
) -> tuple[Path, Path]:
    """Draw one field of `score` and write it as ``<name>.ome.tif`` with ``<name>.geojson``.

    Parameters
    ----------
    folder
        An existing folder.
    name
        Stem of both files.
    score, seed, side_px
        Of the drawing, 0.5 µm per pixel.
    changes
        Any other setting of `synthetic.FieldSettings`.
    """
    settings = preset(
        "score",
        seed,
        score=score,
        **{
            "width_px": side_px,
            "height_px": side_px,
            "pixel_size_um": _PIXEL_SIZE_UM,
            "jpeg_quality": None,
            **changes,
        },
    )
    field = draw_field(settings)
    image, regions = folder / f"{name}.ome.tif", folder / f"{name}.geojson"
    with output_errors(image):
        tifffile.imwrite(
            image,
            field.rgb,
            ome=True,
            tile=(256, 256),
            photometric="rgb",
            compression="jpeg",
            compressionargs={"level": 90},
            metadata={
                "axes": "YXS",
                "PhysicalSizeX": settings.pixel_size_um,
                "PhysicalSizeY": settings.pixel_size_um,
                "PhysicalSizeXUnit": "µm",
                "PhysicalSizeYUnit": "µm",
                # tifffile puts a fresh UUID into the XML otherwise, and the same drawing would not be the
                # same file.
                "UUID": f"urn:uuid:{uuid5(NAMESPACE_URL, f'qupath-her2/example/{name}')}",
            },
        )
    replace_file(regions, _regions(field, name))
    return image, regions


def _regions(field: Field, name: str) -> bytes:
    """Return the tumour nests as QuPath exports annotations (File → Export objects as GeoJSON)."""
    parts = shapely.get_parts(shapely.simplify(field.truth.tumour_region, 0.5))
    features = [
        {
            "type": "Feature",
            "id": str(uuid5(NAMESPACE_URL, f"qupath-her2/example/{name}/{number}")),
            "geometry": shapely.geometry.mapping(shapely.set_precision(part, 0.01)),
            "properties": {
                "objectType": "annotation",
                "classification": {"name": "Tumor", "color": class_colour("Tumor")},
            },
        }
        for number, part in enumerate(parts)
        if part.area > 400
    ]
    return orjson.dumps({"type": "FeatureCollection", "features": features}) + b"\n"
