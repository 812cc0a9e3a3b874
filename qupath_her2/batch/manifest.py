"""Manifests: lists of slides for a batch, written by the plan and accepted from users.

A user's list is CSV with a column ``image`` (path, absolute or from the list's folder) and, where wanted, ``regions``,
``pixel_size_um``, ``scanner``, ``date`` and the columns of ``cases.csv``. The plan's own ``manifest.csv`` has these and
what a look at each slide found, so that it can be read back, or given as a list again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qupath_her2.errors import SettingsError
from qupath_her2.project.cases import read_cases
from qupath_her2.project.exchange.image_ids import folder_image_id
from qupath_her2.project.image_files import image_stems, nfc
from qupath_her2.project.spreadsheet import csv_bytes, read_rows
from qupath_her2.records import CaseInfo, SlideRef
from qupath_her2.runs.probe import Probe

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["MANIFEST_COLUMNS", "ManifestRow", "is_manifest", "manifest_csv", "read_manifest", "read_refs"]

MANIFEST_COLUMNS: tuple[str, ...] = (
    "image",
    "id",
    "name",
    "regions",
    "pixel_size_um",
    "scanner",
    "date",
    "width",
    "height",
    "area_mm2",
    "expected_s",
    "stain_kind",
    "stain_group",
    "fingerprint",
    "regions_hash",
    "has_tumour",
    "bytes",
    "mtime_ns",
    "problem",
    "failure",
    "key",
)


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One slide of a plan.

    Attributes
    ----------
    ref
        The image and its region file.
    probe
        What a look at it found.
    regions_hash
        Of its regions, corrections and existing cells.
    n_bytes, mtime_ns
        Size and date of the file when it was looked at; -1 where there is none.
    expected_s
        Expected time of one worker, s.
    stain_group
        Origin of its stain vectors, in words.
    key
        Hash of all that its result depends on; "" before the plan is made.
    """

    ref: SlideRef
    probe: Probe
    regions_hash: str = ""
    n_bytes: int = -1
    mtime_ns: int = -1
    expected_s: float = 0.0
    stain_group: str = ""
    key: str = ""

    @property
    def is_unreadable(self) -> bool:
        """Whether the slide cannot be read, and trying is no use."""
        return self.probe.failure == "unreadable"


def is_manifest(path: Path) -> bool:
    """Return whether a path is a list of slides, not a folder or a project."""
    return path.suffix.lower() in (".csv", ".tsv", ".txt") and path.is_file()


def manifest_csv(rows: Iterable[ManifestRow]) -> bytes:
    """Return ``manifest.csv``: a line per slide, columns `MANIFEST_COLUMNS`."""
    return csv_bytes([MANIFEST_COLUMNS, *(_cells(row) for row in rows)])


def _cells(row: ManifestRow) -> Sequence[str]:
    ref, probe = row.ref, row.probe
    return (
        str(ref.path),
        ref.id,
        ref.name,
        str(ref.regions_path or ""),
        "" if probe.pixel_size_um is None else repr(probe.pixel_size_um),
        probe.scanner,
        probe.scanned,
        str(probe.width),
        str(probe.height),
        f"{probe.area_mm2:.4f}",
        f"{row.expected_s:.1f}",
        probe.kind,
        row.stain_group,
        probe.fingerprint,
        row.regions_hash,
        "yes" if probe.has_tumour else "no",
        str(row.n_bytes),
        str(row.mtime_ns),
        probe.problem,
        probe.failure,
        row.key,
    )


def read_manifest(path: Path) -> dict[str, ManifestRow]:
    """Return the slides of a plan's ``manifest.csv`` by id; empty where there is none, or one of another version."""
    if not path.is_file():
        return {}
    header, *lines = [cells for _, cells in read_rows(path, SettingsError)] or [[]]
    if tuple(header) != MANIFEST_COLUMNS:
        return {}
    rows = (_row(dict(zip(MANIFEST_COLUMNS, cells, strict=True))) for cells in lines)
    return {row.ref.id: row for row in rows}


def _row(value: dict[str, str]) -> ManifestRow:
    regions = value["regions"]
    return ManifestRow(
        ref=SlideRef(value["id"], value["name"], Path(value["image"]), Path(regions) if regions else None),
        probe=Probe(
            value["fingerprint"],
            int(value["width"]),
            int(value["height"]),
            float(value["pixel_size_um"]) if value["pixel_size_um"] else None,
            value["stain_kind"],
            value["has_tumour"] == "yes",
            float(value["area_mm2"]),
            value["scanner"],
            value["date"],
            value["problem"],
            value["failure"],
        ),
        regions_hash=value["regions_hash"],
        n_bytes=int(value["bytes"]),
        mtime_ns=int(value["mtime_ns"]),
        expected_s=float(value["expected_s"]),
        stain_group=value["stain_group"],
        key=value["key"],
    )


def read_refs(path: Path) -> tuple[list[SlideRef], dict[str, tuple[str, str]]]:
    """Return the slides of a user's list, and what it says of their scanners and dates.

    Parameters
    ----------
    path
        The list.

    Returns
    -------
    tuple[list[SlideRef], dict[str, tuple[str, str]]]
        Slides sorted by name; {image: (scanner, date)}, each "" where the list says nothing.

    Raises
    ------
    SettingsError
        The list is empty, has no column ``image``, names an image twice, or holds a pixel size that is none.
    CasesFileError
        Its case data are invalid.
    """
    (_, header), *lines = read_rows(path, SettingsError) or [(0, [])]
    columns = {name.strip().lower(): number for number, name in enumerate(header)}
    if "image" not in columns or not lines:
        raise SettingsError(
            f"'{path}' lists no slides: its first line must name the columns, among them image, and each further line "
            "one slide."
        )
    cases = read_cases(path)
    refs: dict[str, SlideRef] = {}
    said: dict[str, tuple[str, str]] = {}
    for number, cells in lines:
        value = {name: cells[at].strip() if at < len(cells) else "" for name, at in columns.items()}
        if not value["image"]:
            continue
        ref = _listed(value, path, number, cases.get(nfc(value["image"])))
        if ref.id in refs:
            raise SettingsError(
                f"'{path}' line {number} names '{value['image']}' a second time. Delete the line."
            )
        refs[ref.id] = ref
        said[ref.id] = (value.get("scanner", ""), value.get("date", ""))
    return sorted(refs.values(), key=lambda ref: ref.name), said


def _listed(value: dict[str, str], path: Path, number: int, case: CaseInfo | None) -> SlideRef:
    here = path.absolute().parent
    image = here / value["image"]
    # Named from the list's folder where it lies in it, so that list and slides can be moved together.
    name = nfc((image.relative_to(here) if image.is_relative_to(here) else image).as_posix())
    regions = here / value["regions"] if value.get("regions") else _beside(image)
    size = value.get("pixel_size_um", "").replace(",", ".")
    try:
        size_um = float(size) if size else None
    except ValueError:
        size_um = math.nan
    if size_um is not None and not 0.01 <= size_um <= 100:
        raise SettingsError(
            f"'{path}' line {number}: pixel_size_um {size!r} is not between 0.01 and 100 µm. Correct it, or leave it "
            "empty for that of the file."
        )
    return SlideRef(folder_image_id(name), name, image, regions, size_um, case=case or CaseInfo())


def _beside(image: Path) -> Path | None:
    found = (image.with_name(f"{stem}.geojson") for stem in image_stems(image.name))
    return next((path for path in found if path.is_file()), None)
