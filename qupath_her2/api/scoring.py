"""Scoring from Python: images of a project, their stored cells by another guideline, or tumour regions alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qupath_her2.api.project import Project, placed_options
from qupath_her2.batch.score_folder import failures, score_folder
from qupath_her2.errors import ServiceError
from qupath_her2.project.exchange.images import PROPOSALS
from qupath_her2.report.build import write_report
from qupath_her2.runs.cell_sources import cell_source
from qupath_her2.runs.methods.cells import CellsMethod
from qupath_her2.runs.methods.proposals import ProposalsMethod
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import exchange_folder, find_settings
from qupath_her2.runs.rescore import rescore_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qupath_her2.batch.job import JobEvent
    from qupath_her2.config import Settings
    from qupath_her2.records import ImageResult
    from qupath_her2.server.discovery import RunningService

__all__ = ["propose", "run", "score"]


def run(
    project: Project | str | Path,
    *,
    cells: str | None = None,
    guideline: str | None = None,
    settings: Settings | None = None,
    workers: int = 1,
    listen: Callable[[JobEvent], None] | None = None,
    service: bool | str | RunningService = False,
    **options: Any,
) -> list[ImageResult]:
    """Score the images of a project and write its tables and report, as ``qupath-her2 run`` does.

    A QuPath project is scored from its exchange folder: call `pull` before and `push` afterwards.

    Parameters
    ----------
    project
        From `open_project`, or a folder.
    cells
        Source of cells as for ``--cells``: ``detect``, ``from-regions``, ``unet``, ``her2net:CHECKPOINT``,
        ``stardist`` …; None takes that of the settings.
    guideline
        ``breast-2018``, ``gastric-biopsy`` …; None takes what was chosen for the image before, then what
        the settings or the case say.
    settings
        Settings of all rooms; None takes ``her2.toml`` of the folder, or the defaults.
    workers
        Number of processes.
    listen
        Called with each event.
    service
        Let a running service do it, see ``qupath-her2 serve``: True takes that of this user, a text is the address of
        another, whose token is in the variable ``QUPATH_HER2_TOKEN``. The images are sent to it, its settings hold, and
        `workers` and `listen` are its own business.
    **options
        Any other field of `RunOptions`, e.g. ``pixel_size_um=0.25, whole_tissue=True``, ``find_tumour=True``, or
        ``method=IndicatorsMethod()``.

    Returns
    -------
    list[ImageResult]
        One per image, in the order of their names; failed ones are among them.

    Raises
    ------
    Her2Error
        The run cannot start: no image, ambiguous region files, a folder that cannot be written.

    Examples
    --------
    >>> results = run("example_projects/01_score_cells", images=("case04*",), out=tmp / "her2")
    >>> results[0].score.score, results[0].score.n_cells > 400
    ('3+', True)
    """
    folder, options = placed_options(project, options)
    if service is not False:
        return _by_service(folder, service, settings, cells=cells, guideline=guideline, **options)
    settings = settings or find_settings(folder)
    options["guideline"] = guideline
    # Checked here: an unknown source or a missing package stops the call before any image is opened.
    options.setdefault("method", CellsMethod(cell_source(cells or settings.cell_source)))
    return score_folder(folder, settings, workers=workers, listen=listen, **options)


def _by_service(
    folder: Path, service: bool | str | RunningService, settings: Settings | None, **options: Any
) -> list[ImageResult]:
    from qupath_her2.server.score_remotely import score_by_service

    if settings is not None:
        raise ServiceError("A service has settings of its own. Leave settings= or service= out.")
    results = score_by_service(folder, service, **options)
    write_report(exchange_folder(folder, options["out"]), failures(results))
    return results


def score(
    project: Project | str | Path,
    *,
    guideline: str | None = None,
    settings: Settings | None = None,
    images: Sequence[str] = (),
    out: str | Path | None = None,
) -> list[ImageResult]:
    """Score stored cells again by another guideline or other limits, without reading pixels.

    Parameters
    ----------
    project
        From `open_project`, or a folder; its cells were measured by `run`.
    guideline
        ``breast-2018``, ``breast-2013``, ``csco-2021``, ``gastric-resection`` or ``gastric-biopsy``; None takes what
        was chosen for the image before, then what the settings or the case say.
    settings
        Settings of all rooms; None takes ``her2.toml`` of the folder, or the defaults.
    images
        Names or patterns; empty takes all.
    out
        The exchange folder; None takes that of the project.

    Returns
    -------
    list[ImageResult]
        One per image, in the order of their names.

    Raises
    ------
    ExchangeError
        No image has measured cells.
    """
    folder, options = placed_options(project, {"images": tuple(images), "out": out, "guideline": guideline})
    settings = settings or find_settings(folder)
    plan, results = rescore_folder(folder, RunOptions(**options), settings)
    write_report(plan.out, failures(results))
    return results


def propose(
    project: Project | str | Path,
    *,
    cells: str | None = None,
    settings: Settings | None = None,
    workers: int = 1,
    listen: Callable[[JobEvent], None] | None = None,
    service: bool | str | RunningService = False,
    **options: Any,
) -> list[ImageResult]:
    """Propose tumour regions for a person to accept, edit or delete, as ``qupath-her2 propose`` does.

    Nothing is scored. The regions, of class ``Tumor?``, are in ``her2/proposals``; `run` scores them only once their
    class is ``Tumor``.

    Parameters
    ----------
    project
        From `open_project`, or a folder.
    cells
        Source of cells as for `run`; None takes that of the settings.
    settings
        Settings of all rooms; None takes ``her2.toml`` of the folder, or the defaults.
    workers
        Number of processes.
    listen
        Called with each event.
    service
        Let a running service do it, as for `run`.
    **options
        Any other field of `RunOptions`, e.g. ``images=("case0*",)`` or ``pixel_size_um=0.25``.

    Returns
    -------
    list[ImageResult]
        One per image, in the order of their names: ``proposed``, ``not assessable``, or failed.

    Raises
    ------
    Her2Error
        The run cannot start: no image, ambiguous region files, a folder that cannot be written.
    """
    folder, options = placed_options(project, options)
    options["out"] = exchange_folder(folder, options["out"]) / PROPOSALS
    if service is not False:
        return _by_service(folder, service, settings, cells=cells, verb="propose", **options)
    settings = settings or find_settings(folder)
    method = ProposalsMethod(CellsMethod(cell_source(cells or settings.cell_source)))
    return score_folder(folder, settings, workers=workers, listen=listen, method=method, **options)
