"""Settings of slide-level learning: features of patches, networks on bags of them, comparison of approaches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from qupath_her2.patches.cutting.grid import GridSettings
from qupath_her2.setting_ranges import Range, Seed, Text, check_settings

__all__ = ["BagNetworkSettings", "BagTrainSettings", "CompareSettings", "EmbedSettings", "TissueFinder"]

TissueFinder = Literal["own", "otsu-watershed"]


@dataclass(frozen=True, slots=True)
class EmbedSettings:
    """How the patches of a slide become features.

    Attributes
    ----------
    encoder
        ``efficientnet-lite0``, ``uni``, ``hub:OWNER/NAME`` or ``timm:NAME``, see `models.encoders`.
    patch_size_px
        Side of the patches as the encoder sees them, px.
    target_um_px
        Their scale, µm/px; 0 takes images at their own.
    tissue
        Tissue mask: the package's own, or Otsu's threshold with a watershed as in Chauhan et al. 2025. A patch belongs
        to the tissue if more than half of it does.
    """

    encoder: Annotated[str, Text("the name of an encoder")] = "efficientnet-lite0"
    patch_size_px: Annotated[int, Range(8, 2048, "px")] = 224
    target_um_px: Annotated[float, Range(0.05, 100, "µm/px", or_zero=True)] = 0.5
    tissue: TissueFinder = "own"

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def grid(self) -> GridSettings:
        """The grid of the patches, side by side."""
        return GridSettings(patch_size_px=self.patch_size_px, target_um_px=self.target_um_px)


@dataclass(frozen=True, slots=True)
class BagNetworkSettings:
    """Widths and own parts of the networks on bags.

    Attributes
    ----------
    hidden
        Width of the encoded features: 512 in CLAM and DTFD.
    attention
        Hidden width of the attention: 256 in CLAM, 128 in ABMIL; DTFD always has 128.
    dropout
        Dropout of encoded features and of CLAM's attention.
    instances
        CLAM: most and least attended patches of a bag that are clustered, each this many.
    instance_loss
        CLAM: ``svm`` (smooth top-1 SVM, as in the paper) or ``cross_entropy``.
    bag_weight
        CLAM: share of the bag's loss; the rest is the clustering loss.
    pseudo_bags
        DTFD: parts that a bag is divided into.
    """

    hidden: Annotated[int, Range(1, 16_384, "numbers")] = 512
    attention: Annotated[int, Range(1, 16_384, "numbers")] = 256
    dropout: Annotated[float, Range(0, 1, "(a share)", is_open="high")] = 0.25
    instances: Annotated[int, Range(1, 10_000, "patches")] = 8
    instance_loss: Literal["svm", "cross_entropy"] = "svm"
    bag_weight: Annotated[float, Range(0, 1, "(a share)")] = 0.7
    pseudo_bags: Annotated[int, Range(1, 1000, "parts")] = 4

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True)
class BagTrainSettings:
    """How a network on bags is trained: one optimiser step (Adam) a bag.

    Attributes
    ----------
    network
        Widths and own parts of the network.
    epochs
        Largest number of passes over the training bags.
    least_epochs, patience
        Training stops once the validation loss has not fallen for `patience` epochs, but not before `least_epochs`. The
        epoch of the lowest validation loss is kept.
    learning_rate, weight_decay
        Of Adam.
    decay_epoch, decay_factor
        After this epoch the learning rate is multiplied by the factor; 0 never.
    gradient_clip
        Largest norm of the gradients of each part of the network; 0 clips nothing.
    is_balanced
        Draw bags with replacement, so that all classes are equally likely.
    seed
        Seed of weights, order, dropout and pseudo-bags.
    memory_gb
        Features kept in memory; of a larger cohort the rest is read in each epoch.
    precision
        Of the matrix products of a training: ``fp32``, or ``bf16``, which on processors and GPUs with bf16 arithmetic
        takes about half the time on bags of a thousand patches and more. Trained networks predict in float32.
    """

    network: BagNetworkSettings = field(default_factory=BagNetworkSettings)
    epochs: Annotated[int, Range(1, 100_000, "epochs")] = 200
    least_epochs: Annotated[int, Range(0, 100_000, "epochs")] = 50
    patience: Annotated[int, Range(1, 100_000, "epochs")] = 20
    learning_rate: Annotated[float, Range(0, 100, is_open="low")] = 2e-4
    weight_decay: Annotated[float, Range(0, 10)] = 1e-5
    decay_epoch: Annotated[int, Range(0, 100_000, "epochs")] = 0
    decay_factor: Annotated[float, Range(0, 1, is_open="low")] = 0.2
    gradient_clip: Annotated[float, Range(0, 1e6)] = 0.0
    is_balanced: bool = True
    seed: Seed = 0
    memory_gb: Annotated[float, Range(0, 4096, "GB")] = 4.0
    precision: Literal["fp32", "bf16"] = "fp32"

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True)
class CompareSettings:
    """Networks and scales that the recipe compare-resolution compares.

    Attributes
    ----------
    bag_networks
        Networks on features of patches.
    image_networks
        Networks on the whole image scaled down.
    patch_network
        Network that grades patches, whose counts decide; empty leaves this approach out.
    resolutions_um_px
        Low, moderate and high resolution of these patches, µm/px.
    """

    bag_networks: Annotated[tuple[str, ...], Text("a network on bags")] = ("clam-sb", "clam-mb", "dtfd-afs")
    image_networks: Annotated[tuple[str, ...], Text("a network")] = (
        "lowres-resnet50",
        "lowres-densenet201",
        "lowres-convnext_small",
        "lowres-vit_base",
    )
    patch_network: Annotated[str, Text("a network", may_be_empty=True)] = "lowres-convnext_small"
    resolutions_um_px: Annotated[tuple[float, float, float], Range(0.05, 100, "µm/px")] = (3.5, 1.25, 0.25)

    def __post_init__(self) -> None:
        check_settings(self)
