"""Tumour finders that learned from reviews, as files: both passes of trees, and where they come from.

``her2/finders/<name>.npz``, format 1, plain arrays that can run no code. `qupath-her2 train --recipe tumour-finder`
writes it, ``finder = "<name>"`` under ``[find_tumour]`` in ``her2.toml`` uses it:

- ``features``: columns of the second pass, `finder.SECOND_NAMES`.
- ``first/...``, ``second/...``: trees of each pass, see `nuclei.trees`. All of them, those of the package that they go
  on from included: the file means the same whatever the package ships later.
- ``about``: JSON with ``format``, ``name``, ``origin`` (rounds, cases, reviewers, numbers of cells, hash of the finder
  it goes on from, version, time) and ``figures`` (before and after on cases that it had not seen).

A finder is replaced as a whole, never edited in place.
"""

from __future__ import annotations

import functools
import hashlib
import io
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from qupath_her2.cells.nuclei.trees import Trees, arrays_of, stored_trees
from qupath_her2.cells.tumour.finder import FIRST_NAMES, PASSES, SECOND_NAMES
from qupath_her2.errors import SettingsError
from qupath_her2.project.exchange.writing import output_errors, replace_file

__all__ = ["FINDER_FORMAT", "TumourFinder", "finder_path", "read_finder", "trees_digest", "write_finder"]

FINDER_FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
#: A file larger than this is no finder: one takes about 0.1 MB.
_MOST_BYTES = 20_000_000


@dataclass(frozen=True, slots=True, eq=False)
class TumourFinder:
    """A tumour finder with its origin.

    Attributes
    ----------
    name
        Name in every result.
    trees
        Those of the ``first`` and ``second`` pass.
    origin
        Rounds, cases, reviewers, cells, what it goes on from, version, time.
    figures
        Before and after on cases that it had not seen.
    """

    name: str
    trees: Mapping[str, Trees]
    origin: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # `none` asks for the finder of the package.
        if _NAME.fullmatch(self.name) is None or self.name == "none":
            raise SettingsError(
                f"{self.name!r} is no name of a tumour finder and its file. Use letters, digits, '.', '_' and '-', "
                "e.g. 'lab-a-2026'."
            )

    @property
    def digest(self) -> str:
        """SHA-256 of everything that judges a cell; 64 hex digits."""
        return trees_digest(self.trees)


def trees_digest(trees: Mapping[str, Trees]) -> str:
    """Return the SHA-256 of the trees of both passes, 64 hex digits."""
    digest = hashlib.sha256()
    for target in PASSES:
        for name, array in arrays_of(trees[target], target).items():
            digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def finder_path(her2: Path, name: str) -> Path:
    """Return the file of a finder in an exchange folder."""
    return her2 / "finders" / f"{name}.npz"


def write_finder(path: Path, finder: TumourFinder) -> Path:
    """Write a finder as a whole, in place of an older one.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    about = {
        "format": FINDER_FORMAT,
        "name": finder.name,
        "origin": dict(finder.origin),
        "figures": dict(finder.figures),
    }
    stored: dict[str, Any] = {"features": np.array(SECOND_NAMES)}
    stored["about"] = np.frombuffer(orjson.dumps(about, option=orjson.OPT_SORT_KEYS), np.uint8)
    for target in PASSES:
        stored |= arrays_of(finder.trees[target], target)
    content = io.BytesIO()
    np.savez_compressed(content, **stored)
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, content.getvalue())
    return path


def read_finder(path: Path) -> TumourFinder:
    """Return the finder in a file.

    Raises
    ------
    SettingsError
        The file is missing, damaged, of another format, or was trained on other features; the message names the file.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise SettingsError(f"Tumour finder '{path}' cannot be read: {error.strerror}. {_REST}") from error
    if state.st_size > _MOST_BYTES:
        raise SettingsError(f"Tumour finder '{path}' is too large for one. {_REST}")
    return _read(path, state.st_mtime_ns, state.st_size)


_REST = "Take it from a copy, or train it again."


@functools.lru_cache(maxsize=4)
def _read(path: Path, _changed_ns: int, _size: int) -> TumourFinder:
    """Read a file once for all images of a process; time and size notice another one under the same name."""
    try:
        # A file of trees must not be able to run code.
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            arrays: dict[str, Any] = {name: stored[name] for name in stored.files}
        about = orjson.loads(arrays["about"].tobytes())
        found = about.get("format") if isinstance(about, dict) else None
        if found != FINDER_FORMAT:
            raise SettingsError(f"Tumour finder '{path}' has format {found!r}, not {FINDER_FORMAT}. {_REST}")
        if tuple(map(str, arrays["features"])) != SECOND_NAMES:
            raise SettingsError(
                f"Tumour finder '{path}' was trained on other features than this version measures. Train it again."
            )
        trees = {target: stored_trees(arrays, target) for target in PASSES}
        for target in PASSES:
            _check(trees[target], len(FIRST_NAMES if target == "first" else SECOND_NAMES))
        return TumourFinder(str(about["name"]), trees, dict(about["origin"]), dict(about["figures"]))
    except OSError as error:
        raise SettingsError(f"Tumour finder '{path}' cannot be read: {error}. {_REST}") from error
    except KeyError as error:
        raise SettingsError(f"Tumour finder '{path}' lacks {error}. {_REST}") from error
    except SettingsError:
        raise
    except (ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise SettingsError(
            f"Tumour finder '{path}' is damaged: {str(error).rstrip('.')}. {_REST}"
        ) from error


def _check(trees: Trees, n_columns: int) -> None:
    """Raise ValueError for trees that would read or walk beyond their arrays: compiled code checks nothing."""
    n = len(trees.feature)
    if any(len(one) != n for one in (trees.threshold, trees.left, trees.right, trees.value)):
        raise ValueError("its arrays differ in length")
    ends = np.append(trees.root[1:], n)
    if not len(trees.root) or trees.root[0] != 0 or (np.diff(np.append(trees.root, n)) < 1).any():
        raise ValueError("its trees overlap")
    split = np.flatnonzero(trees.feature >= 0)
    end = ends[np.searchsorted(trees.root, split, side="right") - 1]
    for child in (trees.left[split], trees.right[split]):
        if ((child <= split) | (child >= end)).any():
            raise ValueError("a node of a tree leads out of it")
    if not ((trees.feature >= -1) & (trees.feature < n_columns)).all():
        raise ValueError("a tree asks for a feature that there is not")
    if not (
        np.isfinite(trees.threshold).all() and np.isfinite(trees.value).all() and np.isfinite(trees.baseline)
    ):
        raise ValueError("a value is not finite")
