"""Initial weights of a training: random, a pretrained backbone, or one of our checkpoints."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qupath_her2.errors import ModelError
from qupath_her2.models.card import ModelCard, card_path
from qupath_her2.models.checkpoint import load_checkpoint
from qupath_her2.models.registry import build_model, find_model
from qupath_her2.models.shipped import SHIPPED, shipped_checkpoint
from qupath_her2.project.exchange.writing import output_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qupath_her2.training.types import TrainJob

__all__ = ["build_initial_model"]


def build_initial_model(job: TrainJob) -> Any:
    """Return the network of a job with its initial weights; unless it resumes, `job.out` is emptied.

    Raises
    ------
    SettingsError, ModelError
        See `models.registry.build_model` and `load_checkpoint`; or the initial checkpoint does not fit the job.
    """
    wanted = dict(job.options)
    if "input_px" in find_model(job.model).options:
        # Networks with fully connected layers are built for one input size, that of the patches.
        wanted["input_px"] = job.manifest.patch_size_px
    checkpoint = _initial_checkpoint(job)
    if checkpoint is not None:
        model = _from_checkpoint(checkpoint, job, wanted)
    else:
        assert job.weights != "shipped"
        # A recipe's options belong to its own network; another one of the paper has its own defaults.
        of_recipe = job.recipe.options if job.model == job.recipe.model else {}
        options = {**of_recipe, **wanted}
        model = build_model(
            job.model,
            len(job.manifest.class_names),
            weights=job.weights,
            seed=job.settings.train.seed,
            **options,
        )
    # Last, once the job has proved sound: a mistyped option must not cost the earlier training.
    if not job.resume:
        _clear(job.out)
    return model


def _initial_checkpoint(job: TrainJob) -> Path | None:
    """Return our checkpoint that the training starts from; None where it starts from other weights."""
    if job.weights == "shipped":
        if job.model not in SHIPPED:
            raise ModelError(
                f"The package ships no weights for '{job.model}'. Pass --model {SHIPPED[0]} --weights shipped, or "
                "a checkpoint: --weights her2/models/NAME/best."
            )
        return shipped_checkpoint(job.model)
    # A file without a card is a backbone's weights, which `build_model` loads.
    if isinstance(job.weights, Path) and card_path(job.weights).is_file():
        return job.weights
    return None


def _from_checkpoint(checkpoint: Path, job: TrainJob, wanted: Mapping[str, Any]) -> Any:
    """Return the network of a checkpoint whose model, classes and options match the job."""
    model, card = load_checkpoint(checkpoint)
    faults = _differences(card, job)
    # All differences in one message, so that nobody fixes them one run at a time.
    faults += [
        f"its {name} is {model.options[name]}, not {value}"
        for name, value in wanted.items()
        if name in model.options and model.options[name] != value
    ]
    if faults:
        raise ModelError(f"Training cannot start from checkpoint '{checkpoint}': {'; '.join(faults)}.")
    # Recorded in the new card: a training of a training stays traceable.
    model.weights_source = f"checkpoint {card.model}, sha256 {card.weights_sha256}"
    return model


def _differences(card: ModelCard, job: TrainJob) -> list[str]:
    found = []
    if card.model != job.model:
        found.append(f"its model is '{card.model}', not '{job.model}' (--model {card.model})")
    if card.class_names != tuple(job.manifest.class_names):
        found.append(
            f"its classes are {', '.join(card.class_names)}, those of the patches {', '.join(job.manifest.class_names)}"
        )
    return found


def _clear(out: Path) -> None:
    with output_errors(out):
        if out.is_dir():
            shutil.rmtree(out)
