"""Runs in the exchange folder: written as a transaction, validated when read, superseded by newer ones.

A run is written to ``<run>.tmp``, its record last, with the SHA-256 of every other file. Then the folder is renamed
and ``current.json`` is replaced atomically. If the process is killed at any point, the image keeps its previous run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import orjson

from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.cell_files import read_cells
from qupath_her2.project.exchange.image_ids import image_folder
from qupath_her2.project.exchange.locks import ImageLock
from qupath_her2.project.exchange.run_record import RunRecord
from qupath_her2.project.exchange.score_files import read_score
from qupath_her2.project.exchange.writing import output_errors, replace_file, sync_folder, write_synced
from qupath_her2.provenance import run_key, sha256_file
from qupath_her2.records import CellTable, SlideScore

__all__ = [
    "RunWriter",
    "current_run",
    "find_run",
    "new_run",
    "read_record",
    "read_run",
    "remove_old_runs",
    "set_current",
    "stored_score",
    "validate_run",
]

_RECORD = "run.json"
_CURRENT = "current.json"
_RUN_ID = re.compile(r"[0-9a-f]{11}(-[0-9]+)?")


# --- writing a run


@dataclasses.dataclass(slots=True)
class RunWriter:
    """A run being written: create its files, then `finish` it with its record."""

    run: str
    folder: Path
    final: Path
    record: RunRecord | None = None

    def write(self, name: str, data: bytes) -> None:
        """Write one file of the run."""
        with output_errors(self.final / name):
            write_synced(self.folder / name, data)

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Open one file of the run for binary writing; it is flushed to disk at the end of the block."""
        with output_errors(self.final / name), (self.folder / name).open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())

    def finish(self, record: RunRecord) -> None:
        """Mark the run as complete; hashes and sizes of its files are added to `record` at the end of the block."""
        self.record = dataclasses.replace(record, run=self.run)


@contextlib.contextmanager
def new_run(lock: ImageLock, input_hash: str, *, make_current: bool = True) -> Iterator[RunWriter]:
    """Write a run of the locked image: it becomes the current run at the end of the block, or leaves no trace.

    Parameters
    ----------
    lock
        Result of `lock_image`. What killed workers left of this image is removed first.
    input_hash
        Result of `provenance.input_hash`. The run id is its key, with ``-2``, ``-3`` … appended if there is already
        a run with that key.
    make_current
        False leaves the image's current run as it is.

    Yields
    ------
    RunWriter
        Write the files with it, then call its `finish`.

    Raises
    ------
    OutputError
        The run cannot be written (read-only folder, full disk …); nothing of it is left.
    ExchangeError
        The block ended without `finish`.
    ImageBusyError
        Another worker took the lock over meanwhile.
    """
    folder = image_folder(lock.her2, lock.image)
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder)
        run = _free_run_id(folder, run_key(input_hash))
        writer = RunWriter(run, folder / f"{run}.tmp", folder / run)
        writer.folder.mkdir()
    try:
        yield writer
        if writer.record is None:
            raise ExchangeError(
                f"Run {run} of '{lock.image}' was not finished: call finish(record) at the end of the block."
            )
        # A worker that was taken for dead must not overwrite what its successor wrote.
        lock.check()
        with output_errors(writer.final):
            _seal(writer, writer.record)
    # Ctrl-C must not leave half a run either.
    except BaseException:
        # If the rename succeeded but could not be flushed, undo it; the id was free, so the folder is this run's own.
        if writer.final.exists():
            writer.final.rename(writer.folder)
        shutil.rmtree(writer.folder, ignore_errors=True)
        _remove_if_empty(folder)
        raise
    # Outside the try block: the run is complete by now, and must not be removed if only the pointer cannot be written.
    if make_current:
        set_current(writer.final)


def set_current(run_dir: Path) -> None:
    """Make a finished run the one that counts for its image; where it does already, nothing is written."""
    pointer, content = run_dir.parent / _CURRENT, orjson.dumps({"run": run_dir.name}) + b"\n"
    if not pointer.is_file() or pointer.read_bytes() != content:
        replace_file(pointer, content)


def _seal(writer: RunWriter, record: RunRecord) -> None:
    """Write the record and rename the folder to its final name."""
    files = sorted(path for path in writer.folder.iterdir() if path.name != _RECORD)
    record = dataclasses.replace(
        record,
        files={path.name: sha256_file(path) for path in files},
        sizes={path.name: path.stat().st_size for path in files},
    )
    # The record is written last and flushed before the rename: a folder with a final name always has a whole record.
    write_synced(writer.folder / _RECORD, record.to_json() + b"\n")
    sync_folder(writer.folder)
    writer.folder.rename(writer.final)
    sync_folder(writer.final.parent)


def _free_run_id(folder: Path, key: str) -> str:
    number = 1
    run = key
    while (folder / run).exists():
        number += 1
        run = f"{key}-{number}"
    return run


def _remove_leftovers(folder: Path) -> None:
    """Remove unfinished runs and drafts; the lock guarantees that nobody is writing them."""
    for path in folder.glob("*.tmp"):
        # Of a link the link is removed, never what it leads to.
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


# --- reading runs


def read_record(run_dir: Path) -> RunRecord:
    """Return the record of a run; ExchangeError if it is missing or damaged."""
    try:
        data = (run_dir / _RECORD).read_bytes()
    except OSError as error:
        raise ExchangeError(
            f"'{run_dir}' is not a finished run: {_RECORD} cannot be read ({error.strerror}). "
            "Score the image again with --force (run or predict)."
        ) from error
    return RunRecord.from_json(data)


def current_run(her2: Path, image: str) -> Path | None:
    """Return the folder of an image's current run, None if it has none.

    Raises
    ------
    ExchangeError
        ``current.json`` is damaged, or names a run that does not exist.
    """
    folder = image_folder(her2, image)
    pointer = folder / _CURRENT
    try:
        run = orjson.loads(pointer.read_bytes())["run"]
    except FileNotFoundError:
        return None
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ExchangeError(
            f"'{pointer}' is damaged ({error}). Delete it and score the image again."
        ) from error
    if not isinstance(run, str) or not _RUN_ID.fullmatch(run) or not (folder / run).is_dir():
        raise ExchangeError(
            f"'{pointer}' names run {run!r}, which does not exist. Delete it and score the image again."
        )
    return folder / run


def validate_run(run_dir: Path, *, deep: bool = True) -> RunRecord:
    """Return the record of a run after checking the run's files against it.

    Parameters
    ----------
    run_dir
        ``results/<image>/<run>``.
    deep
        Compare the SHA-256 of every file, not just its size.

    Returns
    -------
    RunRecord
        The record.

    Raises
    ------
    ExchangeError
        A file is missing, extra or changed, or the record is invalid.
    """
    record = read_record(run_dir)
    if record.run != run_dir.name:
        raise ExchangeError(
            f"'{run_dir}' contains the record of run {record.run!r}. "
            "Score the image again with --force (run or predict)."
        )
    found = {path.name: path for path in run_dir.iterdir() if path.name != _RECORD}
    if found.keys() != record.files.keys():
        different = ", ".join(sorted(found.keys() ^ record.files.keys()))
        raise ExchangeError(
            f"'{run_dir}': files missing or extra: {different}. Score the image again with --force (run or predict)."
        )
    for name, path in found.items():
        is_same = path.stat().st_size == record.sizes.get(name)
        if not is_same or (deep and sha256_file(path) != record.files[name]):
            raise ExchangeError(
                f"'{path}' was changed after the run. Score the image again with --force (run or predict)."
            )
    return record


def read_run(run_dir: Path) -> tuple[RunRecord, CellTable | None, SlideScore]:
    """Return a validated run: its record, its cells (None if it has none), and its score."""
    record = validate_run(run_dir)
    cells = None
    if "cells.npz" in record.files:
        cells = read_cells(
            run_dir / "cells.npz",
            measurement_names=record.cells.get("measurements", []),
            class_names=record.cells.get("classes", []),
            n_regions=len(record.regions),
        )
    return record, cells, stored_score(run_dir)


def stored_score(run_dir: Path) -> SlideScore:
    """Return the score of a finished run, without validating the run."""
    return read_score((run_dir / "score.json").read_bytes())


def find_run(her2: Path, image: str, input_hash: str, *, make_current: bool = True) -> Path | None:
    """Return the finished run of exactly these inputs, None if the image has to be scored.

    An earlier run of the same inputs becomes current again: ``current.json`` is pointed back to it. A damaged run or
    pointer is ignored.

    Parameters
    ----------
    her2
        The exchange folder.
    image
        Id of the image.
    input_hash
        Result of `provenance.input_hash`.
    make_current
        False leaves ``current.json`` as it is.

    Returns
    -------
    Path or None
        Folder of the run.
    """
    folder = image_folder(her2, image)
    if not folder.is_dir():
        return None
    try:
        current = current_run(her2, image)
    except ExchangeError:
        # A damaged pointer is repaired below, or by the next run.
        current = None
    # The key is only the head of the hash; the record decides.
    others = (path for path in sorted(folder.glob(f"{run_key(input_hash)}*")) if _RUN_ID.fullmatch(path.name))
    for run_dir in [current] * (current is not None) + [path for path in others if path != current]:
        if run_dir is not None and _has_inputs(run_dir, input_hash):
            if make_current:
                set_current(run_dir)
            return run_dir
    return None


def _has_inputs(run_dir: Path, input_hash: str) -> bool:
    try:
        # Sizes only: hashing the files of every slide would make a repeated batch run as slow as reading them all.
        return validate_run(run_dir, deep=False).input_hash == input_hash
    except ExchangeError:
        return False


def remove_old_runs(lock: ImageLock, *, keep: frozenset[str] = frozenset()) -> list[str]:
    """Remove the runs of the locked image that are neither current nor in `keep`.

    Parameters
    ----------
    lock
        Lock of the image.
    keep
        Ids of runs that still have objects in QuPath, or corrections not yet collected.

    Returns
    -------
    list[str]
        Ids of the removed runs.
    """
    folder = image_folder(lock.her2, lock.image)
    current = current_run(lock.her2, lock.image)
    removed = []
    with output_errors(folder):
        for path in sorted(folder.iterdir()):
            if path.is_dir() and _RUN_ID.fullmatch(path.name) and path != current and path.name not in keep:
                # Renamed first: if killed while deleting, what remains is a leftover draft, not half a run.
                doomed = path.with_name(f"{path.name}.tmp")
                path.rename(doomed)
                _remove_leftovers(folder)
                removed.append(path.name)
    return removed
