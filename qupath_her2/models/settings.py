"""Settings of training, prediction, segmentation and Grad-CAM: the tables of ``her2.toml`` that concern networks.

They stand apart from the functions that use them, so that reading a settings file, as scoring by cells does, loads
neither torch nor any module of `learning`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from qupath_her2.errors import SettingsError
from qupath_her2.setting_ranges import Device, Range, Seed, check_order, check_settings
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

    threads: Annotated[int, Range(1, 256, "threads")] = 4
    rows_at_once: Annotated[int, Range(1, 65_536, "patches")] = 64
    batches_ahead: Annotated[int, Range(1, 1024, "batches")] = 3

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True)
class AugmentSettings:
    """Augmentation of training patches. The defaults change only the orientation, which carries no meaning.

    Where a patch is resampled, its surroundings are filled with its mirror image, whose pixels have no known target.

    Attributes
    ----------
    flips, right_angle_turns
        Exact, without resampling; with both, all eight orientations are equally likely.
    angle_deg
        Largest rotation in either direction, degrees.
    scale
        Largest relative change of the side length.
    shift
        Largest translation as a share of the side.
    shear_deg
        Largest shear in either direction, degrees.
    stains
        Jitter of haematoxylin, eosin and DAB, or None.
    """

    flips: bool = True
    right_angle_turns: bool = True
    angle_deg: Annotated[float, Range(0, 180, "degrees")] = 0.0
    scale: Annotated[float, Range(0, 0.9)] = 0.0
    shift: Annotated[float, Range(0, 0.5)] = 0.0
    shear_deg: Annotated[float, Range(0, 60, "degrees")] = 0.0
    stains: JitterSettings | None = None

    def __post_init__(self) -> None:
        check_settings(self)


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
        ``none``, ``balanced`` (N / (classes · N of the class), as in scikit-learn), or one number per class.

    References
    ----------
    .. [1] Lin TY, Goyal P, Girshick R, He K, Dollár P. Focal loss for dense object detection. ICCV 2017.
       doi:10.1109/ICCV.2017.324
    """

    kind: LossKind = "cross_entropy"
    focal_gamma: Annotated[float, Range(0, 100)] = 2.0
    class_weights: (
        Literal["none", "balanced"] | Annotated[tuple[float, ...], Range(0, 1e6, is_open="low")]
    ) = "none"

    def __post_init__(self) -> None:
        check_settings(self)


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
    learning_rate: Annotated[float, Range(0, 100, is_open="low")] = 1e-4
    least_learning_rate: Annotated[float, Range(0, 100)] = 1e-7
    warm_up_epochs: Annotated[int, Range(0, 100_000, "epochs")] = 0
    factor: Annotated[float, Range(0, 1, is_open="both")] = 0.5
    plateau_epochs: Annotated[int, Range(1, 100_000, "epochs")] = 3
    monitor: Literal["loss", "accuracy", "macro_f1"] = "loss"
    least_gain: Annotated[float, Range(0, 100)] = 1e-4
    stop_after_epochs: Annotated[int, Range(0, 100_000, "epochs")] = 0

    def __post_init__(self) -> None:
        check_settings(self)
        # With equal rates a cosine is constant, which is allowed.
        check_order(self, "least_learning_rate", "learning_rate", is_strict=False)


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

    epochs: Annotated[int, Range(1, 100_000, "epochs")] = 25
    batch_size: Annotated[int, Range(1, 65_536, "patches")] = 32
    micro_batch_size: Annotated[int, Range(0, 65_536, "patches")] = 0
    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    momentum: Annotated[float, Range(0, 1, is_open="high")] = 0.9
    weight_decay: Annotated[float, Range(0, 100)] = 0.0
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    read: ReadSettings = field(default_factory=ReadSettings)
    ema_decay: Annotated[float, Range(0, 1, is_open="high")] = 0.0
    seed: Seed = 0
    device: Device = "auto"
    precision: Precision = "auto"
    save_every_steps: Annotated[int, Range(0, 1_000_000_000, "steps")] = 0

    def __post_init__(self) -> None:
        check_settings(self)


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

    batch_size: Annotated[int, Range(1, 65_536, "patches")] = 64
    device: Device = "auto"
    precision: Precision = "auto"
    is_compiled: bool = False
    read: ReadSettings = field(default_factory=ReadSettings)

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True)
class SegmentSettings:
    """How a segmenter is run over a slide, window by window.

    Attributes
    ----------
    overlap_share
        Overlap of neighbouring windows as a share of their side. A quarter instead of a sixth takes a third
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

    # Beyond half, three windows would overlap, and their weights no longer add up to 1.
    overlap_share: Annotated[float, Range(0, 0.5, "(a share)")] = 0.16
    rim_share: Annotated[float, Range(0, 0.25, "(a share)")] = 0.04
    samples: Annotated[int, Range(1, 1000, "samples")] = 8
    seed: Seed = 0
    batch_size: Annotated[int, Range(1, 65_536, "windows")] = 8

    def __post_init__(self) -> None:
        check_settings(self)
        if 2 * self.rim_share > self.overlap_share:
            raise SettingsError(
                f"rim_share is {self.rim_share:g}; it must be at most half of overlap_share, which is "
                f"{self.overlap_share:g}, or windows leave gaps."
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
        Opacity of the hottest pixel of the overlay.
    """

    is_on: bool = False
    shown: Annotated[int, Range(1, 1000, "patches")] = 9
    opacity: Annotated[float, Range(0, 1, is_open="low")] = 0.5

    def __post_init__(self) -> None:
        check_settings(self)
