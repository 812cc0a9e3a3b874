"""Settings of training, prediction, segmentation and Grad-CAM: the tables of ``her2.toml`` that concern networks.

They stand apart from the functions that use them, so that reading a settings file, as scoring by cells does, loads
neither torch nor any module of `learning`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from qupath_her2.errors import SettingsError
from qupath_her2.slides.stains.jitter import JitterSettings

__all__ = [
    "LOSS_KINDS",
    "AugmentSettings",
    "CamSettings",
    "LossKind",
    "LossSettings",
    "Precision",
    "PredictSettings",
    "ReadSettings",
    "ScheduleSettings",
    "SegmentSettings",
    "TrainSettings",
]

Precision = Literal["auto", "fp32", "bf16", "fp16"]
LossKind = Literal["cross_entropy", "focal", "dice", "cross_entropy_dice"]
LOSS_KINDS: tuple[LossKind, ...] = ("cross_entropy", "focal", "dice", "cross_entropy_dice")


@dataclass(frozen=True, slots=True)
class ReadSettings:
    """How patches are read from slides and files.

    Attributes
    ----------
    threads
        Reader threads.
    rows_at_once
        Patches that one thread requests together; neighbours among them share tiles of the file.
    batches_ahead
        Batches kept ready in advance, so that the device never waits for pixels.
    """

    threads: int = 4
    rows_at_once: int = 64
    batches_ahead: int = 3

    def __post_init__(self) -> None:
        for name in ("threads", "rows_at_once", "batches_ahead"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} = {getattr(self, name)!r} must be at least 1.")


@dataclass(frozen=True, slots=True)
class AugmentSettings:
    """Augmentation of training patches. The defaults change only the orientation, which carries no meaning.

    Where a patch is resampled, its surroundings are filled with its mirror image, whose pixels have no known target.

    Attributes
    ----------
    flips, right_angle_turns
        Exact, without resampling; with both, all eight orientations are equally likely.
    angle_deg
        Largest rotation in either direction, degrees, 0..180.
    scale
        Largest relative change of the side length, 0..0.9.
    shift
        Largest translation as a share of the side, 0..0.5.
    shear_deg
        Largest shear in either direction, degrees, 0..60.
    stains
        Jitter of haematoxylin, eosin and DAB, or None.
    """

    flips: bool = True
    right_angle_turns: bool = True
    angle_deg: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    shear_deg: float = 0.0
    stains: JitterSettings | None = None

    def __post_init__(self) -> None:
        # `not 0 <= value`, so that NaN is refused as well.
        limits = {"angle_deg": 180.0, "scale": 0.9, "shift": 0.5, "shear_deg": 60.0}
        for name, most in limits.items():
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise SettingsError(f"Augmentation {name} = {value!r} must be between 0 and {most:g}.")


@dataclass(frozen=True, slots=True)
class LossSettings:
    """The training loss.

    Attributes
    ----------
    kind
        ``cross_entropy`` or ``focal``; for segmenters also ``dice``, and ``cross_entropy_dice``, the sum of the two.
    focal_gamma
        How strongly easy examples are down-weighted; 2 in the paper [1]_. 0 is cross-entropy.
    class_weights
        ``none``, ``balanced`` (N / (classes · N of the class), as in scikit-learn), or one positive number per class.

    References
    ----------
    .. [1] Lin TY, Goyal P, Girshick R, He K, Dollár P. Focal loss for dense object detection. ICCV 2017.
       doi:10.1109/ICCV.2017.324
    """

    kind: LossKind = "cross_entropy"
    focal_gamma: float = 2.0
    class_weights: Literal["none", "balanced"] | tuple[float, ...] = "none"

    def __post_init__(self) -> None:
        if self.kind not in LOSS_KINDS:
            raise SettingsError(
                f"Unknown loss {self.kind!r}. Choose {', '.join(LOSS_KINDS[:-1])} or {LOSS_KINDS[-1]}."
            )
        if not (math.isfinite(self.focal_gamma) and self.focal_gamma >= 0):
            raise SettingsError(f"focal_gamma = {self.focal_gamma!r} must be a number of at least 0.")
        if isinstance(self.class_weights, str) and self.class_weights not in ("none", "balanced"):
            raise SettingsError(
                f"Unknown class_weights {self.class_weights!r}. Choose none, balanced, or one number per class."
            )


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    """Learning-rate schedule and early stopping.

    Attributes
    ----------
    kind
        ``constant``; ``cosine`` from `learning_rate` to `least_learning_rate` over all steps [1]_;
        ``plateau``: multiplied by `factor` after `plateau_epochs` epochs without improvement.
    learning_rate, least_learning_rate
        Initial rate, and the floor of ``cosine`` and ``plateau``.
    warm_up_epochs
        Linear warm-up from 0, before the schedule proper.
    factor, plateau_epochs
        Parameters of ``plateau``.
    monitor
        The validation metric to improve: ``loss`` (lower), ``accuracy`` or ``macro_f1`` (higher). It also selects the
        best checkpoint.
    least_gain
        Smallest change of the metric that counts as an improvement.
    stop_after_epochs
        Epochs without improvement after which training stops early; 0 never stops early.

    References
    ----------
    .. [1] Loshchilov I, Hutter F. SGDR: stochastic gradient descent with warm restarts. ICLR 2017.
       arXiv:1608.03983
    """

    kind: Literal["constant", "cosine", "plateau"] = "cosine"
    learning_rate: float = 1e-4
    least_learning_rate: float = 1e-7
    warm_up_epochs: int = 0
    factor: float = 0.5
    plateau_epochs: int = 3
    monitor: Literal["loss", "accuracy", "macro_f1"] = "loss"
    least_gain: float = 1e-4
    stop_after_epochs: int = 0

    def __post_init__(self) -> None:
        if self.kind not in ("constant", "cosine", "plateau"):
            raise SettingsError(f"Unknown schedule {self.kind!r}. Choose constant, cosine or plateau.")
        if self.monitor not in ("loss", "accuracy", "macro_f1"):
            raise SettingsError(f"Unknown monitor {self.monitor!r}. Choose loss, accuracy or macro_f1.")
        # With equal rates a cosine is constant, which is allowed; a rate of 0 would train nothing.
        if not 0 <= self.least_learning_rate <= self.learning_rate < math.inf or self.learning_rate == 0:
            raise SettingsError(
                f"Learning rates: learning_rate {self.learning_rate!r} must be above 0 and finite, least_learning_rate "
                f"{self.least_learning_rate!r} between 0 and it."
            )
        if not 0 < self.factor < 1:
            raise SettingsError(f"Schedule factor = {self.factor!r} must be between 0 and 1.")
        if self.plateau_epochs < 1 or self.warm_up_epochs < 0 or self.stop_after_epochs < 0:
            raise SettingsError(
                f"plateau_epochs {self.plateau_epochs!r} must be at least 1, warm_up_epochs {self.warm_up_epochs!r} "
                f"and stop_after_epochs {self.stop_after_epochs!r} at least 0."
            )


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How a network is trained.

    Attributes
    ----------
    epochs
        Largest number of passes over the training patches; see `ScheduleSettings.stop_after_epochs`.
    batch_size
        Patches per optimiser step, over all processes. A last batch of a single patch (with several processes: fewer
        than two each) is merged into the one before it, because batch norm has no variance of one value.
    micro_batch_size
        Patches per forward pass; 0 is the whole batch. Gradients are accumulated to those of the batch, except that
        batch norm sees one micro-batch at a time. Halved automatically when the device runs out of memory.
    optimiser
        ``adam``, ``adamw`` or ``sgd``.
    momentum
        Momentum of ``sgd``.
    weight_decay
        L2 penalty for ``adam`` and ``sgd``, decoupled for ``adamw``.
    schedule, loss, augment, read
        See the settings of these names.
    ema_decay
        Decay of an exponential moving average of the weights, which is then validated and kept; 0 turns it off.
    seed
        Seeds everything random in the training; the initial weights are the caller's.
    device, precision
        See `learning.device`.
    save_every_steps
        Optimiser steps between saves of the training state within an epoch; 0 saves at the end of each epoch only.
    """

    epochs: int = 25
    batch_size: int = 32
    micro_batch_size: int = 0
    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    read: ReadSettings = field(default_factory=ReadSettings)
    ema_decay: float = 0.0
    seed: int = 0
    device: str = "auto"
    precision: Precision = "auto"
    save_every_steps: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or self.micro_batch_size < 0 or self.save_every_steps < 0:
            raise SettingsError(
                f"epochs {self.epochs!r} and batch_size {self.batch_size!r} must be at least 1, micro_batch_size "
                f"{self.micro_batch_size!r} and save_every_steps {self.save_every_steps!r} at least 0."
            )
        if self.optimiser not in ("adam", "adamw", "sgd"):
            raise SettingsError(f"Unknown optimiser {self.optimiser!r}. Choose adam, adamw or sgd.")
        if not (0 <= self.momentum < 1 and 0 <= self.ema_decay < 1 and self.weight_decay >= 0):
            raise SettingsError(
                f"momentum {self.momentum!r} and ema_decay {self.ema_decay!r} must be in 0..1, weight_decay "
                f"{self.weight_decay!r} at least 0."
            )


@dataclass(frozen=True, slots=True)
class PredictSettings:
    """How a network is run over patches.

    Attributes
    ----------
    batch_size
        Patches per forward pass; halved automatically when the device runs out of memory.
    device, precision
        See `learning.device`.
    is_compiled
        Compile the network with torch first: minutes once, then faster on a GPU.
    read
        Reader threads and buffers.
    """

    batch_size: int = 64
    device: str = "auto"
    precision: Precision = "auto"
    is_compiled: bool = False
    read: ReadSettings = field(default_factory=ReadSettings)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise SettingsError(f"batch_size = {self.batch_size!r} must be at least 1.")


@dataclass(frozen=True, slots=True)
class SegmentSettings:
    """How a segmenter is run over a slide, window by window.

    Attributes
    ----------
    overlap_share
        Overlap of neighbouring windows as a share of their side, 0..0.5. A quarter instead of a sixth takes a third
        more time and gave the same cells (U-Net, Her2Net, SegNet on synthetic fields).
    rim_share
        Margin of a window whose output is discarded, as a share of its side, at each edge.
    samples
        Monte Carlo dropout samples of a Bayesian network; other networks run once.
    seed
        Seed of these samples.
    batch_size
        Windows per forward pass; halved automatically when the device runs out of memory.
    """

    overlap_share: float = 0.16
    rim_share: float = 0.04
    samples: int = 8
    seed: int = 0
    batch_size: int = 8

    def __post_init__(self) -> None:
        # Beyond half, three windows would overlap, and their weights no longer add up to 1.
        if not 0 <= self.overlap_share <= 0.5 or not 0 <= 2 * self.rim_share <= self.overlap_share:
            raise SettingsError(
                f"overlap_share {self.overlap_share:g} must lie in 0..0.5, and rim_share {self.rim_share:g} between 0 "
                "and half of it."
            )
        if self.samples < 1 or self.batch_size < 1:
            raise SettingsError(
                f"samples {self.samples} and batch_size {self.batch_size} must be at least 1."
            )


@dataclass(frozen=True, slots=True)
class CamSettings:
    """Grad-CAM maps shown with the predictions.

    Attributes
    ----------
    is_on
        Compute the maps at all; it costs one more forward and backward pass per patch.
    shown
        Patches of each kind (most and least confident) on an image's contact sheet.
    opacity
        Opacity of the hottest pixel of the overlay, above 0, at most 1.
    """

    is_on: bool = False
    shown: int = 9
    opacity: float = 0.5

    def __post_init__(self) -> None:
        if self.shown < 1 or not 0 < self.opacity <= 1:
            raise SettingsError(
                f"cam.shown = {self.shown} must be at least 1, and cam.opacity = {self.opacity} above 0, at most 1."
            )
