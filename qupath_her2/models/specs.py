"""Model specifications: the table of registered networks, readable without torch.

Tests compare the stored parameter counts with the networks as built. Backbone weights are ImageNet's, published under
the licence named; our own trained weights come with a card.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["MODELS", "InputSize", "ModelSpec"]

_JOSHI = ("Joshi et al., ETASR 2025", "10.48084/etasr.12140")
_CHAUHAN = ("Chauhan et al., 2025, low against high resolution", "")
_HER2_3 = ("0", "low", "high")
_RESPONSE = ("negative", "equivocal", "positive")
_SAHA = ("Saha & Chakraborty, IEEE TIP 27(5), 2018", "10.1109/TIP.2018.2795742")
_PIXELS = ("background", "membrane", "nucleus")
_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class InputSize:
    """Side of a network's square input, px: default, minimum, and the number it must be a multiple of.

    `is_fixed`: the network is built for one side (option ``input_px``) and accepts no other afterwards.
    """

    default: int
    minimum: int = 32
    multiple: int = 1
    is_fixed: bool = False


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Description of a network before it is built.

    Attributes
    ----------
    name
        Name in the registry.
    kind
        "classification" (logits (N, C)) or "segmentation" (logits (N, C, H, W)).
    task, class_names
        Labelling task of the paper and its classes; the network can be built with any other number of classes.
    input
        Sides of the input it accepts, px.
    pixel_size_um
        Scale of the input in the paper, µm/px; NaN where the paper resizes whole images to the input.
    backbone
        timm's name of the pretrainable part, with the tag of its weights; None = no such part.
    backbone_licence
        Licence of those weights; "" = none are published.
    n_parameters, n_trainable
        Parameters as torch counts them with `class_names`; None = not counted (``timm:``).
    builder
        "module:function" in this package, called with the number of classes and `options`.
    options
        {name: default} of the further options of `build_model`.
    paper, doi, note
        Source, and what the paper leaves open or we chose.
    """

    name: str
    kind: Literal["classification", "segmentation"]
    task: str
    class_names: tuple[str, ...]
    input: InputSize
    pixel_size_um: float
    builder: str
    backbone: str | None = None
    backbone_licence: str = ""
    n_parameters: int | None = None
    n_trainable: int | None = None
    paper: str = ""
    doi: str = ""
    note: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


def _baseline(name: str, backbone: str, licence: str, total: int, trainable: int, least_px: int) -> ModelSpec:
    return ModelSpec(
        name=name,
        kind="classification",
        task="her2-response",
        class_names=_RESPONSE,
        input=InputSize(512, minimum=least_px),
        pixel_size_um=0.25,
        builder="classifiers:baseline",
        backbone=backbone,
        backbone_licence=licence,
        n_parameters=total,
        n_trainable=trainable,
        paper=_JOSHI[0],
        doi=_JOSHI[1],
        note="average pooling, batch norm, dense layer, 50 % dropout; the size of the dense layer, 512, is our choice",
        options={"hidden": 512, "dropout": 0.5},
    )


def _low_resolution(
    name: str, backbone: str, licence: str, total: int, size: InputSize, note: str = ""
) -> ModelSpec:
    return ModelSpec(
        name=f"lowres-{name}",
        kind="classification",
        task="her2-3",
        class_names=_HER2_3,
        input=size,
        pixel_size_um=_NAN,
        builder="classifiers:timm_classifier",
        backbone=backbone,
        backbone_licence=licence,
        n_parameters=total,
        n_trainable=total,
        paper=_CHAUHAN[0],
        doi=_CHAUHAN[1],
        note=f"a whole slide resized to 224 or 512 px{note}",
        options={"input_px": size.default} if size.is_fixed else {},
    )


_CLASSIFIERS = (
    ModelSpec(
        name="convoher2",
        kind="classification",
        task="her2-4",
        class_names=("0", "1+", "2+", "3+"),
        input=InputSize(256, minimum=75),
        pixel_size_um=_NAN,
        builder="classifiers:convoher2",
        backbone="inception_v3.tf_in1k",
        backbone_licence="apache-2.0",
        n_parameters=31_510_500,
        n_trainable=9_724_932,
        paper="Mridha et al., AJSE 22(1), 2023",
        doi="10.53799/ajse.v22i1.477",
        note="InceptionV3 frozen; images of 1024 px resized to 256",
    ),
    ModelSpec(
        name="se-resnet50",
        kind="classification",
        task="her2-response",
        class_names=_RESPONSE,
        input=InputSize(512),
        pixel_size_um=0.25,
        builder="classifiers:se_resnet50",
        backbone="resnet50.tv_in1k",
        backbone_licence="bsd-3-clause",
        n_parameters=26_680_515,
        n_trainable=26_680_515,
        paper=_JOSHI[0],
        doi=_JOSHI[1],
        note="the paper names no layer sizes that give its 64,412,939 parameters; these are our choice",
        options={"reduction": 16, "channels": 1024, "hidden": 512, "dropout": 0.5},
    ),
    _baseline("inception_v3", "inception_v3.tf_in1k", "apache-2.0", 22_840_291, 22_840_291, 75),
    _baseline("efficientnet_b0", "efficientnet_b0.ra_in1k", "apache-2.0", 4_667_519, 4_667_519, 32),
    _baseline("resnet50", "resnet50.tv_in1k", "bsd-3-clause", 24_562_755, 24_562_755, 32),
    ModelSpec(
        name="tumour-resnet34",
        kind="classification",
        task="tumour",
        class_names=("non-tumour", "tumour"),
        input=InputSize(256),
        pixel_size_um=0.5036,
        builder="classifiers:timm_classifier",
        backbone="resnet34.tv_in1k",
        backbone_licence="bsd-3-clause",
        n_parameters=21_285_698,
        n_trainable=21_285_698,
        paper="Che et al., Diagnostics 13:263, 2023",
        doi="10.3390/diagnostics13020263",
        note="the paper does not say whether its weights were pretrained",
    ),
    _low_resolution("resnet50", "resnet50.tv_in1k", "bsd-3-clause", 23_514_179, InputSize(224)),
    _low_resolution("densenet201", "densenet201.tv_in1k", "apache-2.0", 18_098_691, InputSize(224)),
    _low_resolution(
        "vit_base",
        "vit_base_patch16_224.augreg_in21k_ft_in1k",
        "apache-2.0",
        85_800_963,
        InputSize(224, minimum=32, multiple=16, is_fixed=True),
        "; positions are interpolated to 512 px",
    ),
    _low_resolution(
        "convnext_small",
        "convnext_small.fb_in1k",
        "apache-2.0",
        49_456_995,
        InputSize(224),
        "; also the patch classifier of approach 3",
    ),
)


def _segmenter(
    name: str,
    builder: str,
    n_parameters: int,
    options: Mapping[str, Any],
    paper: tuple[str, str],
    note: str,
    minimum: int,
) -> ModelSpec:
    return ModelSpec(
        name=name,
        kind="segmentation",
        task="membrane",
        class_names=_PIXELS,
        input=InputSize(251, minimum=minimum),
        pixel_size_um=0.25,
        builder=builder,
        n_parameters=n_parameters,
        n_trainable=n_parameters,
        paper=paper[0],
        doi=paper[1],
        note=note,
        options=options,
    )


_SEGMENTERS = (
    _segmenter(
        "her2net",
        "segmenters:her2net",
        2_870_787,
        {"width": 32, "dropout": 0.5},
        _SAHA,
        "the paper gives the layers but not their widths; these are our choice",
        minimum=32,
    ),
    _segmenter(
        "unet",
        "unet_segnet:unet",
        31_037_763,
        {"width": 64},
        ("Ronneberger et al., MICCAI 2015", "10.1007/978-3-319-24574-4_28"),
        "padded edges, batch norm",
        minimum=16,
    ),
    _segmenter(
        "segnet",
        "unet_segnet:segnet",
        29_436_803,
        {"width": 64},
        ("Badrinarayanan et al., TPAMI 39(12), 2017", "10.1109/TPAMI.2016.2644615"),
        "encoder of VGG-16, initialised at random",
        minimum=32,
    ),
    _segmenter(
        "bayesian-segnet",
        "unet_segnet:bayesian_segnet",
        29_436_803,
        {"width": 64, "dropout": 0.5},
        ("Kendall et al., BMVC 2017", "10.5244/C.31.57"),
        "mean and variance over Monte Carlo dropout samples",
        minimum=32,
    ),
)

#: All registered networks, in the order of the papers.
MODELS: Mapping[str, ModelSpec] = {spec.name: spec for spec in (*_CLASSIFIERS, *_SEGMENTERS)}
