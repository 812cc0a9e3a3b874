"""``project.qpproj`` read without QuPath: version, images, and number of objects per image."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from qupath_her2.errors import ExchangeError, Her2Error
from qupath_her2.project.exchange.images import PREDICTIONS, PROPOSALS
from qupath_her2.project.folder import project_file
from qupath_her2.project.image_files import nfc

__all__ = ["ProjectEntry", "ProjectFile", "open_project_file"]


@dataclass(frozen=True, slots=True)
class ProjectEntry:
    """An image of a project.

    Attributes
    ----------
    id, name
        Entry id and image name.
    n_objects
        Number of objects when the image was last saved, QuPath's root object included; 0 if unknown.
    run, prediction_run, proposal_run
        Run ids of the scores, predictions and proposed regions shown in the image, None if there are none.
    """

    id: str
    name: str
    n_objects: int
    run: str | None = None
    prediction_run: str | None = None
    proposal_run: str | None = None

    def run_in(self, folder: str) -> str | None:
        """Return the run shown of the results in an exchange folder of this name."""
        return {PREDICTIONS: self.prediction_run, PROPOSALS: self.proposal_run}.get(folder, self.run)


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """A project file: its path, the version of QuPath that saved it (None if unknown), and its images."""

    path: Path
    version: str | None
    entries: tuple[ProjectEntry, ...]

    def select(self, patterns: Sequence[str]) -> list[ProjectEntry]:
        """Return the images whose name matches any of `patterns`, in project order; all if there are no patterns.

        Raises
        ------
        Her2Error
            A pattern matches no image.
        """
        if not patterns:
            return list(self.entries)
        # In NFC on both sides: a name typed on a Mac must match one stored on Windows.
        ids: set[str] = set()
        for pattern in map(nfc, patterns):
            found = {
                e.id
                for e in self.entries
                if fnmatch(nfc(e.name), pattern) or Path(nfc(e.name)).stem == pattern
            }
            # The names QuPath shows if image names are masked.
            found = found or {e.id for e in self.entries if fnmatch(f"Image {e.id}", pattern)}
            if not found:
                available = ", ".join(entry.name for entry in self.entries[:8])
                raise Her2Error(f"No image in '{self.path}' matches '{pattern}'. Available: {available}.")
            ids |= found
        # Project order, and every image once, however many patterns match it.
        return [entry for entry in self.entries if entry.id in ids]


def open_project_file(place: Path) -> ProjectFile:
    """Read a project file.

    Parameters
    ----------
    place
        ``project.qpproj`` or the folder that contains it.

    Returns
    -------
    ProjectFile
        With an absolute path.

    Raises
    ------
    Her2Error
        There is no project, or several, or the file cannot be read.
    ExchangeError
        The file is damaged; the message names the backup that QuPath keeps.
    """
    path = project_file(place)
    if path is None:
        raise Her2Error(
            f"'{place}' is not a QuPath project. Pass a project.qpproj, or the folder that contains it. "
            "A plain folder of images needs neither pull nor push."
        )
    try:
        content = json.loads(path.read_bytes())
        entries = tuple(_entry(image, path.parent) for image in content["images"])
    except OSError as error:
        raise Her2Error(f"Project '{path}' cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExchangeError(
            f"Project '{path}' is damaged ({type(error).__name__}: {error}). QuPath keeps the previous version "
            f"in the same folder: '{path.name}.backup'."
        ) from error
    version = content.get("version")
    return ProjectFile(path.absolute(), version if isinstance(version, str) else None, entries)


def _entry(image: dict[str, Any], folder: Path) -> ProjectEntry:
    entry_id = str(image["entryID"])
    name = str(image.get("imageName") or entry_id)
    # Written by our import scripts.
    metadata = image.get("metadata") or {}
    runs = [metadata.get(f"HER2 {kind}run") for kind in ("", "prediction ", "proposal ")]
    return ProjectEntry(entry_id, name, _n_objects(folder, entry_id), *runs)


def _n_objects(folder: Path, entry_id: str) -> int:
    """Return the object count that QuPath stored when it last saved an image; 0 if there is none."""
    try:
        summary = json.loads((folder / "data" / entry_id / "summary.json").read_bytes())
        return int(summary["hierarchy"]["nObjects"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
