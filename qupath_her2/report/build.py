"""Report builder: the tables of `report.summary_table` and `report.region_table`, and ``report.html``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from qupath_her2.errors import ExchangeError, Her2Error, ImageReadError, OutputError
from qupath_her2.project.class_names import patch_colour
from qupath_her2.project.exchange.images import exchange_root
from qupath_her2.project.exchange.runs import current_run, read_record, read_run, stored_score
from qupath_her2.project.exchange.writing import replace_file
from qupath_her2.project.folder import OUTPUT_NAME, folder_notes
from qupath_her2.provenance import versions
from qupath_her2.records import CaseInfo
from qupath_her2.report.heat import OVERLAYS, Overlay, blend_overlay, read_overlays
from qupath_her2.report.html import ReportPictures, count_states, write_html
from qupath_her2.report.overlay import draw_regions
from qupath_her2.report.pictures import encode_jpeg, read_overview, shrink_jpeg, typical_strips
from qupath_her2.report.region_table import region_rows, regions_csv
from qupath_her2.report.stored import stored_regions
from qupath_her2.report.summary_table import SummaryRow, predictions_csv, recorded_staining, summary_csv
from qupath_her2.slides.readers.view import open_view

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qupath_her2.project.exchange.run_record import RunRecord
    from qupath_her2.slides.readers.slide import Slide

__all__ = ["WrittenReport", "read_rows", "write_report", "write_tables"]

_THUMBNAIL_PX = 620
_OVERLAY_PX = 1100
_WINDOW_UM = 24.0
#: With more images, a page with all pictures takes hundreds of MB and makes browsers unresponsive.
_MANY_IMAGES = 200
_SMALL_OVERLAY_PX = 480


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """Result of `write_report`.

    Attributes
    ----------
    html, csv, regions_csv
        Paths of ``report.html``, ``summary.csv`` and ``regions.csv``.
    rows
        One row per image, sorted by name.
    counts
        Summary for the user, for example ``4 images: 3 scored, 1 not assessable``.
    """

    html: Path
    csv: Path
    regions_csv: Path
    rows: tuple[SummaryRow, ...]
    counts: str


def write_report(out: Path, failed: Mapping[str, tuple[str, str]] | None = None) -> WrittenReport:
    """Write ``summary.csv``, ``regions.csv`` and ``report.html`` for all images with a result in `out`.

    Parameters
    ----------
    out
        The exchange folder.
    failed
        {image id: (name, message)} for images that failed in the current run. Their row shows the message instead of
        an earlier result, which is out of date.

    Returns
    -------
    WrittenReport
        Paths, rows and counts.

    Raises
    ------
    ExchangeError
        If there is no result.
    OutputError
        If a file cannot be written; its previous content is kept.
    """
    rows, places = write_tables(out, failed)
    show = _pictures if len(rows) <= _MANY_IMAGES else _overlay_only
    # A generator: the pictures of only one image are in memory at a time.
    pictures = (show(out, row, place) for row, place in zip(rows, places, strict=True))
    notes = _folder_notes(out)
    write_html(out / "report.html", rows, pictures, version=versions()["qupath-her2"], notes=notes)
    html, csv, regions = (out / name for name in ("report.html", "summary.csv", "regions.csv"))
    return WrittenReport(html, csv, regions, tuple(rows), count_states(rows))


def write_tables(
    out: Path, failed: Mapping[str, tuple[str, str]] | None = None
) -> tuple[list[SummaryRow], list[Path | None]]:
    """Write ``summary.csv``, ``regions.csv`` and, of predictions, ``predictions.csv``.

    Parameters
    ----------
    out, failed
        As for `write_report`.

    Returns
    -------
    tuple[list[SummaryRow], list[Path | None]]
        A row for each image, and the folder of its current run, as from `read_rows`.

    Raises
    ------
    ExchangeError
        If there is no result.
    OutputError
        If a file cannot be written; its previous content is kept.
    """
    rows, places = read_rows(out, failed or {})
    if not rows:
        raise ExchangeError(f"No results in '{out}'. Score the images first: qupath-her2 run FOLDER.")
    replace_file(out / "summary.csv", summary_csv(rows))
    replace_file(out / "regions.csv", regions_csv(rows))
    if any(row.score is not None and row.score.prediction is not None for row in rows):
        replace_file(out / "predictions.csv", predictions_csv(rows))
    return rows, places


def _folder_notes(out: Path) -> list[str]:
    """Return sentences on files of the image folder that are not read, where `out` lies in it."""
    her2 = exchange_root(out.absolute())
    # Results written elsewhere with --out do not tell which folder their images came from.
    return folder_notes(her2.parent, her2) if her2.name == OUTPUT_NAME else []


def read_rows(out: Path, failed: Mapping[str, tuple[str, str]]) -> tuple[list[SummaryRow], list[Path | None]]:
    """Return a row for each image, sorted by name, and the folder of its current run (None if it failed).

    Parameters
    ----------
    out
        The exchange folder.
    failed
        {image id: (name, message)} for images that failed in the current run.

    Returns
    -------
    tuple[list[SummaryRow], list[Path | None]]
        Rows and run folders, in the same order.
    """
    rows: list[tuple[SummaryRow, Path | None]] = []
    results = out / "results"
    folders = sorted(path.name for path in results.iterdir() if path.is_dir()) if results.is_dir() else []
    for image in folders:
        if image in failed:
            continue
        # One damaged result becomes a failed row; it must not cost the report of all others.
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
        score = stored_score(run_dir)
    except OSError as error:
        raise ExchangeError(
            f"The score of run '{run_dir}' cannot be read: {error.strerror}. Score the image again."
        ) from error
    return SummaryRow(
        image,
        str(record.image["name"]),
        score.status,
        _case(record),
        score,
        record.run,
        regions=region_rows(record, score),
        staining=recorded_staining(record.settings.get("used", {})),
    )


def _case(record: RunRecord) -> CaseInfo:
    # Only fields that this version knows: a newer one may have written more.
    known = record.image.get("case")
    fields = known if isinstance(known, dict) else {}
    return CaseInfo(**{name: fields[name] for name in CaseInfo.__dataclass_fields__ if name in fields})


def _pictures(out: Path, row: SummaryRow, run_dir: Path | None) -> ReportPictures:
    """Return the pictures of one image; a missing picture leaves a note instead of stopping the report."""
    if run_dir is None:
        return ReportPictures()
    try:
        record, table, _ = read_run(run_dir)
        drawn = "overlay.jpg" in record.files
        overlay = shrink_jpeg((run_dir / "overlay.jpg").read_bytes(), _OVERLAY_PX) if drawn else None
        maps = _maps(run_dir) if OVERLAYS in record.files else {}
        grad_cam = (run_dir / "cam.jpg").read_bytes() if "cam.jpg" in record.files else None
    except (ExchangeError, OutputError, OSError) as error:
        return ReportPictures(notes=(f"No pictures: {error}",))
    pictures = ReportPictures(
        overlay=overlay,
        grad_cam=grad_cam,
        key={name: patch_colour(name) for name in record.patches.get("classes", ())},
        window_um=_WINDOW_UM,
    )
    try:
        with _open(out, record) as slide:
            picture, frame = read_overview(slide, _THUMBNAIL_PX)
            # Before the regions are drawn: their outlines would hide the map beneath.
            blended = {
                overlay.name: encode_jpeg(blend_overlay(picture, overlay, png, frame.scale))
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
        # The image may have been moved since the run; its stored overlay is still shown.
        return replace(pictures, notes=(f"No thumbnail and no typical cells: {error}",))
    except Her2Error as error:
        return replace(pictures, notes=(f"No thumbnail: {error}",))
    return replace(pictures, thumbnail=encode_jpeg(picture), overlays=blended, typical=strips)


def _maps(run_dir: Path) -> dict[Overlay, bytes]:
    """Return the heat maps of a run as PNG, by their position on the image."""
    overlays = read_overlays((run_dir / OVERLAYS).read_bytes())
    return {overlay: (run_dir / overlay.file).read_bytes() for overlay in overlays}


def _open(out: Path, record: RunRecord) -> Slide:
    """Open the image of a run in the coordinates of its cells."""
    image = record.image
    return open_view(
        _image_path(out, record),
        image.get("chain") or (),
        width=image.get("width"),
        height=image.get("height"),
    )


def _overlay_only(out: Path, row: SummaryRow, run_dir: Path | None) -> ReportPictures:
    """Return a small overlay and no other picture, for reports of very many images."""
    path = None if run_dir is None else run_dir / "overlay.jpg"
    if path is None or not path.is_file():
        return ReportPictures()
    try:
        return ReportPictures(overlay=shrink_jpeg(path.read_bytes(), _SMALL_OVERLAY_PX))
    except (OutputError, OSError) as error:
        return ReportPictures(notes=(f"No picture: {error}",))


def _image_path(out: Path, record: RunRecord) -> Path:
    # Relative paths are stored from the project's folder, so that the project can be moved as a whole.
    path = Path(str(record.image.get("path", record.image["name"])))
    return path if path.is_absolute() else exchange_root(out.resolve()).parent / path
