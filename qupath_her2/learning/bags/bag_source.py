"""Bags of a cohort: features of slides, read when asked for and kept while the memory allows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qupath_her2.errors import ModelError
from qupath_her2.learning.bags.feature_files import FeatureInfo, read_feature_info, read_features

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Bags", "common_info"]

_GB = 1 << 30


class Bags:
    """The bags of a cohort, by row.

    Parameters
    ----------
    paths
        Feature file of each slide.
    memory_gb
        Features kept in memory, GB; those read first stay.
    """

    def __init__(self, paths: Sequence[Path], memory_gb: float = 4.0) -> None:
        self.info = common_info(paths)
        self._paths = tuple(paths)
        self._left = memory_gb * _GB
        self._kept: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, row: int) -> Tensor:
        """Return the features of a slide, float32 (N, D); raises ModelError for rows of NaN or a bag of nothing."""
        import torch

        if row in self._kept:
            return self._kept[row]
        # Read first in a validation, a tensor of inference mode could not be learned from later.
        with torch.inference_mode(False):
            found = torch.from_numpy(read_features(self._paths[row]).features)
        size = found.numel() * found.element_size()
        if size <= self._left:
            self._kept[row] = found
            self._left -= size
        return found


def common_info(paths: Sequence[Path]) -> FeatureInfo:
    """Return what the feature files of a cohort have in common; NaN, 0 and "" where the first does not say.

    Raises
    ------
    ModelError
        A file is missing or damaged, or files are of different encoders or scales; the message names two of them.
    """
    if not paths:
        raise ModelError("There are no feature files. Embed the slides first: qupath-her2 embed FOLDER.")
    infos = [(path, read_feature_info(path)) for path in paths]
    first_path, first = infos[0]
    for path, info in infos[1:]:
        what = _difference(first, info)
        if what:
            raise ModelError(
                f"Features '{path}' and '{first_path}' differ in {what}. Embed all slides with one encoder at one "
                "scale."
            )
    return first


def _difference(one: FeatureInfo, other: FeatureInfo) -> str:
    if one.n_features != other.n_features:
        return f"numbers per patch: {other.n_features} and {one.n_features}"
    if one.encoder != other.encoder:
        return f"their encoder: {other.encoder or 'not stated'} and {one.encoder or 'not stated'}"
    if one.weights_sha256 != other.weights_sha256:
        return f"the weights of encoder '{one.encoder}'"
    sizes = (one.pixel_size_um, other.pixel_size_um)
    # NaN in both is the same scale as far as anybody knows.
    if all(map(math.isfinite, sizes)) and abs(sizes[0] / sizes[1] - 1) > 0.02:
        return f"scale: {sizes[1]:g} and {sizes[0]:g} µm/px"
    if math.isfinite(sizes[0]) != math.isfinite(sizes[1]):
        return "scale: one of them does not state its own"
    return ""
