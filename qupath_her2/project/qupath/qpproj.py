"""What a QuPath project says of itself without QuPath: its version, its images, how many objects each holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from qupath_her2.errors import ExchangeError, Her2Error
from qupath_her2.project.folder import nfc, project_file

__all__ = ["ProjectEntry", "ProjectFile", "open_project_file"]


@dataclass(frozen=True, slots=True)
class ProjectEntry:
    """An image of a project: its id, its name, how many objects it held when it was last saved, the runs in it."""

    id: str
    name: str
    n_objects: int
    run: str | None = None
    prediction_run: str | None = None


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """A project file: where it is, which QuPath saved it (None where it does not say), its images."""

    path: Path
    version: str | None
    entries: tuple[ProjectEntry, ...]

    def chosen(self, patterns: Sequence[str]) -> list[ProjectEntry]:
        """Return the images whose name matches any of `patterns`, all where there is none.

        Raises
        ------
        Her2Error
            A pattern that matches no image.
        """
        if not patterns:
            return list(self.entries)
        ids: set[str] = set()
        for pattern in map(nfc, patterns):
            found = {
                e.id
                for e in self.entries
                if fnmatch(nfc(e.name), pattern) or Path(nfc(e.name)).stem == pattern
            }
            # What images are called where QuPath masks their names.
            found = found or {e.id for e in self.entries if fnmatch(f"Image {e.id}", pattern)}
            if not found:
                some = ", ".join(entry.name for entry in self.entries[:8])
                raise Her2Error(f"No image in '{self.path}' matches '{pattern}'. There are: {some}.")
            ids |= found
        return [entry for entry in self.entries if entry.id in ids]


def open_project_file(place: Path) -> ProjectFile:
    """Read a project file.

    Parameters
    ----------
    place
        ``project.qpproj`` or the folder that holds it.

    Raises
    ------
    Her2Error
        There is none, or several.
    ExchangeError
        It is damaged; the message says where QuPath keeps the former one.
    """
    path = project_file(place)
    if path is None:
        raise Her2Error(
            f"'{place}' is no QuPath project. Give its project.qpproj, or the folder that holds it; "
            "a plain folder of images needs neither pull nor push."
        )
    try:
        content = json.loads(path.read_bytes())
        entries = tuple(_entry(image, path.parent) for image in content["images"])
    except OSError as error:
        raise Her2Error(f"Project '{path}' cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExchangeError(
            f"Project '{path}' is damaged ({type(error).__name__}: {error}). QuPath keeps the former one "
            f"beside it: '{path.name}.backup'."
        ) from error
    version = content.get("version")
    return ProjectFile(path.absolute(), version if isinstance(version, str) else None, entries)


def _entry(image: dict[str, Any], folder: Path) -> ProjectEntry:
    entry_id = str(image["entryID"])
    name = str(image.get("imageName") or entry_id)
    metadata = image.get("metadata") or {}
    runs = metadata.get("HER2 run"), metadata.get("HER2 prediction run")
    return ProjectEntry(entry_id, name, _n_objects(folder, entry_id), *runs)


def _n_objects(folder: Path, entry_id: str) -> int:
    """Return the count that QuPath notes when it saves an image; 0 where it did not."""
    try:
        summary = json.loads((folder / "data" / entry_id / "summary.json").read_bytes())
        return int(summary["hierarchy"]["nObjects"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
