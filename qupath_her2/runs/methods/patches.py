"""``predict``: an image's patches by a trained network, and one class for region and image by a stated rule."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qupath_her2.errors import Her2Error, ModelError
from qupath_her2.models.card import ModelCard, identity, read_card
from qupath_her2.patches.pixels.patch_pixels import PatchPixels
from qupath_her2.patches.tasks import SEGMENTATION
from qupath_her2.project.class_names import PATCH_CLASS
from qupath_her2.provenance import cell_uuids, sha256_file
from qupath_her2.records import NOT_MEASURED, PatchTable, Refusal, SlideScore
from qupath_her2.runs.image_setup import Ground, empty_table, refused_outcome
from qupath_her2.runs.methods.image_patches import image_manifest
from qupath_her2.runs.methods.patch_maps import Looked, look, overlay_files
from qupath_her2.runs.methods.patch_score import score_of_patches
from qupath_her2.runs.write_run import Outcome
from qupath_her2.slides.stains.macenko import macenko_map
from qupath_her2.slides.stains.tissue_sample import fit_slide_macenko, normalisation_reference

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from qupath_her2.patches.manifest import PatchManifest
    from qupath_her2.runs.inputs import Inputs
    from qupath_her2.runs.score_image import ScoreJob
    from qupath_her2.slides.readers.slide import Slide
    from qupath_her2.slides.stains.density_map import DensityMap

__all__ = ["Asked", "ask_network", "measure_network", "network_card", "network_settings"]


def network_card(job: ScoreJob) -> ModelCard:
    """Return the card of a job's network.

    Raises
    ------
    Her2Error
        None was named.
    ModelError
        It is damaged, or of a network that names pixels.
    """
    card = read_card(_checkpoint(job))
    if card.task == SEGMENTATION.name:
        raise ModelError(
            f"Network '{job.checkpoint}' names pixels, not patches. It finds cells: qupath-her2 run --cells "
            f"her2net:{job.checkpoint}."
        )
    return card


def network_settings(job: ScoreJob, card: ModelCard) -> dict[str, Any]:
    """Return all that the patches of a network and their classes depend on, besides image and regions."""
    return {
        **identity(card),
        "patches": job.settings.patches,
        "votes": job.settings.votes,
        "head": None if job.head is None else sha256_file(job.head),
        **({"cam": job.settings.cam} if job.settings.cam.is_on else {}),
    }


def measure_network(
    job: ScoreJob, slide: Slide, inputs: Inputs, *, progress: Callable[[int, int, int], None] | None
) -> Outcome:
    """Predict the patches of an image's regions; heat maps go with them, and where the network looked if asked.

    Raises
    ------
    ModelError
        The checkpoint is damaged, or does not fit the image's scale; the message says the way out.
    """
    ground = Ground(job, slide, inputs)
    if ground.refusal is not None:
        return refused_outcome(job, ground)
    start = time.monotonic()
    asked = ask_network(job, slide, inputs, ground, progress=progress)
    if isinstance(asked, Refusal):
        ground.refusal = asked
        return refused_outcome(job, ground)
    regions = tuple(region for region in ground.regions if region.role == "tumour")
    warnings = (*ground.warnings, *asked.warnings)
    score = score_of_patches(job, asked.card, asked.table, regions, inputs.by_core, warnings)
    size = (slide.width, slide.height)
    looked = _looked(job, asked, score, size, progress) if job.settings.cam.is_on else None
    return Outcome(
        score=score,
        table=empty_table(),
        regions=regions,
        drawn_regions=ground.regions,
        stains=ground.stains,
        warnings=warnings,
        timings_s={"network": round(time.monotonic() - start, 3)},
        extra_files=overlay_files(asked.table, size, inputs.pixel_size_um, looked),
        by_core=inputs.by_core,
        patches=asked.table,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What a network said of an image: the network itself, its patches, their `table`, `warnings` of those unread."""

    model: Any
    card: ModelCard
    manifest: PatchManifest
    stain_maps: tuple[DensityMap, ...] | None
    table: PatchTable
    warnings: tuple[str, ...]


def ask_network(
    job: ScoreJob,
    slide: Slide,
    inputs: Inputs,
    ground: Ground,
    *,
    progress: Callable[[int, int, int], None] | None,
) -> Asked | Refusal:
    """Let a job's network predict the patches of an image; a Refusal where none is left to ask about.

    Raises
    ------
    ModelError
        As of `measure_network`.
    """
    from qupath_her2.learning.inference.predict import predict

    assert inputs.card is not None
    model, card = _loaded(_checkpoint(job), inputs.card.weights_sha256)
    manifest, owner = image_manifest(job, slide, inputs, ground.regions, card)
    if len(manifest) == 0:
        return _no_patches(manifest)
    stain_maps = _stain_maps(job, slide, inputs, ground, card)
    with PatchPixels(manifest) as pixels:
        found = predict(
            model,
            card,
            manifest,
            pixels,
            job.settings.predict,
            stain_maps=stain_maps,
            progress=_without_cells(progress),
        )
    table = _table(manifest, owner, card, found.probabilities, found.chosen, inputs.hash)
    return Asked(model, card, manifest, stain_maps, table, _unread(found.unread))


def _without_cells(progress: Callable[[int, int, int], None] | None) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(done, total, 0)


def _looked(
    job: ScoreJob,
    asked: Asked,
    score: SlideScore,
    size: tuple[int, int],
    progress: Callable[[int, int, int], None] | None,
) -> Looked | None:
    """Return where the network looked; None where no patch could be read."""
    probabilities = asked.table.probabilities
    if not np.isfinite(probabilities).any():
        return None
    with PatchPixels(asked.manifest) as pixels:
        return look(
            asked.model,
            asked.card,
            asked.manifest,
            pixels,
            probabilities,
            _wanted(score, asked.card, probabilities),
            size,
            job.settings.cam,
            stain_maps=asked.stain_maps,
            progress=_without_cells(progress),
        )


def _checkpoint(job: ScoreJob) -> Path:
    if job.checkpoint is None:
        raise Her2Error(
            "No network was named. Pass --model CHECKPOINT; qupath-her2 models PROJECT lists them."
        )
    return job.checkpoint


@functools.lru_cache(maxsize=1)
def _loaded(checkpoint: Path, weights_sha256: str) -> tuple[Any, ModelCard]:
    """Load a network once for all images; the hash is there so that another one of the same name is another."""
    from qupath_her2.models.checkpoint import load_checkpoint

    return load_checkpoint(checkpoint)


def _no_patches(manifest: PatchManifest) -> Refusal:
    causes = (
        ", ".join(f"{count} {cause}" for cause, count in manifest.dropped.items())
        or "the regions are too small"
    )
    return Refusal("no_patches", f"no patch of {manifest.patch_size_px} px is left in the regions: {causes}")


def _unread(problems: Sequence[str]) -> tuple[str, ...]:
    if not problems:
        return ()
    n = len(problems)
    return (
        f"{n} patch{'' if n == 1 else 'es'} could not be read, and {'has' if n == 1 else 'have'} no class. "
        f"The first: {problems[0]}",
    )


def _stain_maps(
    job: ScoreJob, slide: Slide, inputs: Inputs, ground: Ground, card: ModelCard
) -> tuple[DensityMap, ...] | None:
    """Return the normalisation that the network was trained with, fitted to this slide."""
    if card.stain is None:
        return None
    reference = normalisation_reference(card.stain)
    profile = fit_slide_macenko(
        slide, pixel_size_um=inputs.pixel_size_um, tissue=ground.tissue, image_type=job.ref.image_type
    )
    return (macenko_map(profile, reference),)


def _table(
    manifest: PatchManifest,
    owner: NDArray[np.int32],
    card: ModelCard,
    probabilities: NDArray[np.float32],
    chosen: NDArray[np.int16],
    run_hash: str,
) -> PatchTable:
    return PatchTable(
        uuid=cell_uuids(run_hash, len(manifest)),
        box_xywh=manifest.box_xywh,
        region=owner,
        # Softmax in half precision may end a hair above 1.
        probabilities=np.clip(probabilities, 0, 1),
        patch_class=np.where(chosen < 0, NOT_MEASURED, chosen).astype(np.uint8),
        class_names=tuple(PATCH_CLASS + name for name in card.class_names),
    )


def _wanted(score: SlideScore, card: ModelCard, probabilities: NDArray[np.float32]) -> int:
    """Return the class that a map of where the network looked is made for: the image's, else the likeliest."""
    named = None if score.prediction is None else score.prediction.class_name
    if named in card.class_names:
        return card.class_names.index(named)
    return int(np.nanmean(probabilities, axis=0).argmax())
