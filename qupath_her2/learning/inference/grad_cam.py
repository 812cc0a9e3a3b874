"""Where a network looks: Grad-CAM of convolutional networks and of vision transformers, written out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import ModelError
from qupath_her2.learning.dataset import Preparation
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
    """Return what in each patch speaks for a class: Grad-CAM [1]_.

    The gradients of the class's logit, averaged over the map, weigh the channels of the last convolution; what is
    negative is dropped. A vision transformer's map are the tokens that enter its last block, class token left out.

    Parameters
    ----------
    model
        Of `models.build_model` or `load_checkpoint`; on any device, left in evaluation mode.
    patches
        uint8 (n, side, side, 3) RGB.
    prepare
        How patches become the network's input.
    rows
        int64 (n,), their rows in the manifest.
    classes
        int (n,), the class to ask for; None asks for the one the network chooses.

    Returns
    -------
    heat
        float32 (n, side, side), 0..1, the largest of each patch is 1; all 0 where nothing speaks for the class.
    strength
        float32 (n), that largest value before scaling: comparable between patches of one network.

    Raises
    ------
    ModelError
        The network names no layer to look at.

    References
    ----------
    .. [1] Selvaraju RR, et al. Grad-CAM: visual explanations from deep networks via gradient-based localization.
       ICCV 2017. doi:10.1109/ICCV.2017.74
    """
    need("torch")
    import torch
    from torch.nn import functional

    if model.cam_layer is None:
        raise ModelError(f"Model '{model.model_name}' names no layer whose map Grad-CAM could read.")
    seen: list[Tensor] = []
    hook = model.get_submodule(model.cam_layer).register_forward_hook(lambda _m, _i, out: _keep(seen, out))
    device = next(model.parameters()).device
    model.eval()
    try:
        # Gradients are wanted of what follows the map alone: the layers before it, frozen or not, keep nothing.
        with torch.no_grad():
            logits = model(prepare(torch.from_numpy(np.ascontiguousarray(patches)).to(device), rows))
            wanted = (
                logits.argmax(1) if classes is None else torch.from_numpy(classes.astype(np.int64)).to(device)
            )
            (gradient,) = torch.autograd.grad(logits.gather(1, wanted[:, None]).sum(), seen[0])
    finally:
        hook.remove()
    maps, slopes = (_as_map(values.detach(), model.cam_prefix_tokens) for values in (seen[0], gradient))
    heat = (maps * slopes.mean((2, 3), keepdim=True)).sum(1, keepdim=True).relu()
    side = patches.shape[1]
    heat = functional.interpolate(heat.float(), (side, side), mode="bilinear", align_corners=False)[:, 0]
    strength = heat.amax((1, 2))
    scaled = heat / strength.clamp(min=torch.finfo(heat.dtype).tiny)[:, None, None]
    return scaled.cpu().numpy(), strength.cpu().numpy()


def _keep(seen: list[Tensor], out: Tensor) -> Tensor:
    """Keep a layer's output, follow gradients from it on, and hand on a copy: what follows may write into it."""
    import torch

    leaf = out.detach().requires_grad_(True)
    seen.append(leaf)
    # Until the end of the caller's context, which sets it back.
    torch.set_grad_enabled(True)
    return leaf.clone()


def _as_map(values: Tensor, prefix_tokens: int | None) -> Tensor:
    """Return (N, C, h, w); tokens (N, T, C) of a square patch are laid out in rows."""
    if prefix_tokens is None:
        return values
    tokens = values[:, prefix_tokens:]
    side = round(tokens.shape[1] ** 0.5)
    return tokens.transpose(1, 2).reshape(len(tokens), tokens.shape[2], side, side)


def heat_overlay(
    patch: NDArray[np.uint8], heat: NDArray[np.float32], opacity: float = 0.5
) -> NDArray[np.uint8]:
    """Return a patch with its heat laid over it in colours, clear where there is none.

    Parameters
    ----------
    patch
        uint8 (H, W, 3) RGB.
    heat
        float32 (H, W), 0..1.
    opacity
        Of the hottest place, 0..1.

    Returns
    -------
    NDArray[np.uint8]
        uint8 (H, W, 3) RGB
    """
    grey = np.rint(255 * np.clip(heat, 0, 1)).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    share = (opacity * np.clip(heat, 0, 1))[..., None]
    return cast("NDArray[np.uint8]", np.rint(patch * (1 - share) + colours * share).astype(np.uint8))
