"""Finds the QuPath installations of this machine, and runs scripts in them without a window."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Variable with the folder where tests cache our compiled Groovy library; without it, every QuPath compiles it.
COMPILED = "QUPATH_HER2_TEST_COMPILED"
#: The folders in which paquo 0.9 looks for folders named QuPath* (its ``.paquo.defaults.toml``).
PLACES = (
    "/opt",
    "/Applications",
    "c:/Program Files",
    "/usr/local",
    "~/Applications",
    "~/AppData/Local",
    "~",
)


@dataclass(frozen=True, slots=True)
class QuPath:
    """An installation: the version of its core jar, its folder, and the program that starts it."""

    version: str
    folder: Path
    launcher: Path

    def run(
        self, script: Path, *options: str, private: Path, timeout_s: float = 900
    ) -> subprocess.CompletedProcess[str]:
        """Run `script` headless; preferences are kept below `private`, away from the user's own.

        The limit is generous: a QuPath that starts in 3 s took more than 180 s on a machine with ten times its load.
        """
        preferences = java_options({"java.util.prefs.userRoot": private})
        return subprocess.run(
            [str(self.launcher), "script", str(script), *options],
            env={**os.environ, "JAVA_TOOL_OPTIONS": preferences},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
            check=False,
        )


def java_options(properties: Mapping[str, object]) -> str:
    """Java properties in the syntax of `JAVA_TOOL_OPTIONS`, with the cache of our compiled library if there is one."""
    kept = os.environ.get(COMPILED)
    every = {**properties, **({"qupath_her2.compiled": kept} if kept else {})}
    return " ".join(f'-D{name}="{value}"' for name, value in every.items())


def find_qupaths(
    environment: Mapping[str, str] = os.environ, places: Sequence[str | Path] = PLACES
) -> list[QuPath]:
    """Every QuPath found, oldest version first.

    Looks at ``PAQUO_QUPATH_DIR``, the active conda environment, and folders named ``QuPath*`` in `places`.
    A version found in several folders is listed once, with the first.
    """
    found: dict[str, QuPath] = {}
    for folder in _folders(environment, places):
        qupath = _read(folder)
        if qupath is not None:
            found.setdefault(qupath.version, qupath)
    return sorted(found.values(), key=lambda q: [int(n) for n in re.findall(r"\d+", q.version)])


def qupaths_to_test(
    environment: Mapping[str, str] = os.environ, places: Sequence[str | Path] = PLACES
) -> list[QuPath]:
    """The QuPaths that tests run on: those whose version starts with one of `QUPATH_HER2_TEST_QUPATHS`.

    The variable lists version prefixes, separated by commas; unset or empty, it means all.
    """
    wanted = [
        one.strip() for one in environment.get("QUPATH_HER2_TEST_QUPATHS", "").split(",") if one.strip()
    ]
    found = find_qupaths(environment, places)
    return [q for q in found if not wanted or any(q.version.startswith(one) for one in wanted)]


def _folders(environment: Mapping[str, str], places: Sequence[str | Path]) -> Iterator[Path]:
    named = environment.get("PAQUO_QUPATH_DIR")
    if named:
        yield Path(named).expanduser()
    conda = environment.get("CONDA_PREFIX")
    if conda:
        yield from (
            Path(conda, *end) for end in (("opt", "QuPath"), ("bin", "QuPath.app"), ("Library", "QuPath"))
        )
    for place in (Path(p).expanduser() for p in places):
        if place.is_dir() and os.access(place, os.R_OK | os.X_OK):
            yield from (d for d in sorted(place.iterdir()) if d.name.lower().startswith("qupath"))


def _read(folder: Path) -> QuPath | None:
    """Return the installation in `folder`, in the layout of QuPath's installers; None if there is none."""
    jars, starters = {
        "darwin": ("Contents/app", ("Contents/MacOS/QuPath*",)),
        # On Windows only the console program waits for the end and passes its output on.
        "win32": ("app", ("QuPath*(console).exe", "QuPath*.exe")),
    }.get(sys.platform, ("lib/app", ("bin/QuPath*",)))
    cores = sorted((folder / jars).glob("qupath-core-[0-9]*.jar"))
    programs = [p for pattern in starters for p in sorted(folder.glob(pattern)) if shutil.which(p)]
    if not cores or not programs:
        return None
    return QuPath(cores[-1].stem.removeprefix("qupath-core-"), folder, programs[0])
