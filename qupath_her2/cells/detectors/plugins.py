"""Plug-in detectors: nucleus detectors found through entry points.

A package offers one by an entry point of the group ``qupath_her2.cell_detectors`` that names a callable without
arguments; the callable returns a `CellDetector`::

    [project.entry-points."qupath_her2.cell_detectors"]
    my-detector = "my_package:MyDetector"

``--cells my-detector`` then uses it. This package registers its adapters to StarDist, InstanSeg and Cellpose the same
way.
"""

from __future__ import annotations

import functools
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from qupath_her2.errors import MissingExtraError, SettingsError

if TYPE_CHECKING:
    from qupath_her2.cells.nuclei.detection import CellDetector

__all__ = ["DETECTOR_GROUP", "detector_names", "load_detector"]

#: Group of the entry points.
DETECTOR_GROUP = "qupath_her2.cell_detectors"

#: Packages behind the adapters that come with this one.
_PIP_PACKAGES = {"stardist": "stardist tensorflow", "instanseg": "instanseg-torch", "cellpose": "cellpose"}


def detector_names() -> tuple[str, ...]:
    """Return the names of all registered detectors, the three adapters first, then by name."""
    others = {entry.name for entry in entry_points(group=DETECTOR_GROUP)} - set(_PIP_PACKAGES)
    return (*_PIP_PACKAGES, *sorted(others))


@functools.lru_cache(maxsize=4)
def load_detector(name: str) -> CellDetector:
    """Return the detector registered under `name`; loaded once for all images of a process.

    Parameters
    ----------
    name
        One of `detector_names`.

    Returns
    -------
    CellDetector
        Not yet prepared for an image.

    Raises
    ------
    MissingExtraError
        The package behind it is not installed; the message gives the pip line.
    SettingsError
        Nothing is registered under this name, it cannot be loaded, or it is no detector.
    """
    entry = _entry(name)
    try:
        detector = entry.load()()
    except ImportError as error:
        missing = error.name or str(error)
        line = _PIP_PACKAGES.get(name, missing)
        raise MissingExtraError(
            f"--cells {name} needs the package '{missing}', which is not installed: pip install {line}"
        ) from error
    except (AttributeError, TypeError, ValueError) as error:
        raise SettingsError(
            f"The detector '{name}' ({entry.value}) cannot be loaded: {error}. Update the package that provides it."
        ) from error
    if not all(hasattr(detector, member) for member in ("name", "prepared", "detect")):
        raise SettingsError(
            f"The detector '{name}' ({entry.value}) is a {type(detector).__name__} without name, prepared and detect. "
            "See qupath_her2.cells.nuclei.detection.CellDetector."
        )
    return detector  # type: ignore[no-any-return]


def _entry(name: str) -> EntryPoint:
    found = list(entry_points(group=DETECTOR_GROUP, name=name))
    if not found:
        raise SettingsError(
            f"No cell detector '{name}' is registered under '{DETECTOR_GROUP}'. There are: "
            f"{', '.join(detector_names())}. Install the package that provides it, or reinstall qupath-her2."
        )
    return found[0]
