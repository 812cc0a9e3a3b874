"""Training a classifier: from labelled patches to a checkpoint with its card, curves and test metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from qupath_her2.errors import TrainingError
from qupath_her2.learning.inference.calibration import fit_temperature
from qupath_her2.learning.inference.predict import predict
from qupath_her2.learning.metrics.curves import confusion_figure
from qupath_her2.learning.train.loop import train
from qupath_her2.models.card import ModelCard
from qupath_her2.models.checkpoint import load_checkpoint, save_card
from qupath_her2.patches.manifest import PatchManifest, select
from qupath_her2.patches.pixels.patch_pixels import PatchPixels
from qupath_her2.project.exchange.writing import replace_file
from qupath_her2.scoring.agreement.files import write_agreement
from qupath_her2.training.count_heads import FittedHeads, count_slides, fit_heads
from qupath_her2.training.evaluation import evaluate, write_evaluation
from qupath_her2.training.initial_weights import build_initial_model
from qupath_her2.training.stain_normalisation import normalise_manifest
from qupath_her2.training.training_page import write_training_report
from qupath_her2.training.types import TrainedNetwork, TrainJob

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from qupath_her2.learning.train.loop import TrainProgress, TrainResult
    from qupath_her2.slides.stains.density_map import DensityMap
    from qupath_her2.training.stain_normalisation import NormalisedManifest

__all__ = [
    "shuffled_labels",
    "train_network",
    "training_record",
]


def train_network(
    job: TrainJob,
    *,
    progress: Callable[[TrainProgress], None] | None = None,
    predicting: Callable[[int, int], None] | None = None,
) -> TrainedNetwork:
    """Train a classifier, calibrate it on the validation part, and evaluate it on the test part.

    Parameters
    ----------
    job
        Patches, recipe, settings and output folder.
    progress
        Called after each step of the training.
    predicting
        Called with test patches done and in total.

    Returns
    -------
    TrainedNetwork
        The checkpoint with its metrics.

    Raises
    ------
    TrainingError, ModelError, OutputError
        See `learning.train.loop.train` and `models.registry.build_model`.
    """
    # Before the first epoch: slides whose stains cannot be normalised leave all three parts.
    data = normalise_manifest(job.manifest, job.recipe.stain)
    maps = data.maps
    manifest = shuffled_labels(data.manifest, job.settings.train.seed) if job.is_control else data.manifest
    model = build_initial_model(job)
    with PatchPixels(manifest) as pixels:
        result = train(
            model,
            manifest,
            pixels,
            job.settings.train,
            job.out,
            recipe=job.recipe.name,
            stain=job.recipe.stain,
            stain_maps=maps,
            progress=progress,
            resume=job.resume,
        )
    replace_file(job.out / "confusion.svg", confusion_figure(result.confusion, manifest.class_names).encode())
    # The best epoch, not the last one, which `model` holds now.
    model, card = load_checkpoint(result.checkpoint)
    card = _calibrated(job, model, card, manifest, maps)
    save_card(result.checkpoint, card)
    # Against the true labels, also where it was trained on shuffled ones: the control must fail here.
    test = evaluate(
        model,
        card,
        data.manifest,
        PatchPixels,
        settings=job.settings.predict,
        votes=job.settings.votes,
        stain_maps=maps,
        progress=predicting,
    )
    if test is not None:
        write_evaluation(
            job.out / "test", test, card, PatchPixels, model=model, stain_maps=maps, cam=job.settings.cam
        )
    heads = _heads(job, model, card, result.checkpoint, data)
    left_out = (*data.left_out, *heads.left_out)
    n_test = None if test is None else len(test.manifest)
    record = training_record(replace(job, manifest=data.manifest), result, n_test, left_out)
    replace_file(job.out / "training.json", record)
    found = TrainedNetwork(result.checkpoint, card, result, test, heads.figures, left_out)
    write_training_report(job, found, has_cam=model.cam_layer is not None)
    return found


def _heads(
    job: TrainJob, model: Any, card: ModelCard, checkpoint: Path, data: NormalisedManifest
) -> FittedHeads:
    """Fit the recipe's heads over patch counts, and write their metrics."""
    if not job.recipe.heads:
        return FittedHeads({})
    settings = job.settings
    counts = count_slides(model, card, data.manifest, settings.patches, settings.predict, data.maps)
    heads = fit_heads(counts, card, data.manifest, job.recipe.heads, checkpoint)
    for name, figures in heads.figures.items():
        write_agreement(job.out / "test" / f"head-{name}", figures)
    return heads


def shuffled_labels(manifest: PatchManifest, seed: int) -> PatchManifest:
    """Return the manifest with the labels of training and validation permuted; the test part keeps its own."""
    # Permuted within each part, so that the class frequencies, and with them the weights of the loss, stay as they are.
    rng = np.random.default_rng(seed)
    label = manifest.label.copy()
    for part in (0, 1):
        rows = np.flatnonzero((manifest.split == part) & (label >= 0))
        label[rows] = label[rng.permutation(rows)]
    return replace(manifest, label=label, settings={**manifest.settings, "labels": f"shuffled, seed {seed}"})


def _calibrated(
    job: TrainJob, model: Any, card: ModelCard, manifest: PatchManifest, maps: Sequence[DensityMap] | None
) -> ModelCard:
    """Return the card with the temperature that maximises the likelihood of the validation labels.

    Guo C, et al. On calibration of modern neural networks. ICML 2017: one scalar that divides the logits, so the
    predicted classes stay the same. On shuffled labels too: their validation labels are shuffled with them.
    """
    # Never on the training part, where the network is overconfident, nor on the test part, which must stay unseen.
    rows = (manifest.split == 1) & (manifest.label >= 0)
    if not rows.any():
        return card
    chosen = select(manifest, rows)
    with PatchPixels(chosen) as pixels:
        found = predict(model, card, chosen, pixels, job.settings.predict, stain_maps=maps)
    if not np.isfinite(found.probabilities).all(axis=1).any():
        raise TrainingError(f"No validation patch could be read. The first error: {found.unread[0]}")
    # The probabilities were predicted at the card's own temperature, so the new one multiplies it.
    return replace(card, temperature=card.temperature * fit_temperature(found.probabilities, chosen.label))


def training_record(
    job: TrainJob, result: TrainResult, n_test: int | None, left_out: Sequence[str] = ()
) -> bytes:
    """Return ``training.json``, the record of a training.

    Parameters
    ----------
    job
        The training, with the manifest that was used.
    result
        From `learning.train.loop.train`.
    n_test
        Number of test patches; None without a test part.
    left_out
        A sentence for each slide that was left out.

    Returns
    -------
    bytes
        UTF-8 JSON.
    """
    content = {
        "format": 1,
        "recipe": job.recipe.name,
        "model": job.model,
        "command": job.command,
        "is_control": job.is_control,
        "settings": {
            name: asdict(getattr(job.settings, name)) for name in ("patches", "train", "predict", "votes")
        },
        "split": job.manifest.settings.get("split"),
        "patches": {"of_class": job.manifest.label_counts(), "dropped": job.manifest.dropped},
        "left_out": left_out,
        "pixels": None if job.targets is None else job.targets.counts.sum(0).tolist(),
        "best_epoch": result.best_epoch,
        "epochs": len(result.history),
        "device": result.device,
        "seconds": round(result.seconds, 1),
        "warnings": result.warnings,
        "unread": result.unread,
        "test_patches": n_test,
        "deviations": [asdict(one) for one in job.recipe.deviations],
    }
    # Sorted keys: two records of the same training can be compared line by line.
    options = (
        orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY
    )
    return orjson.dumps(content, option=options, default=str)
