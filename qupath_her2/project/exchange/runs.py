"""The exchange folder ``her2/``: names of images, and runs that are there whole or not at all.

A run is written into ``<run>.tmp``; its record comes last, with the SHA-256 of every other file; then the
folder is renamed and ``current.json`` is replaced in one step. Killed anywhere in between, the image keeps
its former run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import re
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import orjson

from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.cell_files import read_cells
from qupath_her2.project.exchange.locks import ImageLock
from qupath_her2.project.exchange.run_record import RunRecord
from qupath_her2.project.exchange.score_files import read_score
from qupath_her2.project.exchange.writing import output_errors, replace_file, sync_folder, write_synced
from qupath_her2.provenance import run_key, sha256_file
from qupath_her2.records import CellTable, SlideScore

__all__ = [
    "RunWriter",
    "clean_old",
    "current_run",
    "folder_image_id",
    "image_id",
    "new_run",
    "read_record",
    "read_run",
    "up_to_date",
    "validate_run",
]

#: Characters of a readable name in a folder name: with id and run, paths stay under Windows' 260.
SLUG_CHARS = 40
_RECORD = "run.json"
_CURRENT = "current.json"
_IMAGE_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_\-]{0,80}")
_RUN_ID = re.compile(r"[0-9a-f]{11}(-[0-9]+)?")


# --- names


def image_id(entry_id: str, name: str | None) -> str:
    """Return ``<entry id>_<slug>``, the folder name of an image; the id alone where names are masked (None).

    The slug is the name's stem in ASCII letters and digits, at most 40 characters. The id in front keeps
    names apart that differ only in case, accents or signs, and keeps Windows' reserved names (``con``,
    ``nul``) away.
    """
    slug = "" if name is None else _slug(name)
    identity = f"{entry_id}_{slug}" if slug else entry_id
    if not _IMAGE_ID.fullmatch(identity):
        raise ExchangeError(f"Entry id {entry_id!r} cannot name a folder: letters, digits, - and _ only.")
    return identity


def folder_image_id(relative: str) -> str:
    """Return the folder name of an image of a plain folder, from its path relative to that folder.

    The id is the first 40 bits of the SHA-256 of the path in NFC with ``/``: the same on every system.
    """
    path = unicodedata.normalize("NFC", relative.replace("\\", "/"))
    return image_id(
        hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()[:10], path.rpartition("/")[2]
    )


def _slug(name: str) -> str:
    stem = name.rpartition(".")[0] or name
    ascii_text = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    return re.sub(r"[^0-9A-Za-z]+", "-", ascii_text)[:SLUG_CHARS].strip("-")


def _image_folder(her2: Path, image: str) -> Path:
    # The name comes from files of others as well; it must not lead out of the folder.
    if not _IMAGE_ID.fullmatch(image):
        raise ExchangeError(f"{image!r} is not the name of an image in an exchange folder.")
    return her2 / "results" / image


# --- writing a run


@dataclasses.dataclass(slots=True)
class RunWriter:
    """A run being written: make files in it, then `finish` it with its record."""

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
        """Open one file of the run for writing; it is on the disk when the block ends."""
        with output_errors(self.final / name), (self.folder / name).open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())

    def finish(self, record: RunRecord) -> None:
        """Say that the run is complete; hashes and sizes of its files are filled in when the block ends."""
        self.record = dataclasses.replace(record, run=self.run)


@contextlib.contextmanager
def new_run(lock: ImageLock, input_hash: str) -> Iterator[RunWriter]:
    """Write a run of the locked image; it counts from the moment the block ends, or leaves nothing behind.

    Parameters
    ----------
    lock
        From `lock_image`; what dead workers left of this image is removed first.
    input_hash
        From `provenance.input_hash`; the run's id is its key, with ``-2``, ``-3`` … where a run of it is
        there already.

    Yields
    ------
    RunWriter
        Write files with it, then call its `finish`.

    Raises
    ------
    OutputError
        Read-only folder, full disk …; nothing of the run is left.
    ExchangeError
        The block ended without `finish`.
    """
    folder = _image_folder(lock.her2, lock.image)
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
                f"Run {run} of '{lock.image}' was not finished: call finish(record) before the end."
            )
        with output_errors(writer.final):
            _seal(writer, writer.record)
    except BaseException:
        # A rename that could not be flushed is taken back; the id was free, so the folder is this run's own.
        if writer.final.exists():
            writer.final.rename(writer.folder)
        shutil.rmtree(writer.folder, ignore_errors=True)
        _remove_if_empty(folder)
        raise
    replace_file(folder / _CURRENT, orjson.dumps({"run": run}) + b"\n")


def _seal(writer: RunWriter, record: RunRecord) -> None:
    """Write the record and give the folder its name."""
    files = sorted(path for path in writer.folder.iterdir() if path.name != _RECORD)
    record = dataclasses.replace(
        record,
        files={path.name: sha256_file(path) for path in files},
        sizes={path.name: path.stat().st_size for path in files},
    )
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
    """Remove unfinished runs and drafts; the lock says that nobody is writing them."""
    for path in folder.glob("*.tmp"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


# --- reading runs


def read_record(run_dir: Path) -> RunRecord:
    """Return the record of a run; ExchangeError where there is none or it is damaged."""
    try:
        data = (run_dir / _RECORD).read_bytes()
    except OSError as error:
        raise ExchangeError(
            f"'{run_dir}' is not a finished run: {_RECORD} cannot be read ({error.strerror})."
        ) from error
    return RunRecord.from_json(data)


def current_run(her2: Path, image: str) -> Path | None:
    """Return the folder of the run that counts, None where there is none; ExchangeError if damaged."""
    folder = _image_folder(her2, image)
    pointer = folder / _CURRENT
    try:
        run = orjson.loads(pointer.read_bytes())["run"]
    except FileNotFoundError:
        return None
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ExchangeError(f"'{pointer}' is damaged. Delete it and score the image again.") from error
    if not isinstance(run, str) or not _RUN_ID.fullmatch(run) or not (folder / run).is_dir():
        raise ExchangeError(
            f"'{pointer}' names the run {run!r}, which is not there. Delete it and score again."
        )
    return folder / run


def validate_run(run_dir: Path, *, deep: bool = True) -> RunRecord:
    """Return the record of a run whose files are what it says.

    Parameters
    ----------
    run_dir
        ``results/<image>/<run>``.
    deep
        Compare every file's SHA-256, not its size alone.

    Raises
    ------
    ExchangeError
        A file is missing, extra or changed, or the record is not sound.
    """
    record = read_record(run_dir)
    if record.run != run_dir.name:
        raise ExchangeError(
            f"'{run_dir}' holds the record of run {record.run!r}. Score the image again with --force."
        )
    found = {path.name: path for path in run_dir.iterdir() if path.name != _RECORD}
    if found.keys() != record.files.keys():
        odd = ", ".join(sorted(found.keys() ^ record.files.keys()))
        raise ExchangeError(
            f"'{run_dir}': files missing or extra: {odd}. Score the image again with --force."
        )
    for name, path in found.items():
        is_same = path.stat().st_size == record.sizes.get(name)
        if not is_same or (deep and sha256_file(path) != record.files[name]):
            raise ExchangeError(f"'{path}' was changed after the run. Score the image again with --force.")
    return record


def read_run(run_dir: Path) -> tuple[RunRecord, CellTable | None, SlideScore]:
    """Return a run, checked whole: its record, its cells (None where it has none), its score."""
    record = validate_run(run_dir)
    cells = None
    if "cells.npz" in record.files:
        cells = read_cells(
            run_dir / "cells.npz",
            measurement_names=record.cells.get("measurements", []),
            class_names=record.cells.get("classes", []),
            n_regions=len(record.regions),
        )
    return record, cells, read_score((run_dir / "score.json").read_bytes())


def up_to_date(her2: Path, image: str, input_hash: str) -> Path | None:
    """Return the folder of the finished run of exactly these inputs, None where it has to be made.

    An earlier run of the same inputs counts again: ``current.json`` is turned back to it. A damaged run or
    pointer counts as none.
    """
    folder = _image_folder(her2, image)
    if not folder.is_dir():
        return None
    try:
        current = current_run(her2, image)
    except ExchangeError:
        current = None
    others = (path for path in sorted(folder.glob(f"{run_key(input_hash)}*")) if _RUN_ID.fullmatch(path.name))
    for run_dir in [current] * (current is not None) + [path for path in others if path != current]:
        if run_dir is not None and _is_of(run_dir, input_hash):
            if run_dir != current:
                replace_file(folder / _CURRENT, orjson.dumps({"run": run_dir.name}) + b"\n")
            return run_dir
    return None


def _is_of(run_dir: Path, input_hash: str) -> bool:
    try:
        return validate_run(run_dir, deep=False).input_hash == input_hash
    except ExchangeError:
        return False


def clean_old(lock: ImageLock, *, keep: frozenset[str] = frozenset()) -> list[str]:
    """Remove runs of the locked image that neither count nor are in `keep`; return their ids.

    `keep` names runs with objects in QuPath or corrections not yet collected.
    """
    folder = _image_folder(lock.her2, lock.image)
    current = current_run(lock.her2, lock.image)
    removed = []
    with output_errors(folder):
        for path in sorted(folder.iterdir()):
            if path.is_dir() and _RUN_ID.fullmatch(path.name) and path != current and path.name not in keep:
                # Renamed first, so that a kill in between leaves a leftover and not half a run.
                doomed = path.with_name(f"{path.name}.tmp")
                path.rename(doomed)
                shutil.rmtree(doomed)
                removed.append(path.name)
    return removed
