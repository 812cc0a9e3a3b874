"""Cut-points that a person set by hand, as a profile for the place of the image that she set them on."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from qupath_her2.cells.profiles import Profile, profile_path, read_profile, write_profile
from qupath_her2.errors import ReviewError
from qupath_her2.project.exchange.runs import current_run, read_record
from qupath_her2.runs.profile_choice import image_place
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB, StainVectors

if TYPE_CHECKING:
    from qupath_her2.cells.membrane.grading import GradingSettings
    from qupath_her2.records import SlideRef

__all__ = ["save_hand_profile"]


def save_hand_profile(
    her2: Path,
    ref: SlideRef,
    name: str,
    cut_points: GradingSettings,
    *,
    set_by: str,
    laboratory: str,
    version: str,
    now: datetime | None = None,
) -> Path:
    """Write cut-points that a person set on an image.

    Parameters
    ----------
    her2
        The exchange folder.
    ref
        The image, scored; the profile is for its scanner, stain and laboratory.
    name
        Name of the profile; one that was set by hand before is replaced.
    cut_points
        On a cell's own membrane: OD, and shares of the outline.
    set_by
        Who set them.
    laboratory
        From `profile_choice.laboratories`.
    version
        Of the program, for the origin.
    now
        Time of the profile; None takes the clock.

    Returns
    -------
    Path
        The file, ``her2/profiles/<name>.json``.

    Raises
    ------
    ReviewError
        The image has no result, or a calibrated profile has this name.
    SettingsError
        The name is no name of a file, or an older profile of this name is damaged.
    """
    run = current_run(her2, ref.id)
    if run is None:
        raise ReviewError(
            f"Image '{ref.name}' has no result, on which cut-points could be set. Score it first."
        )
    record = read_record(run)
    stored = record.settings.get("used", {}).get("stains")
    stains = (
        QUPATH_H_DAB if stored is None else StainVectors(tuple(stored["hematoxylin"]), tuple(stored["dab"]))
    )
    size, scanner = record.image.get("pixel_size_um"), record.image.get("scanner")
    time = (now or datetime.now(timezone.utc)).astimezone(timezone.utc)
    origin = {
        "set_by": set_by,
        "images": [ref.id],
        "version": version,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    profile = Profile(name, image_place(ref, laboratory, stains, size, scanner), cut_points, origin)
    path = profile_path(her2, name)
    # What was fitted to labels cannot be had back by moving sliders.
    if path.is_file() and "set_by" not in read_profile(path).origin:
        raise ReviewError(f"Profile '{name}' was calibrated from labelled cells. Choose another name.")
    return write_profile(path, profile)
