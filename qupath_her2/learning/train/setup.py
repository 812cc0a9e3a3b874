"""Training setup: checks of model and data before the first step, and the constants of the training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from qupath_her2.errors import TrainingError
from qupath_her2.learning.dataset import PatchReader, TargetReader
from qupath_her2.learning.device import half_dtype
from qupath_her2.learning.preprocessing import Preparation
from qupath_her2.learning.train.objective import Objective, make_objective
from qupath_her2.learning.train.parallel import ProcessGroup
from qupath_her2.learning.train.training_state import TrainingState, identity_settings, make_optimiser
from qupath_her2.models.card import ModelCard
from qupath_her2.models.registry import check_input, find_model
from qupath_her2.models.settings import TrainSettings
from qupath_her2.patches.manifest import manifest_hash
from qupath_her2.patches.pixels.patch_pixels import reading_order
from qupath_her2.patches.published_split import split_words
from qupath_her2.patches.splits import PATCH_LEVEL, count_unknown_cases, leaked_cases, may_leak, split_warning
from qupath_her2.provenance import versions

if TYPE_CHECKING:
    import torch

    from qupath_her2.patches.manifest import PatchManifest
    from qupath_her2.slides.stains.density_map import DensityMap

__all__ = ["Setup", "initial_card", "new_state", "check_data", "check_supervision", "make_setup"]


@dataclass(frozen=True, slots=True, eq=False)
class Setup:
    """Constants of a training.

    Attributes
    ----------
    manifest, pixels
        Patches and their reader.
    settings
        Settings of the training.
    processes
        Processes that share the training.
    net
        The network, wrapped where there are several processes.
    prepare, prepare_validation
        Preprocessing with and without augmentation.
    objective
        Loss and metrics.
    rows
        int64 (n,), the training patches.
    half
        16-bit type of the arithmetic, or None for float32.
    targets
        Pixel classes, for a segmenter.
    """

    manifest: PatchManifest
    pixels: PatchReader
    settings: TrainSettings
    processes: ProcessGroup
    net: Any
    prepare: Preparation
    prepare_validation: Preparation
    objective: Objective
    rows: NDArray[np.int64]
    half: torch.dtype | None
    targets: TargetReader | None = None


def check_supervision(model: Any, targets: TargetReader | None) -> None:
    """Raise TrainingError unless segmenters get labelled pixels, and classifiers labelled patches."""
    is_dense = find_model(model.model_name).kind == "segmentation"
    if is_dense != (targets is not None):
        names, has = ("pixels", "patches") if is_dense else ("patches", "pixels")
        raise TrainingError(
            f"Model '{model.model_name}' classifies {names}, but the labels given are of {has}. Choose another model, "
            "or another recipe."
        )


def check_data(
    manifest: PatchManifest, s: TrainSettings, targets: TargetReader | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
    """Select the patches to train and to validate on, after checking splits and labels.

    Parameters
    ----------
    manifest
        Patches with labels and splits.
    s
        Settings of the training.
    targets
        Pixel classes, for a segmenter: a patch is then labelled if any of its pixels is.

    Returns
    -------
    train, validation
        int64 (n,) and (m,), rows of the manifest, the latter in the fastest reading order.
    warnings
        Limits on what the metrics will mean.

    Raises
    ------
    TrainingError
        A case is in two splits, or the training patches (pixels) are of fewer than two classes.
    """
    leaked = leaked_cases(manifest)
    # Such a split was asked for, and its metrics carry a warning; a leak in any other split is an error.
    if leaked and not may_leak(manifest):
        listed = ", ".join(leaked[:10]) + (f" and {len(leaked) - 10} more" if len(leaked) > 10 else "")
        raise TrainingError(
            f"{len(leaked)} cases have patches in more than one split: {listed}. Validation would measure memorised "
            "cases. Split by case."
        )
    pixels = None if targets is None else targets.pixel_counts()
    labelled = manifest.label >= 0 if pixels is None else pixels.any(axis=1)
    train, validation = (np.flatnonzero(labelled & (manifest.split == k)).astype(np.int64) for k in (0, 1))
    n_classes = len(manifest.class_names)
    counts = (
        np.bincount(manifest.label[train], minlength=n_classes) if pixels is None else pixels[train].sum(0)
    ).tolist()
    of_class = dict(zip(manifest.class_names, counts, strict=True))
    if sum(count > 0 for count in counts) < 2:
        what = "patches" if pixels is None else "pixels"
        found = ", ".join(f"{count} of {name}" for name, count in of_class.items())
        raise TrainingError(
            f"The training split needs labelled {what} of at least two classes and has {found}. "
            "Annotate more regions, or split again."
        )
    # The order of validation does not affect its result, so it is the order that is read fastest.
    order = reading_order(manifest)
    validation = order[np.isin(order, validation)]
    return train, validation, _warnings(manifest, of_class, len(validation), s, targets is not None)


def _warnings(
    manifest: PatchManifest, of_class: dict[str, int], n_validation: int, s: TrainSettings, is_dense: bool
) -> list[str]:
    found = []
    # Weighted or not, a class without examples gets no gradient.
    absent = [name for name, count in of_class.items() if count == 0]
    if absent:
        found.append(
            f"No training {'pixel' if is_dense else 'patch'} of class {', '.join(absent)}: it cannot be learned."
        )
    leak = split_warning(manifest)
    if leak is None and count_unknown_cases(manifest):
        leak = f"{count_unknown_cases(manifest)} images have no known case: metrics are {PATCH_LEVEL}."
    if leak is not None:
        found.append(leak)
    if n_validation == 0:
        best = "lowest training loss" if s.schedule.monitor == "loss" else "highest training accuracy"
        found.append(f"No labelled validation patches: the weights with the {best} are kept.")
    return found


def make_setup(
    model: Any,
    manifest: PatchManifest,
    pixels: PatchReader,
    s: TrainSettings,
    processes: ProcessGroup,
    rows: NDArray[np.int64],
    stain_maps: Sequence[DensityMap] | None,
    targets: TargetReader | None = None,
) -> Setup:
    """Return the constants of a training.

    Parameters
    ----------
    model
        The network, already on its device.
    manifest, pixels
        Patches and their reader.
    s
        Settings of the training.
    processes
        Processes that share it.
    rows
        int64 (n,), the training patches.
    stain_maps
        Stain normalisation of each image, or None.
    targets
        Pixel classes, for a segmenter.

    Returns
    -------
    Setup
        The constants.

    Raises
    ------
    TrainingError
        The network does not fit the patches, or there are too few patches for the processes.
    """
    _check_model(model, manifest)
    # Two per process: batch norm has no variance of a single patch.
    if len(rows) < 2 * processes.size:
        raise TrainingError(f"{len(rows)} training patches are too few for {processes.size} processes.")
    mean, std = model.normalisation
    plain = Preparation(manifest, mean, std, stain_maps=stain_maps)
    return Setup(
        manifest,
        pixels,
        s,
        processes,
        processes.wrap(model),
        Preparation(manifest, mean, std, stain_maps=stain_maps, augment=s.augment, seed=s.seed),
        plain,
        make_objective(manifest, rows, targets, s.loss),
        rows,
        half_dtype(processes.device, s.precision),
        targets,
    )


def _check_model(model: Any, manifest: PatchManifest) -> None:
    """Raise TrainingError or SettingsError unless the network fits the patches in size and number of classes."""
    if model.n_classes != len(manifest.class_names):
        raise TrainingError(
            f"The network has {model.n_classes} classes and the patches have {len(manifest.class_names)}: "
            f"{', '.join(manifest.class_names)}. Build it with that number of classes."
        )
    # A network of variable size may still need a multiple of its stride, which would fail deep inside torch.
    spec = find_model(model.model_name)
    check_input(spec, manifest.patch_size_px)
    if spec.input.is_fixed and model.options.get("input_px") != manifest.patch_size_px:
        raise TrainingError(
            f"Model '{model.model_name}' was built for patches of {model.options.get('input_px')} px and the patches "
            f"have {manifest.patch_size_px}. Build it with input_px={manifest.patch_size_px}."
        )


def initial_card(model: Any, manifest: PatchManifest, recipe: str, stain: str | None) -> ModelCard:
    """Return the card of a training, without metrics yet.

    Parameters
    ----------
    model
        The network.
    manifest
        The training patches.
    recipe
        Name of the recipe, or "".
    stain
        Name of the stain normalisation, or None.

    Returns
    -------
    ModelCard
        The card.
    """
    import torch

    mean, std = model.normalisation
    return ModelCard(
        model=model.model_name,
        class_names=manifest.class_names,
        task=manifest.task,
        pixel_size_um=manifest.pixel_size_um,
        patch_size_px=manifest.patch_size_px,
        mean=tuple(mean),
        std=tuple(std),
        options=model.options,
        stain=stain,
        recipe=recipe,
        data_hash=manifest_hash(manifest),
        metrics={"split": split_words(manifest)},
        versions={**versions(), "torch": str(torch.__version__)},
        initial_weights=model.weights_source,
    )


def new_state(model: Any, setup: Setup, out_dir: Path, card: ModelCard) -> TrainingState:
    """Return the state of a training before its first step.

    Parameters
    ----------
    model
        The network, not wrapped for several processes.
    setup
        Constants of the training.
    out_dir
        Output folder.
    card
        From `initial_card`.

    Returns
    -------
    TrainingState
        The state.
    """
    import torch
    from timm.utils import ModelEmaV3

    s = setup.settings
    # A deep copy made after the model is on its device, so that both are in the same memory layout.
    average = ModelEmaV3(model, decay=s.ema_decay) if s.ema_decay else None
    # Only fp16 needs scaled gradients: bf16 has the exponent range of float32.
    scaler = torch.amp.GradScaler(setup.processes.device.type, enabled=setup.half == torch.float16)
    # What must be equal for a resumption to end with the same weights as an uninterrupted training.
    identity = {
        "model": card.model,
        # Through JSON, since it is compared with values read from a file.
        "options": orjson.loads(orjson.dumps(dict(card.options))),
        "initial_weights": card.initial_weights,
        "stain": card.stain,
        "patches": card.data_hash,
        "settings": identity_settings(s),
    }
    state = TrainingState(out_dir, model, make_optimiser(model, s), scaler, s, identity, average)
    if s.micro_batch_size:
        state.micro = s.micro_batch_size
    return state
