"""Folding of batch normalisation into the convolutions before it: the same network in evaluation, with fewer passes.

On a CPU a small convolutional encoder spends more time on normalising than on convolving. torch's tracing folds too,
but is deprecated, and its graph rewriter does not know timm's normalisation with a built-in activation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["fold_batch_norm"]


def fold_batch_norm(net: nn.Module, sample: Tensor) -> int:
    """Fold every batch normalisation that follows a convolution into its weights, in place.

    Parameters
    ----------
    net
        Network in evaluation mode, on the device of `sample`. It must not be trained afterwards.
    sample
        An input, by which is found out which normalisation follows which convolution.

    Returns
    -------
    int
        Number of normalisations folded; 0 for a network without any, such as a transformer.
    """
    import torch
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    made: dict[int, nn.Module] = {}
    # Outputs are kept, or another tensor could get the identity of a freed one.
    kept: list[Tensor] = []
    pairs: list[tuple[nn.Module, nn.Module]] = []

    def after_convolution(module: nn.Module, _: object, output: Tensor) -> None:
        made[id(output)] = module
        kept.append(output)

    def before_normalisation(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if id(inputs[0]) in made:
            pairs.append((made[id(inputs[0])], module))

    # timm's convolutions with TensorFlow's padding are subclasses, and folded alike.
    convolutions = [one for one in net.modules() if isinstance(one, nn.Conv2d)]
    hooks = [one.register_forward_hook(after_convolution) for one in convolutions]
    norms = [one for one in net.modules() if isinstance(one, nn.BatchNorm2d)]
    hooks += [one.register_forward_pre_hook(before_normalisation) for one in norms]
    try:
        with torch.inference_mode():
            net(sample)
    finally:
        for hook in hooks:
            hook.remove()
    names = {module: name for name, module in net.named_modules()}
    for convolution, norm in pairs:
        fused = fuse_conv_bn_eval(convolution, norm)
        convolution.weight, convolution.bias = fused.weight, fused.bias
        # timm's BatchNormAct2d also drops out and activates; what is left of it after folding.
        rest = [getattr(norm, part, None) for part in ("drop", "act")]
        parent, _, name = names[norm].rpartition(".")
        setattr(net.get_submodule(parent), name, nn.Sequential(*(one for one in rest if one is not None)))
    return len(pairs)
