"""Files of a job, as far as its results and its picture are read from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FindJob", "JobFiles"]


@dataclass(frozen=True, slots=True)
class JobFiles:
    """Where the files of a job lie.

    Attributes
    ----------
    name
        File name of the slide that people know.
    slide
        The image file.
    run_dir
        Folder of the finished run, ``results/<image>/<run>`` of the job's exchange folder; None while there is none.
    """

    name: str
    slide: Path
    run_dir: Path | None = None


#: Finds a job by its id; raises `problems.Problem` with status 404 for an unknown one.
FindJob = Callable[[str], JobFiles]
