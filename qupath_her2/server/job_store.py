"""The queue of jobs in SQLite: it survives the end of the service, whatever ends it."""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from qupath_her2.project.exchange.writing import output_errors

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ENDED", "JobState", "JobStore", "StoredJob", "new_id"]

JobState: TypeAlias = Literal["waiting", "running", "done", "refused", "failed", "cancelled"]
#: States in which a job stays.
ENDED: frozenset[str] = frozenset({"done", "refused", "failed", "cancelled"})

#: A job during which its process ended so often is not tried again.
_MOST_TRIES = 3

_TABLE = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    verb TEXT NOT NULL,
    state TEXT NOT NULL,
    created TEXT NOT NULL,
    started TEXT,
    ended TEXT,
    message TEXT NOT NULL DEFAULT '',
    needs TEXT NOT NULL DEFAULT '[]',
    options TEXT NOT NULL DEFAULT '{}',
    slide TEXT NOT NULL,
    regions TEXT,
    upload TEXT,
    run_dir TEXT,
    tries INTEGER NOT NULL DEFAULT 0
)
"""


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job as it is stored.

    Attributes
    ----------
    id
        Random, 32 hex digits; the name of its folder.
    name
        The slide's file name.
    verb
        ``score`` or ``predict``.
    state
        Where it is.
    created, started, ended
        ISO 8601, UTC; None where it is not so far.
    message
        A sentence: the reason of the score, the refusal or the failure.
    needs
        Names of the options without which it cannot be done, where that alone is missing.
    options
        As given with the request.
    slide, regions
        Paths of the files; no regions are None.
    upload
        Folder of the files below ``uploads``; None where the slide was named by its path.
    run_dir
        Folder of the finished run; None where there is none.
    """

    id: str
    name: str
    verb: str
    state: JobState
    created: str
    started: str | None
    ended: str | None
    message: str
    needs: tuple[str, ...]
    options: dict[str, Any] = field(hash=False)
    slide: str
    regions: str | None
    upload: str | None
    run_dir: str | None


class JobStore:
    """The jobs of one state folder; safe to use from several threads.

    Parameters
    ----------
    path
        The database file, made where there is none.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        with output_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
        self._base = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._base.row_factory = sqlite3.Row
        # Every change is on disk before it is answered, so that a job told as accepted is never lost.
        self._base.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; {_TABLE}")

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._base.close()

    def add(
        self,
        *,
        name: str,
        verb: str,
        options: dict[str, Any],
        slide: Path,
        regions: Path | None = None,
        upload: str | None = None,
    ) -> StoredJob:
        """Append a waiting job.

        Parameters
        ----------
        name
            The slide's file name.
        verb
            ``score`` or ``predict``.
        options
            As given with the request.
        slide, regions
            The files.
        upload
            Folder of the files below ``uploads``; None where they are the user's own.

        Returns
        -------
        StoredJob
            With its new id.
        """
        identity = new_id()
        self._change(
            "INSERT INTO jobs (id, name, verb, state, created, options, slide, regions, upload) "
            "VALUES (?, ?, ?, 'waiting', ?, ?, ?, ?, ?)",
            (
                identity,
                name,
                verb,
                _now(),
                json.dumps(options),
                str(slide),
                None if regions is None else str(regions),
                upload,
            ),
        )
        return cast("StoredJob", self.get(identity))

    def get(self, identity: str) -> StoredJob | None:
        """Return a job; None where there is none of this id."""
        found = self._rows("SELECT * FROM jobs WHERE id = ?", (identity,))
        return found[0] if found else None

    def history(self, limit: int = 200) -> list[StoredJob]:
        """Return the newest jobs, newest first."""
        return self._rows("SELECT * FROM jobs ORDER BY number DESC LIMIT ?", (limit,))

    def n_waiting(self) -> int:
        """Return how many jobs wait."""
        with self._lock:
            return int(self._base.execute("SELECT count(*) FROM jobs WHERE state = 'waiting'").fetchone()[0])

    def n_unfinished(self) -> int:
        """Return how many jobs wait or run."""
        with self._lock:
            states = "SELECT count(*) FROM jobs WHERE state IN ('waiting', 'running')"
            return int(self._base.execute(states).fetchone()[0])

    def uploads(self) -> set[str]:
        """Return the folders below ``uploads`` that some job needs."""
        with self._lock:
            return {
                row[0] for row in self._base.execute("SELECT DISTINCT upload FROM jobs WHERE upload NOT NULL")
            }

    def ids(self) -> set[str]:
        """Return the ids of all jobs."""
        with self._lock:
            return {row[0] for row in self._base.execute("SELECT id FROM jobs")}

    def take(self) -> StoredJob | None:
        """Return the job that waits longest, now running; None where none waits."""
        with self._lock:
            found = self._rows("SELECT * FROM jobs WHERE state = 'waiting' ORDER BY number LIMIT 1")
            if not found:
                return None
            self._change(
                "UPDATE jobs SET state = 'running', started = ?, tries = tries + 1 WHERE id = ?",
                (_now(), found[0].id),
            )
            return self.get(found[0].id)

    def end(
        self,
        identity: str,
        state: JobState,
        message: str,
        *,
        needs: tuple[str, ...] = (),
        run_dir: Path | None = None,
    ) -> None:
        """Write down how a job ended.

        Parameters
        ----------
        identity
            The job.
        state
            One of `ENDED`.
        message
            A sentence.
        needs
            Names of missing options.
        run_dir
            Folder of the finished run.
        """
        self._change(
            "UPDATE jobs SET state = ?, message = ?, needs = ?, run_dir = ?, ended = ? WHERE id = ?",
            (state, message, json.dumps(needs), None if run_dir is None else str(run_dir), _now(), identity),
        )

    def put_back(self, identity: str | None = None, *, is_tried: bool = True) -> None:
        """Let a running job wait again, or all of them.

        Parameters
        ----------
        identity
            The job; None takes all that run, as those that a killed service left.
        is_tried
            False where it was stopped in order, which counts as no try. A job that was tried too often has failed.
        """
        chosen = "state = 'running'" + ("" if identity is None else " AND id = ?")
        values = () if identity is None else (identity,)
        with self._lock:
            if not is_tried:
                self._change(f"UPDATE jobs SET tries = tries - 1 WHERE {chosen}", values)
            self._change(
                f"UPDATE jobs SET state = 'failed', ended = ?, message = ? WHERE {chosen} AND tries >= {_MOST_TRIES}",
                (
                    _now(),
                    f"The process that worked on it ended {_MOST_TRIES} times; it is not tried again.",
                    *values,
                ),
            )
            self._change(f"UPDATE jobs SET state = 'waiting', started = NULL WHERE {chosen}", values)

    def cancel_waiting(self, identity: str) -> bool:
        """Cancel a job that waits; False where it does not."""
        done = self._change(
            "UPDATE jobs SET state = 'cancelled', ended = ?, message = 'Cancelled.' WHERE id = ? AND state = 'waiting'",
            (_now(), identity),
        )
        return done == 1

    def remove(self, identity: str) -> None:
        """Forget a job."""
        self._change("DELETE FROM jobs WHERE id = ?", (identity,))

    def _change(self, command: str, values: tuple[Any, ...]) -> int:
        with self._lock, output_errors(self._path):
            try:
                return self._base.execute(command, values).rowcount
            except sqlite3.OperationalError as error:
                # Most often a full disk, which SQLite does not tell as an OSError.
                raise OSError(_errno_of(error), str(error), str(self._path)) from error

    def _rows(self, query: str, values: tuple[Any, ...] = ()) -> list[StoredJob]:
        with self._lock:
            return [_job(row) for row in self._base.execute(query, values)]


def _errno_of(error: sqlite3.OperationalError) -> int:
    import errno

    return errno.ENOSPC if "full" in str(error) else errno.EIO


def _job(row: sqlite3.Row) -> StoredJob:
    return StoredJob(
        id=row["id"],
        name=row["name"],
        verb=row["verb"],
        state=row["state"],
        created=row["created"],
        started=row["started"],
        ended=row["ended"],
        message=row["message"],
        needs=tuple(json.loads(row["needs"])),
        options=json.loads(row["options"]),
        slide=row["slide"],
        regions=row["regions"],
        upload=row["upload"],
        run_dir=row["run_dir"],
    )


def new_id() -> str:
    """Return a random id, 32 hex digits, that nobody can guess."""
    return secrets.token_hex(16)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
