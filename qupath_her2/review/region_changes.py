"""Differences between regions as they were when the image was first scored and as they are now.

``her2/review/written/<image>.geojson`` is the region file that the first score was made from, kept when scoring ends,
since QuPath overwrites the file itself with each export. A later score does not replace it: a region that a person
changed before it is still changed. Without it, only the regions that were scored are known. Proposals of the program
are compared with what was proposed (`written_proposals`), whether they came before or after the score.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import shapely

from qupath_her2.errors import ExchangeError, RegionFileError
from qupath_her2.project.class_names import grade_of
from qupath_her2.project.exchange.runs import current_run, read_record, stored_score
from qupath_her2.project.exchange.writing import output_errors, replace_file
from qupath_her2.project.json_files import read_limited
from qupath_her2.provenance import sha256_file
from qupath_her2.review.changes import Change, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from qupath_her2.records import SlideRef

__all__ = [
    "Drawn",
    "compared_run",
    "is_geojson",
    "keep_written_regions",
    "read_drawn",
    "region_changes",
    "written_regions",
]

#: Coordinates that differ by less are those of a rounded file, px.
_SAME_PX = 0.02


@dataclass(frozen=True, slots=True)
class Drawn:
    """An annotation as a file holds it.

    Attributes
    ----------
    geometry
        GeoJSON geometry, level-0 pixels.
    class_name, name
        QuPath class and name; "" for none.
    """

    geometry: dict[str, Any]
    class_name: str
    name: str

    @property
    def shape(self) -> shapely.Geometry:
        """The geometry."""
        return shapely.from_geojson(orjson.dumps(self.geometry))

    @property
    def is_label(self) -> bool:
        """Whether it is a graded cell drawn by a person (class ``Tumor: 2+``), and no region."""
        return grade_of(self.class_name or None) is not None


def keep_written_regions(her2: Path, images: Iterable[SlideRef]) -> None:
    """Keep the region file of each image whose first run was made from it; what was kept before is never replaced.

    A run without any tumour region is none in this sense: what is drawn after it is drawn for the first time.

    Raises
    ------
    OutputError
        The exchange folder cannot be written.
    """
    for ref in images:
        source, kept = ref.regions_path, _kept(her2, ref.id)
        if source is None or not is_geojson(source) or kept.is_file():
            continue
        try:
            run = current_run(her2, ref.id)
            is_source = run is not None and read_record(run).inputs.get("regions") == sha256_file(source)
            # Last, since it reads the score as well: after most batches nothing is left to keep.
            is_source = is_source and compared_run(her2, ref.id) is not None
        except ExchangeError:
            # The image is scored again; what was scored is kept then.
            is_source = False
        if is_source:
            with output_errors(kept):
                kept.parent.mkdir(parents=True, exist_ok=True)
            replace_file(kept, _bytes(source))


def compared_run(her2: Path, image: str) -> Path | None:
    """Return the current run of an image whose regions can be compared with it; None without a tumour region in it.

    Raises
    ------
    ExchangeError
        The run is damaged.
    """
    run = current_run(her2, image)
    if run is None or not (run / "score.json").is_file():
        return run
    return None if stored_score(run).refusal_code == "no_tumour_region" else run


def written_regions(her2: Path, image: str) -> tuple[dict[str, Drawn], bool]:
    """Return the regions that the image was scored with, by UUID, and whether they are all that were there.

    Without a kept file they are those of the current run, which knows neither ignored nor other annotations.
    """
    kept = _kept(her2, image)
    if kept.is_file():
        return read_drawn(kept), True
    run = compared_run(her2, image)
    if run is None:
        return {}, False
    return read_drawn(run / "regions.geojson"), False


def read_drawn(path: Path) -> dict[str, Drawn]:
    """Return the annotations of a GeoJSON file by UUID; features without an id are left out.

    Raises
    ------
    ExchangeError
        The file cannot be read or is no feature collection.
    """
    try:
        content = orjson.loads(_bytes(path))
        features = content["features"] if isinstance(content, dict) else content
        found = {}
        for feature in features:
            properties = feature.get("properties") or {}
            is_object = properties.get("objectType", "annotation") in ("annotation", "tmaCore")
            if is_object and feature.get("id") and feature.get("geometry"):
                found[str(feature["id"])] = Drawn(
                    feature["geometry"], _class_of(properties), str(properties.get("name") or "")
                )
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ExchangeError(
            f"The regions '{path}' are no feature collection ({error}). Export the image again from QuPath."
        ) from error
    return found


def region_changes(
    image: str, before: Mapping[str, Drawn], now: Mapping[str, Drawn], *, is_whole: bool
) -> list[Change]:
    """Return the regions that were drawn, removed, moved, reshaped, renamed or given another class.

    Annotations of a graded class are cells that a person added, and stand among the cells.

    Parameters
    ----------
    image
        Id of the image.
    before, now
        {UUID: annotation}.
    is_whole
        `before` holds every annotation there was; otherwise only new tumour regions can be told from old ones.

    Returns
    -------
    list[Change]
        Without authors.
    """
    changes = []
    for uuid, one in now.items():
        old = before.get(uuid)
        if old is not None:
            changes += _differences(image, uuid, old, one)
        elif one.is_label:
            changes.append(_change(image, uuid, "added", "", one.class_name, one))
        elif is_whole or _is_tumour(one):
            changes.append(_change(image, uuid, "drawn", "", one.class_name, one))
    for uuid, old in before.items():
        if uuid not in now:
            word = "deleted" if old.is_label else "removed"
            changes.append(_change(image, uuid, word, old.class_name, "", old))
    return changes


def _differences(image: str, uuid: str, old: Drawn, one: Drawn) -> list[Change]:
    changes = []
    if old.class_name != one.class_name:
        word = "reclassified" if old.is_label or one.is_label else "class changed"
        changes.append(_change(image, uuid, word, old.class_name, one.class_name, one))
    if old.name != one.name:
        changes.append(_change(image, uuid, "renamed", old.name, one.name, one))
    if old.geometry != one.geometry:
        before, now = old.shape, one.shape
        if not _is_same(before, now):
            word, words = ("moved", _place) if _is_shifted(before, now) else ("reshaped", _size)
            changes.append(_change(image, uuid, word, words(before), words(now), one))
    return changes


def _change(image: str, uuid: str, word: str, before: str, after: str, one: Drawn) -> Change:
    centre = one.shape.centroid
    x, y = ("", "") if centre.is_empty else (f"{centre.x:.2f}", f"{centre.y:.2f}")
    is_outline = word in ("moved", "reshaped", "drawn", "added")
    return Change(
        image,
        "cell" if word in ("added", "deleted", "reclassified") else "region",
        uuid,
        word,
        before,
        after,
        x,
        y,
        digest_of(one.geometry) if is_outline else "",
        name=one.name,
        geometry=one.geometry,
    )


def _is_same(before: shapely.Geometry, now: shapely.Geometry) -> bool:
    """Whether two outlines are equal but for rounding: order and start of vertices do not matter."""
    one, two = shapely.normalize(before), shapely.normalize(now)
    return bool(shapely.equals_exact(one, two, _SAME_PX) or one.hausdorff_distance(two) < _SAME_PX)


def _is_shifted(before: shapely.Geometry, now: shapely.Geometry) -> bool:
    """Whether an outline was moved as a whole."""
    step = np.array([now.centroid.x - before.centroid.x, now.centroid.y - before.centroid.y])
    return _is_same(shapely.transform(before, lambda xy: xy + step), now)


def _place(shape: shapely.Geometry) -> str:
    return f"{shape.centroid.x:.0f}, {shape.centroid.y:.0f}"


def _size(shape: shapely.Geometry) -> str:
    return f"{shape.area:.0f} px²"


def _is_tumour(one: Drawn) -> bool:
    return one.class_name.casefold().startswith("tumo")


def _class_of(properties: Mapping[str, Any]) -> str:
    given = properties.get("classification") or {}
    return str(given.get("name") or ": ".join(given.get("names") or ()))


def _kept(her2: Path, image: str) -> Path:
    return her2 / "review" / "written" / f"{image}.geojson"


def is_geojson(path: Path) -> bool:
    """Return whether a region file has UUIDs, by which its regions can be compared."""
    return path.name.casefold().endswith((".geojson", ".geojson.gz"))


def _bytes(path: Path) -> bytes:
    try:
        return read_limited(path)
    except RegionFileError as error:
        raise ExchangeError(str(error)) from error
