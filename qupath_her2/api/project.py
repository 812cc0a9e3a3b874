"""Projects from Python: opening a folder, and exchanging data with QuPath."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Neither import starts a JVM: that is a process of its own, started by the calls.
from qupath_her2.project.qupath.pull import pull as _pull
from qupath_her2.project.qupath.push import push as _push
from qupath_her2.runs.plan import exchange_folder, find_settings, select_images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qupath_her2.project.qupath.pull import Pulled
    from qupath_her2.project.qupath.push import Pushed
    from qupath_her2.records import CaseInfo, SlideRef

__all__ = ["Project", "ProjectImage", "open_project", "pull", "push"]


@dataclass(frozen=True, slots=True)
class ProjectImage:
    """One image of a project.

    Attributes
    ----------
    ref
        Paths of image and regions, and the case.
    folder
        The project's folder.
    her2
        The exchange folder.
    """

    ref: SlideRef
    folder: Path
    her2: Path

    @property
    def name(self) -> str:
        """The file name that people know."""
        return self.ref.name

    @property
    def case(self) -> CaseInfo:
        """Case id, site, specimen, stain and ISH result."""
        return self.ref.case


@dataclass(frozen=True, slots=True)
class Project:
    """A folder of images, or a QuPath project with its exchange folder.

    Attributes
    ----------
    folder
        The project's folder.
    her2
        The exchange folder, which holds regions, results and models.
    images
        In the order of their names.
    """

    folder: Path
    her2: Path
    images: tuple[ProjectImage, ...]

    def __len__(self) -> int:
        return len(self.images)


def open_project(folder: str | Path, *, out: str | Path | None = None, images: Sequence[str] = ()) -> Project:
    """Open a folder of images or a pulled QuPath project; Java is not needed.

    Parameters
    ----------
    folder
        Folder of images with their GeoJSON regions beside them, or a QuPath project whose exchange folder was filled
        by `pull` or by the scripts inside QuPath.
    out
        The exchange folder; None takes ``her2`` in `folder`.
    images
        Names or patterns such as ``case0*.svs``; empty takes all.

    Returns
    -------
    Project
        Its images are not opened yet.

    Raises
    ------
    Her2Error
        There is no image, or a pattern matches none.

    Examples
    --------
    >>> project = open_project("example_projects/01_score_cells")
    >>> [image.name for image in project.images]
    ['case01.ome.tif', 'case02.ome.tif', 'case03.ome.tif', 'case04.ome.tif']
    """
    # Strings are welcome in a notebook; the rooms below take paths only.
    place, target = Path(folder), None if out is None else Path(out)
    her2 = exchange_folder(place, target)
    # Which picture of a file is meant belongs to the image, before anything is done with it.
    refs = select_images(place, tuple(images), target, choice=find_settings(place).images)
    # The folder is kept with each image: `predict` looks for its her2.toml.
    return Project(place, her2, tuple(ProjectImage(ref, place, her2) for ref in refs))


def pull(project: str | Path, *, images: Sequence[str] = (), cells: bool = False) -> Pulled:
    """Export images and regions of a QuPath project to its exchange folder; starts QuPath without a window.

    Parameters
    ----------
    project
        ``project.qpproj``, or the folder that holds it.
    images
        Names or patterns; empty takes all.
    cells
        Also export the project's existing cells.

    Returns
    -------
    Pulled
        Numbers of images, regions and cells, and the refused images with their reasons.

    Raises
    ------
    QuPathNotFoundError
        No QuPath is installed, or ``PAQUO_QUPATH_DIR`` does not name one.
    """
    return _pull(Path(project), images=images, cells=cells)


def push(project: str | Path, *, images: Sequence[str] = (), dry_run: bool = False) -> Pushed:
    """Write the results of the exchange folder back into a QuPath project, each image completely or not at all.

    Parameters
    ----------
    project
        ``project.qpproj``, or the folder that holds it.
    images
        Names or patterns; empty takes all.
    dry_run
        Check everything and change nothing.

    Returns
    -------
    Pushed
        What was written, and what was refused with its reason.

    Raises
    ------
    QuPathNotFoundError
        No QuPath is installed, or ``PAQUO_QUPATH_DIR`` does not name one.
    ExchangeError
        There is no result to write.
    """
    return _push(Path(project), images=images, dry_run=dry_run)


def placed_options(project: Project | str | Path, options: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """Return the folder of a project, and the options of a run completed by its exchange folder and images."""
    out = options.get("out")
    if not isinstance(project, Project):
        return Path(project), {**options, "out": None if out is None else Path(out)}
    # A project opened with a choice of images stays that choice, unless other images are named.
    chosen = options.get("images") or tuple(image.name for image in project.images)
    return project.folder, {**options, "out": Path(out or project.her2), "images": tuple(chosen)}
