"""``predict``: an image's patches by a trained network, and one class for region and image by a stated rule."""

from __future__ import annotations

import functools
import math
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qupath_her2.batch.count_heads import counts_of_images
from qupath_her2.batch.ground import Ground, empty_table, refused_outcome
from qupath_her2.batch.network_patches import image_manifest
from qupath_her2.batch.outcome import Outcome
from qupath_her2.errors import Her2Error, ModelError
from qupath_her2.models.card import ModelCard, read_card
from qupath_her2.models.counts import load_counts
from qupath_her2.patches.pixels import PatchPixels
from qupath_her2.project.vocabulary import PATCH_CLASS
from qupath_her2.provenance import cell_uuids, sha256_file
from qupath_her2.records import NOT_MEASURED, Box, PatchTable, Prediction, Refusal, Score, SlideScore
from qupath_her2.scoring.indicators import heat_map, heat_map_png
from qupath_her2.scoring.votes import RULES, vote
from qupath_her2.slides.macenko import macenko_map
from qupath_her2.slides.stain_sample import fit_slide_macenko, normalisation_reference

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from qupath_her2.batch.inputs import Inputs
    from qupath_her2.batch.job import ScoreJob
    from qupath_her2.patches.manifest import PatchManifest
    from qupath_her2.records import Region
    from qupath_her2.scoring.votes import VoteSettings
    from qupath_her2.slides import Slide
    from qupath_her2.slides.density_map import DensityMap

__all__ = ["measure_network", "network_card", "network_settings"]

_NO_GUIDELINE = "none"
_NOT_A_SCORE = "It is what a network says, not a score by a guideline. Research use only."


def network_card(job: ScoreJob) -> ModelCard:
    """Return the card of a job's network; Her2Error where none was named, ModelError where it is damaged."""
    return read_card(_checkpoint(job))


def network_settings(job: ScoreJob, card: ModelCard) -> dict[str, Any]:
    """Return all that the patches of a network and their classes depend on, besides image and regions."""
    return {
        "weights": card.weights_sha256,
        "card": asdict(card) | {"metrics": None, "versions": None},
        "patches": job.settings.patches,
        "votes": job.settings.votes,
        "head": None if job.head is None else sha256_file(job.head),
    }


def measure_network(
    job: ScoreJob, slide: Slide, inputs: Inputs, *, progress: Callable[[int, int, int], None] | None
) -> Outcome:
    """Predict the patches of an image's regions; a heat map of the last class goes with them.

    Raises
    ------
    ModelError
        The checkpoint is damaged, or does not fit the image's scale; the message says the way out.
    """
    from qupath_her2.learning import predict

    ground = Ground(job, slide, inputs)
    if ground.refusal is not None:
        return refused_outcome(job, ground)
    start = time.monotonic()
    model, card = _loaded(_checkpoint(job), network_card(job).weights_sha256)
    regions = tuple(region for region in ground.regions if region.role == "tumour")
    manifest, owner = image_manifest(job, slide, inputs, ground.regions, card)
    if len(manifest) == 0:
        ground.refusal = _no_patches(manifest)
        return refused_outcome(job, ground)
    with PatchPixels(manifest) as pixels:
        found = predict(
            model,
            card,
            manifest,
            pixels,
            job.settings.predict,
            stain_maps=_stain_maps(job, slide, inputs, ground, card),
            progress=None if progress is None else lambda done, total: progress(done, total, 0),
        )
    table = _table(manifest, owner, card, found.probabilities, found.chosen, inputs.hash)
    warnings = (*ground.warnings, *_unread(found.unread))
    return Outcome(
        score=_slide_score(job, card, table, regions, inputs.by_core, warnings),
        table=empty_table(),
        regions=regions,
        drawn_regions=ground.regions,
        stains=ground.stains,
        warnings=warnings,
        timings_s={"network": round(time.monotonic() - start, 3)},
        extra_files=_heat_map(table),
        by_core=inputs.by_core,
        patches=table,
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


def _slide_score(
    job: ScoreJob,
    card: ModelCard,
    table: PatchTable,
    regions: Sequence[Region],
    by_core: bool,
    warnings: tuple[str, ...],
) -> SlideScore:
    rows = {str(region.uuid): table.region == number for number, region in enumerate(regions)}
    of_regions = {uuid: _score(job, card, table, mask, ()) for uuid, mask in rows.items()}
    whole = _score(job, card, table, np.ones(len(table), bool), warnings)
    if job.head is not None and whole.prediction is not None:
        whole = _by_head(job.head, card, table, whole)
    if by_core:
        reason = f"Each of the {len(regions)} cores has its own class; the slide has none. {_NOT_A_SCORE}"
        whole = Score(
            "not assessable", None, reason, _NO_GUIDELINE, warnings=warnings, refusal_code="by_core"
        )
    return SlideScore(
        **{name: getattr(whole, name) for name in Score.__dataclass_fields__}, regions=of_regions
    )


def _by_head(path: Path, card: ModelCard, table: PatchTable, voted: Score) -> Score:
    """Return the score of an image whose class a head over its patch counts names."""
    assert voted.prediction is not None
    head = load_counts(path)
    if head.patch_classes != card.class_names:
        raise ModelError(
            f"Head '{path}' counts {', '.join(head.patch_classes)}, and the network names "
            f"{', '.join(card.class_names)}. Take the head that was trained with it."
        )
    counts = counts_of_images(np.zeros(len(table), np.int32), _named(table), 1, len(card.class_names))
    probabilities = head.predict(counts)[0]
    if not np.isfinite(probabilities).all():
        return voted
    name = head.slide_classes[int(probabilities.argmax())]
    rule = f"{head.kind} over the counts of its patches"
    said = replace(
        voted.prediction,
        class_name=name,
        probabilities=dict(zip(head.slide_classes, map(float, probabilities), strict=True)),
        rule=rule,
    )
    best = f"'{name}' ({rule}, {probabilities.max():.2f})"
    reason = f"{said.n_patches:,} patches by '{said.model}': {best}. {_NOT_A_SCORE}"
    return replace(voted, reason=reason, prediction=said)


def _named(table: PatchTable) -> NDArray[np.int16]:
    """Return the class of each patch as the rules of voting have it, -1 for none."""
    return np.where(table.patch_class == NOT_MEASURED, -1, table.patch_class).astype(np.int16)


def _score(
    job: ScoreJob, card: ModelCard, table: PatchTable, mask: NDArray[np.bool_], warnings: tuple[str, ...]
) -> Score:
    """Return what the patches of `mask` say together."""
    votes: VoteSettings = job.settings.votes
    found = vote(table.probabilities[mask], _named(table)[mask], settings=votes)
    if found.n_patches == 0:
        reason = f"Not assessable: no patch that could be read lies here. {_NOT_A_SCORE}"
        return Score(
            "not assessable", None, reason, _NO_GUIDELINE, warnings=warnings, refusal_code="no_patches"
        )
    name = None if found.class_index is None else card.class_names[found.class_index]
    shares = {
        other: float(value)
        for other, value in zip(card.class_names, found.probabilities, strict=True)
        if math.isfinite(value)
    }
    who = card.recipe or card.model
    said = "no class" if name is None else f"'{name}'"
    share = "" if name is None else f", {shares[name]:.2f}"
    return Score(
        "predicted",
        None,
        f"{found.n_patches:,} patches by '{who}': {said} ({RULES[votes.rule]}{share}). {_NOT_A_SCORE}",
        _NO_GUIDELINE,
        warnings=warnings,
        prediction=Prediction(who, card.task, name, shares, found.n_patches, RULES[votes.rule]),
    )


def _heat_map(table: PatchTable) -> dict[str, bytes]:
    """Return the picture of the last class's probability, where the patches lie on a lattice."""
    side = table.box_xywh[:, 2:]
    is_lattice = (side == side[0]).all() and (table.box_xywh[:, :2] % side[0] == 0).all()
    if not is_lattice:
        return {}
    boxes = [Box(*box) for box in table.box_xywh.tolist()]
    return {"heatmap.png": heat_map_png(heat_map(boxes, table.probabilities[:, -1].tolist()))}
