"""Region transfer: annotations of one slide brought to another of the same case, from H&E to IHC or back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from qupath_her2.errors import RegistrationError
from qupath_her2.project.exchange.score_files import regions_geojson
from qupath_her2.project.exchange.writing import output_errors, replace_file
from qupath_her2.project.region_formats import read_region_file
from qupath_her2.report.pictures import encode_jpeg
from qupath_her2.report.registration import registration_picture
from qupath_her2.slides.readers.view import open_image
from qupath_her2.slides.registration.record import Registration, registration_to_dict
from qupath_her2.slides.registration.register import RegistrationSettings, register_slides
from qupath_her2.slides.registration.transfer import transfer_regions

if TYPE_CHECKING:
    from qupath_her2.project.class_names import ClassNames
    from qupath_her2.records import Region, SlideRef

__all__ = ["Transfer", "transfer_between"]


@dataclass(frozen=True, slots=True)
class Transfer:
    """Transferred regions.

    Attributes
    ----------
    folder
        Holds ``regions.geojson`` (drag it onto the target in QuPath), ``registration.json`` and ``check.jpg``.
    registration
        The map from source to target, and its error.
    regions
        Geometry in level-0 pixels of the target.
    notes
        Sentences on regions that were clipped or lost.
    """

    folder: Path
    registration: Registration
    regions: tuple[Region, ...]
    notes: tuple[str, ...]


def transfer_between(
    source: SlideRef,
    target: SlideRef,
    out: Path,
    *,
    class_names: ClassNames,
    pixel_size_um: float | None = None,
    settings: RegistrationSettings | None = None,
) -> Transfer:
    """Register two slides and write the source's regions in the coordinates of the target.

    No existing region file is changed: the transferred outlines go to a folder of their own, to be checked and imported
    by a person.

    Parameters
    ----------
    source
        The image whose regions are transferred.
    target
        Another image of the same case.
    out
        The exchange folder; the result is written to ``registration/<source>_to_<target>`` in it.
    class_names
        Class names and the roles they stand for.
    pixel_size_um
        µm per level-0 pixel of both images; overrides QuPath's value and the files'.
    settings
        Registration settings.

    Returns
    -------
    Transfer
        The registration with its error, and the regions on the target.

    Raises
    ------
    RegistrationError
        The source has no regions, or the slides cannot be registered.
    ImageReadError, RegionFileError, OutputError
        A file cannot be read or written.
    """
    with open_image(source) as fixed, open_image(target) as moving:
        regions = (
            read_region_file(source.regions_path, fixed, class_names=class_names).regions
            if source.regions_path is not None
            else ()
        )
        if not regions:
            raise RegistrationError(
                f"Image '{source.name}' has no regions to transfer. Draw some in QuPath and export them, or pull "
                "the project again."
            )
        found = register_slides(
            fixed,
            moving,
            fixed_pixel_size_um=pixel_size_um or source.pixel_size_um,
            moving_pixel_size_um=pixel_size_um or target.pixel_size_um,
            settings=settings,
        )
        # Outlines of adjacent sections are guides, not truth: the transfer says what was clipped or lost.
        there, notes = transfer_regions(regions, found, "to moving")
        # The error in µm is one number for the whole slide; only the picture shows where the fit is poor.
        picture = encode_jpeg(registration_picture(fixed, moving, found, regions))
    folder = out / "registration" / f"{source.id}_to_{target.id}"
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    # With the file names, as a record that is copied elsewhere must still say which slides it joins.
    record = {**registration_to_dict(found), "fixed": source.name, "moving": target.name}
    replace_file(folder / "registration.json", orjson.dumps(record, option=orjson.OPT_INDENT_2))
    replace_file(folder / "check.jpg", picture)
    # Written last, so that the outlines never lie there without the picture that shows whether to trust them.
    replace_file(folder / "regions.geojson", regions_geojson(there, {}))
    return Transfer(folder, found, tuple(there), tuple(notes))
