"""What a training begins with: a new network, a published backbone, or what one of our checkpoints has learnt."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from qupath_her2.errors import ModelError
from qupath_her2.models.card import ModelCard, card_path
from qupath_her2.models.checkpoint import load_checkpoint
from qupath_her2.models.registry import build_model, find_model
from qupath_her2.models.shipped import SHIPPED, shipped_checkpoint
from qupath_her2.project.exchange.writing import output_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qupath_her2.training.classifier import TrainJob

__all__ = ["Weights", "begin_model"]

#: "shipped": the network of the package; a path: a checkpoint of ours (it has a card), else a file of a backbone's.
Weights: TypeAlias = Literal["pretrained", "random", "shipped"] | Path


def begin_model(job: TrainJob) -> Any:
    """Return the network of a job with its first weights; where it is not to go on, what lies in `out` is removed.

    Raises
    ------
    SettingsError, ModelError
        See `models.build_model` and `load_checkpoint`; or the checkpoint to begin with is of another network.
    """
    wanted = dict(job.options)
    if "input_px" in find_model(job.model).options:
        wanted["input_px"] = job.manifest.patch_size_px
    learnt = _checkpoint(job)
    if learnt is not None:
        model = _going_on(learnt, job, wanted)
    else:
        assert job.weights != "shipped"
        of_recipe = job.recipe.options if job.model == job.recipe.model else {}
        options = {**of_recipe, **wanted}
        model = build_model(job.model, len(job.manifest.class_names), weights=job.weights, **options)
    if not job.resume:
        _clear(job.out)
    return model


def _checkpoint(job: TrainJob) -> Path | None:
    """Return the checkpoint of ours to begin with, None where it is no such thing."""
    if job.weights == "shipped":
        if job.model not in SHIPPED:
            raise ModelError(
                f"No trained '{job.model}' comes with the package. Write --model {SHIPPED[0]} --weights shipped, or "
                "name a checkpoint: --weights her2/models/NAME/best."
            )
        return shipped_checkpoint(job.model)
    if isinstance(job.weights, Path) and card_path(job.weights).is_file():
        return job.weights
    return None


def _going_on(checkpoint: Path, job: TrainJob, wanted: Mapping[str, Any]) -> Any:
    """Return the network of a checkpoint, built as it was, once it is sure that it is the one that is asked for."""
    model, card = load_checkpoint(checkpoint)
    faults = _differences(card, job)
    faults += [
        f"its {name} is {model.options[name]}, and {value} is asked for"
        for name, value in wanted.items()
        if name in model.options and model.options[name] != value
    ]
    if faults:
        raise ModelError(f"Training cannot begin with checkpoint '{checkpoint}': {'; '.join(faults)}.")
    model.weights_source = f"checkpoint {card.model}, sha256 {card.weights_sha256}"
    return model


def _differences(card: ModelCard, job: TrainJob) -> list[str]:
    found = []
    if card.model != job.model:
        found.append(
            f"it is of model '{card.model}', and '{job.model}' is to be trained (--model {card.model})"
        )
    if card.class_names != tuple(job.manifest.class_names):
        found.append(
            f"it knows {', '.join(card.class_names)}, and the patches are of {', '.join(job.manifest.class_names)}"
        )
    return found


def _clear(out: Path) -> None:
    with output_errors(out):
        if out.is_dir():
            shutil.rmtree(out)
