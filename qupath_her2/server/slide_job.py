"""The job of one slide in a worker process: planned and scored as ``qupath-her2 run`` does it, with its report."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qupath_her2.batch.job import perform
from qupath_her2.errors import Her2Error
from qupath_her2.models.bag_checkpoint import is_bag_card
from qupath_her2.models.card import read_card
from qupath_her2.patches.datasets.sources import SourceImage
from qupath_her2.project.exchange.image_ids import folder_image_id
from qupath_her2.project.exchange.images import PREDICTIONS, PROPOSALS
from qupath_her2.recipes import RECIPES
from qupath_her2.records import SlideRef
from qupath_her2.report.build import write_report
from qupath_her2.runs.cell_sources import cell_source
from qupath_her2.runs.failures import failure_class
from qupath_her2.runs.methods.bags import BagsMethod
from qupath_her2.runs.methods.cells import CellsMethod
from qupath_her2.runs.methods.patches import PatchesMethod
from qupath_her2.runs.methods.proposals import ProposalsMethod
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import find_settings, plan_jobs
from qupath_her2.runs.score_image import failed_result, score_image
from qupath_her2.server.request_options import REQUEST_OPTIONS
from qupath_her2.server.slide_look import in_known_names
from qupath_her2.training.bags.embed_images import embed_images, embedding_settings, feature_folder
from qupath_her2.training.count_heads import head_path

if TYPE_CHECKING:
    from qupath_her2.config import Settings
    from qupath_her2.records import ImageResult
    from qupath_her2.runs.options import ScoreJob
    from qupath_her2.runs.types import Method, Progress

__all__ = ["SlideJob", "plan_slide"]


@dataclass(frozen=True, slots=True)
class SlideJob:
    """One slide and what is done with it; picklable.

    Attributes
    ----------
    name
        The file name that people know.
    slide, regions
        The files; no regions are None.
    out
        The exchange folder of its results.
    options
        Of the request, as plain values.
    checkpoint
        Of the network, path without ending; None without one.
    config
        Settings file; None takes the ``her2.toml`` beside the slide, or the defaults.
    """

    name: str
    slide: Path
    regions: Path | None
    out: Path
    options: dict[str, Any] = field(default_factory=dict, hash=False)
    checkpoint: Path | None = None
    config: Path | None = None

    @property
    def image(self) -> str:
        """The slide's folder name in the exchange folder."""
        return folder_image_id(self.name)


@perform.register(SlideJob)
def _score_slide(job: SlideJob, *, progress: Progress | None = None, threads: int = 1) -> ImageResult:
    start = time.monotonic()
    try:
        planned = plan_slide(job)
        left_out = _embed(planned, progress)
        result = score_image(planned, progress=progress, threads=threads)
        if result.state == "failed" and left_out:
            result = replace(result, error=left_out[0])
        if result.state != "failed":
            write_report(planned.out)
    except Her2Error as error:
        result = failed_result(job, str(error), time.monotonic() - start, failure_class(error))
    if result.error is None:
        return result
    return replace(result, error=in_known_names(result.error, job.slide, job.name))


def plan_slide(job: SlideJob, *, ref: SlideRef | None = None) -> ScoreJob:
    """Return the job of a slide, as ``qupath-her2 run`` or ``predict`` plans it.

    Parameters
    ----------
    job
        The slide and its options.
    ref
        The image as a pulled project describes it; None for a plain file.

    Raises
    ------
    Her2Error
        An option or a network does not fit, or the slide cannot be read.
    """
    settings = _settings(job)
    method = _method(job, settings)
    part = PREDICTIONS if job.checkpoint is not None else PROPOSALS if _proposes(job) else None
    options = RunOptions(
        **{name: job.options[name] for name in REQUEST_OPTIONS if job.options.get(name) is not None},
        method=method,
        # In folders of their own: neither a prediction nor a proposal must ever become the score of an image.
        out=job.out if part is None else job.out / part,
    )
    # A bag is all tissue of a slide, whatever is drawn.
    if isinstance(method, BagsMethod) or (job.checkpoint is not None and settings.patches.whole_image):
        options = replace(options, whole_tissue=True)
    ref = ref or SlideRef(job.image, job.name, job.slide, job.regions)
    return plan_jobs(job.slide.parent, options, settings, refs=[ref]).jobs[0]


def _settings(job: SlideJob) -> Settings:
    if job.checkpoint is None:
        return find_settings(job.slide.parent, job.config)
    # The card names the recipe, so that patches are cut and read as in training.
    overrides = {"cam": {"is_on": True}} if job.options.get("cam") else None
    card = read_card(job.checkpoint)
    if is_bag_card(card):
        return embedding_settings(find_settings(job.slide.parent, job.config), card)
    return find_settings(job.slide.parent, job.config, overrides, recipe=RECIPES.get(card.recipe))


def _method(job: SlideJob, settings: Settings) -> Method:
    if job.checkpoint is not None and is_bag_card(read_card(job.checkpoint)):
        return BagsMethod(job.checkpoint, feature_folder(job.out, settings))
    if job.checkpoint is not None:
        return PatchesMethod(job.checkpoint, _head(job.checkpoint))
    cells = CellsMethod(cell_source(job.options.get("cell_finder") or settings.cell_source))
    return ProposalsMethod(cells) if _proposes(job) else cells


def _proposes(job: SlideJob) -> bool:
    return job.options.get("verb") == "propose"


def _embed(planned: ScoreJob, progress: Progress | None) -> tuple[str, ...]:
    """Embed the slide for a network that reads features; return a sentence where that is impossible."""
    method = planned.method
    if not isinstance(method, BagsMethod):
        return ()

    def tell(name: str, number: int, total: int, done: int, patches: int) -> None:
        if progress is not None:
            progress(done, patches, 0)

    ref, options = planned.ref, planned.options
    size_um = options.pixel_size_um or ref.pixel_size_um
    image = SourceImage(ref.id, ref.name, ref.path, pixel_size_um=size_um, chain=ref.chain)
    return embed_images([image], planned.settings, method.features, progress=tell).left_out


def _head(checkpoint: Path) -> Path | None:
    """Return the classifier of patch counts that the network's recipe asks for, where it was fitted."""
    recipe = RECIPES.get(read_card(checkpoint).recipe)
    kinds = () if recipe is None else recipe.heads
    return next((path for kind in kinds[:1] if (path := head_path(checkpoint, kind)).is_file()), None)
