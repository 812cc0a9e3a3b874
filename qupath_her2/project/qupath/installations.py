"""QuPath installations: finds those on this machine and chooses one for a project, without starting any."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qupath_her2.errors import MissingExtraError, QuPathError

__all__ = ["QuPath", "choose_qupath", "find_qupaths"]


@dataclass(frozen=True, slots=True)
class QuPath:
    """A QuPath installation: its version, taken from the name of its core jar, and its folder."""

    version: str
    folder: Path

    @property
    def order(self) -> tuple[int, ...]:
        """The version as numbers, for comparison."""
        # Snapshots and release candidates ("0.6.0-rc3") count as their release.
        return tuple(int(number) for number in re.findall(r"\d+", self.version)[:3])


def find_qupaths() -> list[QuPath]:
    """Return the QuPath installations on this machine, newest first; only that of ``PAQUO_QUPATH_DIR`` if it is set.

    Searches paquo's settings (``PAQUO_QUPATH_DIR``, ``.paquo.toml``), the active conda environment, and folders
    named QuPath* in paquo's default places.

    Raises
    ------
    MissingExtraError
        paquo is not installed.
    """
    settings = _paquo_settings()
    named = settings.get("qupath_dir")
    if named:
        found = _installation(Path(named).expanduser())
        return [] if found is None else [found]
    by_version: dict[str, QuPath] = {}
    for folder in _folders(settings):
        installation = _installation(folder)
        if installation is not None:
            # The first of two installations of one version wins: conda comes before the default places.
            by_version.setdefault(installation.version, installation)
    return sorted(by_version.values(), key=lambda qupath: qupath.order, reverse=True)


def _paquo_settings() -> dict[str, Any]:
    try:
        from paquo._config import settings, to_kwargs
    except ImportError as error:
        raise MissingExtraError(
            "paquo, which runs QuPath from Python, is not installed: pip install paquo. Or use the scripts inside "
            "QuPath: export_regions.groovy before scoring, import_results.groovy after."
        ) from error
    # paquo reads its settings at its first import; the variable may have been set since.
    named = os.environ.get("PAQUO_QUPATH_DIR")
    known: dict[str, Any] = to_kwargs(settings)
    return {**known, "qupath_dir": named or known.get("qupath_dir")}


def _folders(settings: Mapping[str, Any]) -> Iterator[Path]:
    conda = os.environ.get("CONDA_PREFIX")
    if conda and settings.get("qupath_search_conda", True):
        yield from (
            Path(conda, *end) for end in (("opt", "QuPath"), ("bin", "QuPath.app"), ("Library", "QuPath"))
        )
    # A search folder may be missing or unreadable; that is no reason to stop.
    pattern = re.compile(settings.get("qupath_search_dir_regex") or "")
    for place in (Path(p).expanduser() for p in settings.get("qupath_search_dirs") or ()):
        with contextlib.suppress(OSError):
            yield from sorted(d for d in place.iterdir() if pattern.match(d.name) and d.is_dir())


def _installation(folder: Path) -> QuPath | None:
    from paquo.jpype_backend import qupath_jvm_info_from_qupath_dir

    try:
        jars = qupath_jvm_info_from_qupath_dir(folder, []).app_dir
    except FileNotFoundError:
        return None
    cores = sorted(jars.glob("qupath-core-[0-9]*.jar"))
    return QuPath(cores[-1].stem.removeprefix("qupath-core-"), folder) if cores else None


def choose_qupath(project_version: str | None = None) -> QuPath:
    """Return the QuPath to use for a project: the version that saved it, else the newest.

    The same version is preferred, so that the project stays readable for the QuPath it was made with.

    Raises
    ------
    QuPathError
        There is none, or all are older than the project; the message says what to do.
    """
    found = find_qupaths()
    named = os.environ.get("PAQUO_QUPATH_DIR")
    if not found:
        where = (
            f"PAQUO_QUPATH_DIR is '{named}', which is not a QuPath folder"
            if named
            else "searched paquo's default places"
        )
        raise QuPathError(
            f"No QuPath was found on this machine ({where}). Set PAQUO_QUPATH_DIR to the folder of QuPath, or use "
            "the scripts inside QuPath: export_regions.groovy before scoring, import_results.groovy after."
        )
    same = [qupath for qupath in found if qupath.version == project_version]
    chosen = (same or found)[0]
    # Major and minor only: the project format does not change within a minor version.
    wanted = QuPath(project_version or "0", Path())
    if chosen.order[:2] < wanted.order[:2]:
        raise QuPathError(
            f"The project was saved by QuPath {project_version}, but the newest QuPath found is {chosen.version} "
            f"({chosen.folder}), which may not be able to read it. Set PAQUO_QUPATH_DIR to QuPath {project_version}."
        )
    return chosen
