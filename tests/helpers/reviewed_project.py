"""An exchange folder with a finished run of drawn square cells, and what a person then made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import orjson

from qupath_her2.project.exchange.cell_files import write_cells
from qupath_her2.project.exchange.correction_files import corrections_path
from qupath_her2.project.exchange.images import read_images
from qupath_her2.project.exchange.locks import lock_image
from qupath_her2.project.exchange.run_record import RunRecord
from qupath_her2.project.exchange.runs import new_run
from qupath_her2.project.exchange.score_files import score_json
from qupath_her2.provenance import object_uuids, sha256_file
from qupath_her2.records import CELL_CLASSES, CellTable, SlideRef, SlideScore

__all__ = ["ReviewedImage", "TUMOUR", "IGNORED", "reviewed_image"]

TUMOUR = "0b2f5c1e-9f0a-4c9e-8a57-33d2f1c0a001"
IGNORED = "0b2f5c1e-9f0a-4c9e-8a57-33d2f1c0a002"
_INPUT_HASH = "ab" * 32


def square(x: float, y: float, side: float = 10.0) -> list[list[float]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


def annotation(uuid: str, ring: list[list[float]], class_name: str | None, name: str = "") -> dict[str, Any]:
    properties: dict[str, Any] = {"objectType": "annotation"}
    if class_name:
        properties["classification"] = {"name": class_name, "color": None}
    if name:
        properties["name"] = name
    return {
        "type": "Feature",
        "id": uuid,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": properties,
    }


@dataclass
class ReviewedImage:
    """One scored image of a pulled project.

    Attributes
    ----------
    her2
        The exchange folder.
    image
        Id of the image.
    table
        Its cells as the run wrote them: 10 px squares, 20 px apart, classes 0 1 2 3 0 1 …
    """

    her2: Path
    image: str
    table: CellTable

    @property
    def refs(self) -> list[SlideRef]:
        return read_images(self.her2)

    @property
    def regions(self) -> Path:
        return self.her2 / "regions" / f"{self.image}.geojson"

    def uuid(self, row: int) -> str:
        return str(UUID(bytes=self.table.uuid[row].tobytes()))

    def ring(self, row: int) -> list[list[float]]:
        ring = self.table.cell_xy[self.table.cell_offsets[row] : self.table.cell_offsets[row + 1]].tolist()
        return [*ring, ring[0]]

    def correct(
        self,
        changed: Mapping[int, str | None],
        deleted: tuple[int, ...] = (),
        shift: Mapping[int, float] | None = None,
    ) -> None:
        """Write the corrections as QuPath's exporter does."""
        features = []
        for row, name in changed.items():
            x, y = np.mean(self.ring(row)[:-1], axis=0).tolist()
            properties = {"change": "class", "class": name, "centroid": [x + (shift or {}).get(row, 0.0), y]}
            features.append((self.uuid(row), self.ring(row), properties))
        features += [(None, self.ring(row), {"change": "deleted"}) for row in deleted]
        content = {
            "type": "FeatureCollection",
            "features": [
                {
                    "type": "Feature",
                    "id": uuid,
                    "geometry": {"type": "Polygon", "coordinates": [ring]},
                    "properties": properties,
                }
                for uuid, ring, properties in features
            ],
        }
        path = corrections_path(self.regions, self.image)
        if features:
            path.write_bytes(orjson.dumps(content))
        else:
            path.unlink(missing_ok=True)

    def draw(self, *features: dict[str, Any]) -> None:
        """Replace the exported regions."""
        self.regions.write_bytes(orjson.dumps({"type": "FeatureCollection", "features": list(features)}))

    def type_score(self, **metadata: str) -> None:
        """Type into the metadata of the image; underscores stand for spaces."""
        path = self.her2 / "images.json"
        content = orjson.loads(path.read_bytes())
        entry = next(one for one in content["images"] if one["id"] == self.image)
        entry["metadata"] = {key.replace("_", " "): value for key, value in metadata.items()}
        path.write_bytes(orjson.dumps(content))


def reviewed_image(
    her2: Path, n: int = 40, image: str = "1_case", measurements: Mapping[str, np.ndarray] | None = None
) -> ReviewedImage:
    """Write an exchange folder with one more scored image; its Tumor and Ignore regions are as they were scored."""
    (her2 / "regions").mkdir(parents=True, exist_ok=True)
    listed = her2 / "images.json"
    images = orjson.loads(listed.read_bytes())["images"] if listed.is_file() else []
    images.append({"id": image, "entry_id": image[0], "name": f"{image[2:]}.svs", "metadata": {}})
    listed.write_bytes(orjson.dumps({"format": 1, "images": images}))
    columns = dict(measurements or {"HER2: Membrane completeness": np.linspace(0, 1, n)})
    x = 20.0 * np.arange(n)
    rings = np.array([square(left, 5)[:-1] for left in x], np.float32)
    table = CellTable(
        uuid=object_uuids(_INPUT_HASH, n),
        centroid_xy=rings.mean(axis=1),
        cell_xy=rings.reshape(-1, 2),
        cell_offsets=4 * np.arange(n + 1),
        nucleus_xy=np.zeros((0, 2), np.float32),
        nucleus_offsets=np.zeros(n + 1, np.int64),
        region=np.zeros(n, np.int32),
        measurements=np.column_stack(list(columns.values())).astype(np.float32),
        measurement_names=tuple(columns),
        cell_class=(np.arange(n) % 4).astype(np.uint8),
        class_names=CELL_CLASSES,
    )
    found = ReviewedImage(her2, image, table)
    found.draw(
        annotation(TUMOUR, square(0, 0, 20.0 * n), "Tumor", "centre"),
        annotation(IGNORED, square(300, 0, 30), "Ignore*"),
    )
    score = SlideScore("scored", "2+", "Because.", "ASCO/CAP breast 2018/2023", n_cells=n)
    with lock_image(her2, image) as lock, new_run(lock, _INPUT_HASH) as run:
        run.write("score.json", score_json(score))
        run.write("regions.geojson", found.regions.read_bytes())
        with run.open("cells.npz") as file:
            write_cells(file, table)
        names = {"measurements": list(table.measurement_names), "classes": list(CELL_CLASSES)}
        run.finish(
            RunRecord(
                run="",
                input_hash=_INPUT_HASH,
                image={"name": f"{image[2:]}.svs", "id": image, "pixel_size_um": 0.25, "scanner": "scan 1"},
                inputs={"regions": sha256_file(found.regions)},
                regions=({"uuid": TUMOUR, "name": "centre", "class": "Tumor", "area_um2": 1.0},),
                cells=names,
            )
        )
    return found
