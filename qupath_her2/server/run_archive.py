"""Finished runs on their way between a service and an exchange folder, as ZIP archives of their files."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING

from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.image_ids import image_folder
from qupath_her2.project.exchange.locks import lock_image
from qupath_her2.project.exchange.run_record import RunRecord
from qupath_her2.project.exchange.runs import set_current, validate_run
from qupath_her2.project.exchange.writing import output_errors, sync_folder

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["install_run", "zip_run"]

_RECORD = "run.json"


def zip_run(run_dir: Path, file: IO[bytes]) -> None:
    """Write the files of a finished run into an archive, below a folder of the run's name; nothing is compressed."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(run_dir.iterdir()):
            archive.write(path, f"{run_dir.name}/{path.name}")


def install_run(file: IO[bytes], her2: Path) -> Path:
    """Put an archived run into an exchange folder as the current run of its image, whole or not at all.

    Parameters
    ----------
    file
        From `zip_run`.
    her2
        The exchange folder.

    Returns
    -------
    Path
        Folder of the run.

    Raises
    ------
    ExchangeError
        The archive is damaged, or is no run.
    OutputError
        The folder cannot be written.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            return _install(archive, her2)
    except zipfile.BadZipFile as error:
        raise ExchangeError(
            f"The run that the service sent is damaged ({error}). Ask for it again."
        ) from error


def _install(archive: zipfile.ZipFile, her2: Path) -> Path:
    entries = {PurePosixPath(name).name: name for name in archive.namelist()}
    if _RECORD not in entries:
        raise ExchangeError(f"What the service sent is no run: there is no {_RECORD} in it.")
    record = RunRecord.from_json(archive.read(entries[_RECORD]))
    image = str(record.image.get("id"))
    final = image_folder(her2, image) / record.run
    with lock_image(her2, image) as lock, output_errors(final):
        draft = final.with_name(f"{final.name}.tmp")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            # By their last names alone: no entry leads out of the folder.
            for name, entry in entries.items():
                with archive.open(entry) as source, (draft / name).open("wb") as target:
                    shutil.copyfileobj(source, target)
            sync_folder(draft)
            lock.check()
            if not final.exists():
                draft.rename(final)
            # Every file has the hash that the record states; a run of this name from before is checked as well.
            validate_run(final)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    set_current(final)
    return final
