"""``summary.csv`` and ``report.html`` from the results that lie in an exchange folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qupath_her2.errors import ExchangeError, Her2Error, ImageReadError, OutputError
from qupath_her2.project.class_names import patch_colour
from qupath_her2.project.exchange.images import exchange_root
from qupath_her2.project.exchange.runs import current_run, read_record, read_run
from qupath_her2.project.exchange.score_files import read_score
from qupath_her2.project.exchange.writing import replace_file
from qupath_her2.provenance import versions
from qupath_her2.records import CaseInfo
from qupath_her2.report.heat import OVERLAYS, Overlay, lay_over, read_overlays
from qupath_her2.report.html import ReportPictures, count_states, write_html
from qupath_her2.report.overlay import draw_regions
from qupath_her2.report.pictures import encode_jpeg, read_overview, shrink_jpeg, typical_strips
from qupath_her2.report.stored import stored_regions
from qupath_her2.report.tables import SummaryRow, predictions_csv, summary_csv
from qupath_her2.slides.readers.view import open_view

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qupath_her2.project.exchange.run_record import RunRecord
    from qupath_her2.slides.readers.slide import Slide

__all__ = ["WrittenReport", "read_rows", "write_report"]

_THUMBNAIL_PX = 620
_OVERLAY_PX = 1100
_WINDOW_UM = 24.0
#: Above this a page with all pictures takes hundreds of MB, which no browser enjoys.
_MANY_IMAGES = 200
_SMALL_OVERLAY_PX = 480


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """Where the report lies, its rows, and their counts in words."""

    html: Path
    csv: Path
    rows: tuple[SummaryRow, ...]
    counts: str


def write_report(out: Path, failed: Mapping[str, tuple[str, str]] | None = None) -> WrittenReport:
    """Write ``summary.csv`` and ``report.html`` over all images that have a result in `out`.

    Parameters
    ----------
    out
        The exchange folder.
    failed
        {image id: (name, message)} of images that could not be scored just now; they get a row that
        says so, in place of an earlier result that no longer counts.

    Raises
    ------
    ExchangeError
        There is no result.
    OutputError
        A file cannot be written; its former content is still there.
    """
    rows, places = read_rows(out, failed or {})
    if not rows:
        raise ExchangeError(f"There is no result in '{out}'. Score first: qupath-her2 run FOLDER.")
    replace_file(out / "summary.csv", summary_csv(rows))
    if any(row.score is not None and row.score.prediction is not None for row in rows):
        replace_file(out / "predictions.csv", predictions_csv(rows))
    show = _pictures if len(rows) <= _MANY_IMAGES else _overlay_only
    pictures = (show(out, row, place) for row, place in zip(rows, places, strict=True))
    write_html(out / "report.html", rows, pictures, version=versions()["qupath-her2"])
    return WrittenReport(out / "report.html", out / "summary.csv", tuple(rows), count_states(rows))


def read_rows(out: Path, failed: Mapping[str, tuple[str, str]]) -> tuple[list[SummaryRow], list[Path | None]]:
    """Return a row for each image, by name, and the folder of its run (None where it failed)."""
    rows: list[tuple[SummaryRow, Path | None]] = []
    results = out / "results"
    folders = sorted(path.name for path in results.iterdir() if path.is_dir()) if results.is_dir() else []
    for image in folders:
        if image in failed:
            continue
        try:
            run_dir = current_run(out, image)
            if run_dir is not None:
                rows.append((_row(image, run_dir), run_dir))
        except ExchangeError as error:
            rows.append((SummaryRow(image, image, "failed", error=str(error)), None))
    rows += [
        (SummaryRow(image, name, "failed", error=message), None) for image, (name, message) in failed.items()
    ]
    rows.sort(key=lambda entry: entry[0].name)
    return [row for row, _ in rows], [place for _, place in rows]


def _row(image: str, run_dir: Path) -> SummaryRow:
    record = read_record(run_dir)
    try:
        score = read_score((run_dir / "score.json").read_bytes())
    except OSError as error:
        raise ExchangeError(
            f"'{run_dir}' lacks its score ({error.strerror}). Score the image again."
        ) from error
    return SummaryRow(image, str(record.image["name"]), score.status, _case(record), score, record.run)


def _case(record: RunRecord) -> CaseInfo:
    known = record.image.get("case")
    fields = known if isinstance(known, dict) else {}
    return CaseInfo(**{name: fields[name] for name in CaseInfo.__dataclass_fields__ if name in fields})


def _pictures(out: Path, row: SummaryRow, run_dir: Path | None) -> ReportPictures:
    """Return the pictures of one image; what cannot be shown is said in a note, the report is still made."""
    if run_dir is None:
        return ReportPictures()
    try:
        record, table, _ = read_run(run_dir)
        drawn = "overlay.jpg" in record.files
        overlay = shrink_jpeg((run_dir / "overlay.jpg").read_bytes(), _OVERLAY_PX) if drawn else None
        maps = _maps(run_dir) if OVERLAYS in record.files else {}
        looked = (run_dir / "cam.jpg").read_bytes() if "cam.jpg" in record.files else None
    except (ExchangeError, OutputError, OSError) as error:
        return ReportPictures(notes=(f"No pictures: {error}",))
    pictures = ReportPictures(
        overlay=overlay,
        looked=looked,
        key={name: patch_colour(name) for name in record.patches.get("classes", ())},
        region_names=_region_names(record),
        window_um=_WINDOW_UM,
    )
    try:
        with _open(out, record) as slide:
            picture, frame = read_overview(slide, _THUMBNAIL_PX)
            laid = {
                overlay.name: encode_jpeg(lay_over(picture, overlay, png, frame.scale))
                for overlay, png in maps.items()
            }
            draw_regions(picture, stored_regions(run_dir, record), frame)
            size_um = record.image.get("pixel_size_um")
            strips = (
                typical_strips(slide, table, float(size_um), window_um=_WINDOW_UM)
                if table is not None and size_um
                else {}
            )
    except ImageReadError as error:
        return replace(pictures, notes=(f"No thumbnail and no typical cells: {error}",))
    except Her2Error as error:
        return replace(pictures, notes=(f"No thumbnail: {error}",))
    return replace(pictures, thumbnail=encode_jpeg(picture), overlays=laid, typical=strips)


def _maps(run_dir: Path) -> dict[Overlay, bytes]:
    """Return the pictures that lie over the image of a run."""
    overlays = read_overlays((run_dir / OVERLAYS).read_bytes())
    return {overlay: (run_dir / overlay.file).read_bytes() for overlay in overlays}


def _open(out: Path, record: RunRecord) -> Slide:
    """Open the image of a run in the frame its cells are in."""
    image = record.image
    return open_view(
        _image_path(out, record),
        image.get("chain") or (),
        width=image.get("width"),
        height=image.get("height"),
    )


def _overlay_only(out: Path, row: SummaryRow, run_dir: Path | None) -> ReportPictures:
    """Return a small overlay alone, for a report of very many images."""
    path = None if run_dir is None else run_dir / "overlay.jpg"
    if path is None or not path.is_file():
        return ReportPictures()
    try:
        return ReportPictures(overlay=shrink_jpeg(path.read_bytes(), _SMALL_OVERLAY_PX))
    except (OutputError, OSError) as error:
        return ReportPictures(notes=(f"No picture: {error}",))


def _image_path(out: Path, record: RunRecord) -> Path:
    path = Path(str(record.image.get("path", record.image["name"])))
    return path if path.is_absolute() else exchange_root(out.resolve()).parent / path


def _region_names(record: RunRecord) -> dict[str, str]:
    names: dict[str, str] = {}
    for number, region in enumerate(record.regions, start=1):
        entry: dict[str, Any] = region
        label = entry.get("name") or entry.get("class") or "Region"
        names[str(entry.get("uuid"))] = str(label) if entry.get("name") else f"{label} {number}"
    return names
