"""An exchange folder as an export from QuPath leaves it, for one drawn image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

__all__ = ["pull_image"]


def pull_image(project: Path, **changes: Any) -> Path:
    """Write the exchange folder of the image ``strong`` with its whole frame as a tumour region.

    Parameters
    ----------
    project : folder with ``strong.ome.tif``, from the fixture `project`.
    **changes : entries of the image in ``images.json``.

    Returns
    -------
    The exchange folder.
    """
    her2 = project / "her2"
    (her2 / "regions").mkdir(parents=True, exist_ok=True)
    image = {
        "id": "1_strong",
        "entry_id": "1",
        "name": "strong",
        "path": "strong.ome.tif",
        "pixel_size_um": 0.5,
    }
    image |= {"width": 420, "height": 420, "chain": [], "refusal": None, **changes}
    (her2 / "images.json").write_bytes(orjson.dumps({"format": 1, "images": [image]}))
    width, height = image["width"], image["height"]
    ring = [[0, 0], [width, 0], [width, height], [0, height], [0, 0]]
    feature = {
        "type": "Feature",
        "id": "0b2f5c1e-9f0a-4c9e-8a57-33d2f1c0a001",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "annotation", "classification": {"name": "Tumor", "color": None}},
    }
    content = orjson.dumps({"type": "FeatureCollection", "features": [feature]})
    (her2 / "regions" / "1_strong.geojson").write_bytes(content)
    # A region file beside the image would belong to a plain folder, not to a pulled project.
    (project / "strong.geojson").unlink(missing_ok=True)
    return her2
