"""Rounds: what one person had changed at one time, as files that can be read, compared and copied.

``her2/review/rounds/<number>-<author>/``:

- ``changes.csv``: every difference between what the program wrote and what was there, a line each in a fixed order,
  with the author and the round of each; a later round repeats what still holds, so that the last one is the whole
  state.
- ``<image>.geojson``: the same with outlines, to drag onto the image in QuPath.
- ``round.json``: format, number, author, time (UTC), hashes of the other files, and what could not be compared.

A round is written under another name and renamed when it is complete; it is never changed afterwards.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
import shutil
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import orjson

from qupath_her2.errors import ReviewError
from qupath_her2.project.exchange.writing import output_errors, sync_folder, write_synced
from qupath_her2.project.spreadsheet import csv_bytes
from qupath_her2.review.changes import ASPECTS, Change

__all__ = [
    "ROUND_FORMAT",
    "Round",
    "add_copies",
    "next_number",
    "read_copies",
    "read_round",
    "read_rounds",
    "round_name",
    "rounds_folder",
    "write_round",
]

ROUND_FORMAT = 1
_RECORD = "round.json"
_CHANGES = "changes.csv"
_NAME = re.compile(r"(\d{3,})-[0-9a-z-]+")
_COLUMNS = tuple(one.name for one in fields(Change) if one.name != "geometry")


@dataclass(frozen=True, slots=True)
class Round:
    """One round.

    Attributes
    ----------
    name
        Name of its folder, ``003-anna``.
    number
        Its number, from 1.
    author
        Who collected it.
    time
        When, ISO 8601, UTC.
    changes
        Everything that differs from what was written, also what earlier rounds had.
    notes
        What could not be compared.
    digest
        SHA-256 of its record: the same round has the same digest in every copy of a project.
    """

    name: str
    number: int
    author: str
    time: str
    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()
    digest: str = ""

    @property
    def new(self) -> tuple[Change, ...]:
        """Changes that this round was the first to have."""
        return tuple(one for one in self.changes if one.round == self.name)


def rounds_folder(her2: Path) -> Path:
    """Return the folder of all rounds of an exchange folder."""
    return her2 / "review" / "rounds"


def next_number(her2: Path) -> int:
    """Return the number of the next round; damaged rounds keep theirs."""
    folder = rounds_folder(her2)
    names = [_NAME.fullmatch(path.name) for path in folder.iterdir()] if folder.is_dir() else []
    return 1 + max((int(name.group(1)) for name in names if name), default=0)


def round_name(number: int, author: str) -> str:
    """Return the folder name of a round: its number and the author's name in ASCII."""
    plain = unicodedata.normalize("NFKD", author).encode("ascii", "ignore").decode().casefold()
    slug = re.sub(r"[^0-9a-z]+", "-", plain).strip("-")[:24].strip("-")
    return f"{number:03}-{slug or 'reader'}"


def write_round(her2: Path, one: Round) -> Path:
    """Write a round; it is there as a whole or not at all.

    Parameters
    ----------
    her2
        The exchange folder.
    one
        The round; its digest is not used.

    Returns
    -------
    Path
        Its folder.

    Raises
    ------
    OutputError
        The folder cannot be written.
    ReviewError
        There is a round of this name: somebody else collected at the same moment.
    """
    folder = rounds_folder(her2)
    # With the pid, since two people may collect at once; what a killed process leaves is never taken for a round.
    final, draft = folder / one.name, folder / f"{one.name}.{os.getpid()}.tmp"
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        draft.mkdir(exist_ok=True)
        try:
            files = {_CHANGES: _csv(one.changes), **_geojsons(one.changes)}
            for name, data in files.items():
                write_synced(draft / name, data)
            record = {
                "format": ROUND_FORMAT,
                "number": one.number,
                "author": one.author,
                "time": one.time,
                "notes": list(one.notes),
                "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
            }
            options = orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2
            write_synced(draft / _RECORD, orjson.dumps(record, option=options) + b"\n")
            sync_folder(draft)
            if final.exists():
                raise ReviewError(
                    f"There is a round {one.name} already: somebody else collected at the same moment. Collect again."
                )
            draft.rename(final)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        sync_folder(folder)
    return final


def read_rounds(her2: Path) -> tuple[list[Round], list[str]]:
    """Return the rounds in the order of their numbers, and a sentence for each that is damaged."""
    return _read_all(rounds_folder(her2))


def read_copies(her2: Path) -> tuple[list[Round], list[str]]:
    """Return the rounds of other copies of the project, as `read_rounds` does.

    They are kept apart: what somebody changed in another copy was never in this one, so it cannot be undone here.
    """
    return _read_all(_copies_folder(her2))


def add_copies(her2: Path, other: Path) -> tuple[list[Round], list[str]]:
    """Take over the rounds of another copy of the project.

    Parameters
    ----------
    her2
        The exchange folder.
    other
        That of the other copy.

    Returns
    -------
    added : list[Round]
        Those that were not here yet.
    problems : list[str]
        A sentence for each that is damaged.

    Raises
    ------
    OutputError
        The exchange folder cannot be written.
    """
    own, _ = read_rounds(her2)
    known = {one.digest for one in (*own, *read_copies(her2)[0])}
    found, problems = read_rounds(other)
    more, worse = read_copies(other)
    added = [one for one in (*found, *more) if one.digest not in known]
    for one in added:
        place = rounds_folder(other) if one in found else _copies_folder(other)
        _copy_round(place / one.name, _copies_folder(her2), f"{one.name}-{one.digest[:8]}")
    return added, [*problems, *worse]


def _copy_round(source: Path, folder: Path, name: str) -> None:
    draft = folder / f"{name}.tmp"
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(source, draft)
        draft.rename(folder / name)
        sync_folder(folder)


def _copies_folder(her2: Path) -> Path:
    return her2 / "review" / "copies"


def _read_all(folder: Path) -> tuple[list[Round], list[str]]:
    rounds, problems = [], []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.is_dir() and _NAME.fullmatch(path.name):
            try:
                rounds.append(read_round(path))
            except ReviewError as error:
                problems.append(str(error))
    rounds.sort(key=lambda one: (one.number, one.time, one.name))
    return rounds, problems


def read_round(path: Path) -> Round:
    """Return the round in a folder.

    Raises
    ------
    ReviewError
        A file is missing or was changed since, or the round is of another format; the message names the file.
    """
    rest = "The other rounds are used; restore the folder from a copy, or take it away."
    try:
        data = (path / _RECORD).read_bytes()
        record = orjson.loads(data)
        if not isinstance(record, dict) or record.get("format") != ROUND_FORMAT:
            raise ReviewError(f"Round '{path.name}' is of another format than {ROUND_FORMAT}. {rest}")
        files = {name: (path / name).read_bytes() for name in record["files"]}
        changed = [
            name for name, sha in record["files"].items() if hashlib.sha256(files[name]).hexdigest() != sha
        ]
        if changed:
            raise ReviewError(f"Round '{path.name}': {', '.join(changed)} was changed afterwards. {rest}")
        author = str(record["author"])
        number = int(record["number"])
        return Round(
            # A copy has the digest in its folder's name; in `changes.csv` the round has its own.
            round_name(number, author),
            number,
            author,
            str(record["time"]),
            tuple(_changes(files[_CHANGES], files)),
            tuple(map(str, record["notes"])),
            hashlib.sha256(data).hexdigest(),
        )
    except OSError as error:
        raise ReviewError(f"Round '{path.name}': '{error.filename}' cannot be read. {rest}") from error
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, ReviewError):
            raise
        raise ReviewError(f"Round '{path.name}' is damaged ({error}). {rest}") from error


def _csv(changes: Sequence[Change]) -> bytes:
    rows = [[_text(getattr(one, name)) for name in _COLUMNS] for one in changes]
    return csv_bytes([_COLUMNS, *rows])


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    return str(value)


def _changes(data: bytes, files: Mapping[str, bytes]) -> list[Change]:
    outlines = {
        (image, *map(str, feature["properties"]["change_key"])): feature["geometry"]
        for name, content in files.items()
        if name.endswith(".geojson")
        for image in [name.removesuffix(".geojson")]
        for feature in orjson.loads(content)["features"]
    }
    changes = []
    for row in csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")):
        values: dict[str, Any] = {name: row[name] for name in _COLUMNS}
        values["is_undone"] = values["is_undone"] == "yes"
        if values["change"] not in ASPECTS:
            raise ValueError(f"unknown change {values['change']!r}")
        one = Change(**values)
        changes.append(Change(**values, geometry=outlines.get((one.image, *one.object[1:]))))
    return changes


def _geojsons(changes: Sequence[Change]) -> dict[str, bytes]:
    """Return a file of outlines for each image, a feature per line."""
    features: dict[str, list[bytes]] = defaultdict(list)
    for one in changes:
        if one.geometry is None:
            continue
        words = f"{one.change}: {one.before or '–'} → {one.after or '–'}" + (
            " (undone)" if one.is_undone else ""
        )
        properties: dict[str, Any] = {
            "objectType": "annotation",
            "name": f"{words}, {one.author}",
            "isLocked": True,
            "change_key": one.object[1:],
        }
        if one.after and one.kind == "cell":
            properties["classification"] = {"name": one.after, "color": None}
        feature = {"type": "Feature", "geometry": one.geometry, "properties": properties}
        features[one.image].append(orjson.dumps(feature, option=orjson.OPT_SORT_KEYS))
    return {
        f"{image}.geojson": b'{"features":[\n' + b",\n".join(lines) + b'\n],"type":"FeatureCollection"}\n'
        for image, lines in features.items()
    }
