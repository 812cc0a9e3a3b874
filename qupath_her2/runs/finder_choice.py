"""Choice of the tumour finder of a run: that of the package, or one that learned from reviews.

``finder`` under ``[find_tumour]`` in ``her2.toml`` chooses it, for `qupath-her2 run --find-tumour`, `propose`, `batch`,
the service and the menus in QuPath alike. Every result says which finder searched, unless it was that of the package.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qupath_her2.cells.tumour.finder_file import TumourFinder, finder_path, read_finder
from qupath_her2.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qupath_her2.cells.nuclei.trees import Trees
    from qupath_her2.config import Settings

__all__ = [
    "OF_PACKAGE",
    "find_finder",
    "finder_digest",
    "finder_note",
    "finder_trees",
    "with_chosen_finder",
    "with_finder_file",
]

#: Asks for the finder of the package.
OF_PACKAGE = "none"


def with_finder_file(settings: Settings, there: Path) -> Settings:
    """Return settings whose finder, if it is a file, is named from the root, not from the folder of ``her2.toml``."""
    path = there / settings.find_tumour.finder
    return _with(settings, path) if path.is_file() else settings


def find_finder(name: str, folders: Sequence[Path]) -> Path | None:
    """Return the file of a finder that is named, in the first of these exchange folders that has it, or by its path."""
    # A path as a name would leave the folder.
    named = [finder_path(her2, name) for her2 in folders] if Path(name).name == name else []
    return next((one for one in (*named, Path(name)) if one.is_file()), None)


def with_chosen_finder(settings: Settings, folders: Sequence[Path]) -> Settings:
    """Return settings that name the finder by its file, after it was read.

    Parameters
    ----------
    settings
        Of the run.
    folders
        Exchange folders in which a name is looked for, in this order.

    Returns
    -------
    Settings
        The same where the finder of the package is asked for.

    Raises
    ------
    SettingsError
        There is no such finder, or its file is damaged.
    """
    name = settings.find_tumour.finder
    if name == OF_PACKAGE:
        return settings
    path = find_finder(name, folders)
    if path is None:
        there = sorted(
            {one.stem for her2 in folders for one in finder_path(her2, "any").parent.glob("*.npz")}
        )
        known = (
            f"There are: {', '.join(there)}." if there else f"There is none in '{folders[0] / 'finders'}'."
        )
        raise SettingsError(
            f"There is no tumour finder '{name}' (setting find_tumour.finder), neither by name nor as a file. {known}"
        )
    read_finder(path)
    return _with(settings, path.absolute())


def _with(settings: Settings, path: Path) -> Settings:
    return replace(settings, find_tumour=replace(settings.find_tumour, finder=str(path)))


def _finder(settings: Settings) -> TumourFinder | None:
    name = settings.find_tumour.finder
    return None if name == OF_PACKAGE else read_finder(Path(name))


def finder_trees(settings: Settings) -> Mapping[str, Trees] | None:
    """Return the trees of the finder; None for those of the package."""
    found = _finder(settings)
    return None if found is None else found.trees


def finder_digest(settings: Settings) -> dict[str, str]:
    """Return the SHA-256 of the finder, for the input hash and ``run.json``; empty for that of the package."""
    found = _finder(settings)
    return {} if found is None else {"finder": found.digest}


def finder_note(settings: Settings) -> list[str]:
    """Return a sentence that names the finder, for the warnings of a result; none for that of the package."""
    found = _finder(settings)
    if found is None:
        return []
    n = len(found.origin.get("cases", ()))
    cases = f" from {n} reviewed case{'s' * (n != 1)}" if n else ""
    return [f"Tumour was searched for by the finder {found.name}, which learned{cases}."]
