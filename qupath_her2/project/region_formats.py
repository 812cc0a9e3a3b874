"""Region files of all formats, told apart by their endings: GeoJSON, Aperio or ASAP XML, Hamamatsu NDPA."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol
from uuid import UUID

from qupath_her2.errors import RegionFileError
from qupath_her2.project.class_names import ClassNames
from qupath_her2.project.drawn_xml.aperio import read_aperio_regions
from qupath_her2.project.drawn_xml.ndpa import read_ndpa_regions
from qupath_her2.project.geojson.regions import RegionFile, read_regions

__all__ = ["DrawnImage", "read_region_file"]


class DrawnImage(Protocol):
    """What an open image tells about itself, as far as region files refer to it; a slide reader is one.

    Attributes
    ----------
    width, height
        Size of level 0 as QuPath shows it, px.
    pixel_size_x_um, pixel_size_y_um
        As stated by the file, µm; None where it states none.
    scan_offset_nm
        Centre of the scan from the centre of the glass slide, (x, y), nm; None where the file states none.
    """

    pixel_size_x_um: float | None
    pixel_size_y_um: float | None
    scan_offset_nm: tuple[float, float] | None

    @property
    def width(self) -> int: ...  # noqa: D102
    @property
    def height(self) -> int: ...  # noqa: D102


def read_region_file(
    path: Path, image: DrawnImage, *, class_names: ClassNames | None = None, only: UUID | None = None
) -> RegionFile:
    """Read the region file of an open image.

    Parameters
    ----------
    path
        A GeoJSON, ``.xml`` or ``.ndpa`` file.
    image
        The image that it was drawn on.
    class_names
        Class names by role; None for the defaults of `ClassNames`.
    only
        UUID of the one annotation of a GeoJSON file that is asked for, see `geojson.regions.parse_regions`.

    Returns
    -------
    RegionFile
        Regions in level-0 px, and what was set aside, repaired or skipped.

    Raises
    ------
    RegionFileError
        The file as a whole cannot be read, or holds no usable annotation `only`.
    """
    width, height = image.width, image.height
    ending = path.suffix.casefold()
    if only is not None:
        found = read_regions(path, image_width=width, image_height=height, class_names=class_names, only=only)
        if found.selected is None:
            why = next((bad.reason for bad in found.quarantined if bad.id == str(only)), "is not in it")
            raise RegionFileError(f"The annotation {only} of '{path.name}' cannot be scored: it {why}.")
        return found
    if ending == ".xml":
        return read_aperio_regions(path, image_width=width, image_height=height, class_names=class_names)
    if ending == ".ndpa":
        return read_ndpa_regions(
            path,
            image_width=width,
            image_height=height,
            pixel_size_um=(image.pixel_size_x_um, image.pixel_size_y_um),
            scan_offset_nm=image.scan_offset_nm,
            class_names=class_names,
        )
    return read_regions(path, image_width=width, image_height=height, class_names=class_names)
