"""Example project: a few synthetic HER2 fields with regions and cases, as a pathologist would prepare them.

The class of every cell is known, since the fields are drawn by this package. Nothing in them comes from a patient.
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
    """One image of the example: file stem, intended score, seed, and its fields in ``cases.csv``."""

    name: str
    score: str
    seed: int
    case: str
    specimen: str = "resection"
    ish_ratio: str = ""
    her2_copies: str = ""


#: One image per score; the 2+ case has an ISH result, which decides such a case.
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
    """Write the example project into `folder` and return its files, images first.

    The same version of the package draws the same pixels; the JPEG bytes may differ between versions of the codec.

    Raises
    ------
    OutputError
        If the folder cannot be written.
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
    folder: Path,
    name: str,
    *,
    score: str,
    seed: int,
    side_px: int = _SIDE_PX,
    kind: str = "score",
    **changes: Any,
) -> tuple[Path, Path]:
    """Draw a field of `score` and write it as ``<name>.ome.tif`` with its regions in ``<name>.geojson``.

    Parameters
    ----------
    folder
        An existing folder.
    name
        Stem of both file names.
    score
        Intended HER2 score.
    seed
        Seed of the field.
    side_px
        Width and height, px of 0.5 µm.
    kind
        What is drawn: a name of `presets.PRESETS`.
    **changes
        Any other setting of `FieldSettings`.

    Returns
    -------
    tuple[Path, Path]
        The image and its regions.

    Raises
    ------
    OutputError
        If a file cannot be written.
    SettingsError
        If the kind, the score or a setting is unknown or out of range.
    """
    settings = preset(
        kind,
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
    stated_um_px = settings.declared_um_px or settings.pixel_size_um
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
                "PhysicalSizeX": stated_um_px,
                "PhysicalSizeY": stated_um_px,
                "PhysicalSizeXUnit": "µm",
                "PhysicalSizeYUnit": "µm",
                # Otherwise tifffile writes a random UUID, and the same drawing would not give the same file.
                "UUID": f"urn:uuid:{uuid5(NAMESPACE_URL, f'qupath-her2/example/{name}')}",
            },
        )
    replace_file(regions, _regions(field, name))
    return image, regions


def _regions(field: Field, name: str) -> bytes:
    """Return the tumour nests in the form in which QuPath exports annotations (File → Export objects as GeoJSON)."""
    # Simplified by half a pixel: an outline by hand has no vertex at every pixel.
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
        # Slivers at the image's edge, below 400 px² (100 µm²): nobody would annotate them.
        if part.area > 400
    ]
    return orjson.dumps({"type": "FeatureCollection", "features": features}) + b"\n"
