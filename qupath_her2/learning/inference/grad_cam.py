"""Grad-CAM of convolutional networks and vision transformers.

Own code: pytorch-grad-cam keeps gradients of every layer, and scales each map to 0..1, so that the strength of the
evidence in different patches cannot be compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import ModelError
from qupath_her2.learning.preprocessing import Preparation
from qupath_her2.models.optional import need

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["explain", "heat_overlay"]


def explain(
    model: Any,
    patches: NDArray[np.uint8],
    prepare: Preparation,
    rows: NDArray[np.int64],
    classes: NDArray[np.int16] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Compute which pixels of each patch support a class: Grad-CAM [1]_.

    The channels of the last feature map are weighted by the gradients of the class's logit, averaged over the map;
    negative values are set to 0. For a vision transformer, the map consists of the tokens that enter its last block,
    without the class token.

    Parameters
    ----------
    model
        From `models.build_model` or `load_checkpoint`; on any device, left in evaluation mode.
    patches
        uint8 (n, side, side, 3) RGB.
    prepare
        Preprocessing of the patches.
    rows
        int64 (n,), their rows in the manifest.
    classes
        int (n,), the class to explain; None explains the predicted one.

    Returns
    -------
    heat
        float32 (n, side, side), 0..1, scaled to a maximum of 1 in each patch; all 0 where nothing supports the class.
    strength
        float32 (n), that maximum before scaling: comparable between patches of one network.

    Raises
    ------
    ModelError
        The network has no layer for Grad-CAM.

    References
    ----------
    .. [1] Selvaraju RR, et al. Grad-CAM: visual explanations from deep networks via gradient-based localization.
       ICCV 2017. doi:10.1109/ICCV.2017.74
    """
    need("torch")
    import torch
    from torch.nn import functional

    if model.cam_layer is None:
        raise ModelError(
            f"Model '{model.model_name}' has no feature map for Grad-CAM. Switch the maps off: [cam] is_on = false."
        )
    seen: list[Tensor] = []
    hook = model.get_submodule(model.cam_layer).register_forward_hook(lambda _m, _i, out: _keep(seen, out))
    device = next(model.parameters()).device
    model.eval()
    try:
        # Gradients are needed only from the map onwards: the layers before it, frozen or not, store nothing.
        with torch.no_grad():
            logits = model(prepare(torch.from_numpy(np.ascontiguousarray(patches)).to(device), rows))
            wanted = (
                logits.argmax(1) if classes is None else torch.from_numpy(classes.astype(np.int64)).to(device)
            )
            # The logits of different patches do not depend on each other, so one backward pass of their sum serves all.
            (gradient,) = torch.autograd.grad(logits.gather(1, wanted[:, None]).sum(), seen[0])
    finally:
        hook.remove()
    # Equation 1 of the paper: weights are the gradients averaged over the map; equation 2: their ReLU combination.
    maps, slopes = (_as_map(values.detach(), model.cam_prefix_tokens) for values in (seen[0], gradient))
    heat = (maps * slopes.mean((2, 3), keepdim=True)).sum(1, keepdim=True).relu()
    side = patches.shape[1]
    heat = functional.interpolate(heat.float(), (side, side), mode="bilinear", align_corners=False)[:, 0]
    strength = heat.amax((1, 2))
    # Where nothing supports the class the maximum is 0, and so is the map.
    scaled = heat / strength.clamp(min=torch.finfo(heat.dtype).tiny)[:, None, None]
    return scaled.cpu().numpy(), strength.cpu().numpy()


def _keep(seen: list[Tensor], out: Tensor) -> Tensor:
    """Store a layer's output, track gradients from here on, and pass on a copy: in-place layers may overwrite it."""
    import torch

    leaf = out.detach().requires_grad_(True)
    seen.append(leaf)
    # The caller's no_grad context restores the mode at its end.
    torch.set_grad_enabled(True)
    return leaf.clone()


def _as_map(values: Tensor, prefix_tokens: int | None) -> Tensor:
    """Return a feature map (N, C, h, w); tokens (N, T, C) of a square patch are arranged row by row."""
    if prefix_tokens is None:
        return values
    tokens = values[:, prefix_tokens:]
    side = round(tokens.shape[1] ** 0.5)
    return tokens.transpose(1, 2).reshape(len(tokens), tokens.shape[2], side, side)


def heat_overlay(
    patch: NDArray[np.uint8], heat: NDArray[np.float32], opacity: float = 0.5
) -> NDArray[np.uint8]:
    """Overlay a heat map on a patch, transparent where the heat is 0.

    Parameters
    ----------
    patch
        uint8 (H, W, 3) RGB.
    heat
        float32 (H, W), 0..1.
    opacity
        Opacity where the heat is 1, 0..1.

    Returns
    -------
    NDArray[np.uint8]
        uint8 (H, W, 3) RGB
    """
    grey = np.rint(255 * np.clip(heat, 0, 1)).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    # Opacity grows with the heat, so that the tissue stays visible where it is low.
    share = (opacity * np.clip(heat, 0, 1))[..., None]
    return cast("NDArray[np.uint8]", np.rint(patch * (1 - share) + colours * share).astype(np.uint8))
