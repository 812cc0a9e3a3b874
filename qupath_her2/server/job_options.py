"""Options of a job as a request gives them, checked before the job is accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qupath_her2.errors import Her2Error
from qupath_her2.records import CaseInfo
from qupath_her2.runs.cell_sources import split_source
from qupath_her2.scoring.guidelines import guideline_for
from qupath_her2.server.problems import Problem, said_faults

if TYPE_CHECKING:
    from pydantic.types import JsonValue

__all__ = ["JobOptions", "check_options", "read_options"]


class JobOptions(BaseModel):
    """What is done with a slide, and how; names as in `RunOptions` and on the command line.

    Attributes
    ----------
    verb
        ``score``, ``predict`` by a network, or ``propose`` tumour regions.
    pixel_size_um
        µm per level-0 pixel; wins over that of the file.
    series, plane
        Picture and plane of files that hold several.
    whole_tissue, find_tumour
        What is scored where there is no tumour region.
    guideline, site, specimen
        Which rules apply.
    profile
        Name of a profile of cut-points, ``auto`` or ``none``.
    cell_finder
        ``detect``, ``from-regions``, ``unet``, or the name of a plug-in.
    checkpoint
        Id of a network, as ``GET /api/v1/networks`` lists them; needed by ``predict``.
    cam
        With ``predict``: also map what led to the class (Grad-CAM).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    verb: Literal["score", "predict", "propose"] = "score"
    pixel_size_um: Annotated[float, Field(ge=0.01, le=100, allow_inf_nan=False)] | None = None
    series: Annotated[int, Field(ge=0, le=999_999)] | None = None
    plane: Annotated[int, Field(ge=0, le=999_999)] | None = None
    whole_tissue: bool = False
    find_tumour: bool = False
    guideline: Annotated[str, Field(max_length=60)] | None = None
    site: Literal["breast", "gastric"] | None = None
    specimen: Literal["biopsy", "resection"] | None = None
    # A name and no file: a request names no paths but the slide's.
    profile: Annotated[str, Field(max_length=60, pattern=r"^[\w][\w .+-]*$")] | None = None
    cell_finder: Annotated[str, Field(max_length=60, pattern=r"^[a-z][a-z0-9-]*$")] | None = None
    checkpoint: Annotated[str, Field(max_length=300)] | None = None
    cam: bool = False


def read_options(given: JsonValue) -> JobOptions:
    """Return the options of a request.

    Parameters
    ----------
    given
        The JSON object of the request.

    Returns
    -------
    JobOptions
        Checked.

    Raises
    ------
    Problem
        422 with a sentence for each fault.
    """
    try:
        options = JobOptions.model_validate(given)
    except ValidationError as error:
        raise Problem(
            422,
            f"Options that do not fit: {said_faults(error.errors())}.",
            f"There are {', '.join(JobOptions.model_fields)}.",
        ) from error
    check_options(options)
    return options


def check_options(options: JobOptions) -> None:
    """Raise Problem 422 where options name what does not exist, or contradict each other."""
    try:
        if options.guideline not in (None, "auto"):
            guideline_for(CaseInfo(), options.guideline)
        if options.cell_finder is not None:
            split_source(options.cell_finder)
    except Her2Error as error:
        raise Problem(422, str(error)) from error
    if options.verb == "predict" and options.checkpoint is None:
        raise Problem(422, "A prediction needs a network.", "Name one of GET /api/v1/networks as checkpoint.")
    if options.verb != "predict" and options.checkpoint is not None:
        raise Problem(
            422, "A network predicts, and scores nothing.", "Choose the verb predict, or no checkpoint."
        )
    if options.whole_tissue and options.find_tumour:
        raise Problem(
            422,
            "find_tumour scores the tumour that is found, whole_tissue everything.",
            "Leave one of them out.",
        )
