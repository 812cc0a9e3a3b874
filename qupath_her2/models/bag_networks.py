"""Networks that classify a bag of features, by name: CLAM, DTFD, and here plain attention, mean and maximum.

A bag is float32 (N, D), the features of a slide's patches.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from qupath_her2.errors import SettingsError
from qupath_her2.models.bag_base import BagNetwork, PaperAttention, in_float32, in_parts
from qupath_her2.models.bag_settings import BagNetworkSettings
from qupath_her2.models.bag_specs import BAG_MODELS
from qupath_her2.models.clam import Clam
from qupath_her2.models.dtfd import Dtfd

__all__ = ["Abmil", "MaxPool", "MeanPool", "build_bag_network"]


class Abmil(BagNetwork):
    """Gated attention of Ilse et al. 2018 over encoded patches; settings as `Clam`, without clustering."""

    def __init__(self, n_features: int, n_classes: int, settings: BagNetworkSettings) -> None:
        super().__init__()
        self.settings, self.n_classes = settings, n_classes
        self.encoder = nn.Sequential(
            nn.Linear(n_features, settings.hidden), nn.ReLU(), nn.Dropout(settings.dropout)
        )
        self.attention = PaperAttention(settings.hidden, settings.attention)
        self.classifier = nn.Linear(settings.hidden, n_classes)

    def scored(self, bag: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and raw attention, see `BagNetwork.scored`."""

        def both(part: Tensor) -> tuple[Tensor, Tensor]:
            encoded = self.encoder(part)
            return encoded, self.attention(encoded)

        encoded, attention = in_parts(both, bag, self.half)
        return self.classifier(torch.softmax(attention[:, 0], 0) @ encoded), attention.T


class MeanPool(BagNetwork):
    """A linear classifier of the mean features; every patch has the same attention."""

    def __init__(self, n_features: int, n_classes: int, settings: BagNetworkSettings) -> None:
        super().__init__()
        self.settings, self.n_classes = settings, n_classes
        self.classifier = nn.Linear(n_features, n_classes)

    def scored(self, bag: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and equal attention, see `BagNetwork.scored`."""
        return self.classifier(bag.mean(dim=0)), bag.new_zeros(1, len(bag))


class MaxPool(BagNetwork):
    """Patches are classified one by one, and the most certain decides (the baselines MIL_fc and MIL_fc_mc of CLAM).

    With two classes the patch surest of the second decides; with more, the patch surest of any.
    """

    def __init__(self, n_features: int, n_classes: int, settings: BagNetworkSettings) -> None:
        super().__init__()
        self.settings, self.n_classes = settings, n_classes
        self.fc = nn.Sequential(
            nn.Linear(n_features, settings.hidden), nn.ReLU(), nn.Dropout(settings.dropout)
        )
        self.classifier = nn.Linear(settings.hidden, n_classes)

    def scored(self, bag: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of the deciding patch, and how sure each patch is, see `BagNetwork.scored`."""
        (logits,) = in_parts(lambda part: (in_float32(self.classifier, self.fc(part)),), bag, self.half)
        sure = torch.log_softmax(logits, dim=1)
        surest = sure[:, 1] if self.n_classes == 2 else sure.max(dim=1).values
        return logits[surest.argmax()], surest[None]


_BUILDERS: dict[str, Callable[[int, int, BagNetworkSettings], BagNetwork]] = {
    "clam-sb": lambda d, c, s: Clam(d, c, s, is_multi=False),
    "clam-mb": lambda d, c, s: Clam(d, c, s, is_multi=True),
    "dtfd-afs": Dtfd,
    "abmil": Abmil,
    "mean-pool": MeanPool,
    "max-pool": MaxPool,
}


def build_bag_network(
    name: str, n_features: int, n_classes: int, settings: BagNetworkSettings | None = None, *, seed: int = 0
) -> BagNetwork:
    """Build a network on bags with random weights.

    Parameters
    ----------
    name
        A key of `bag_specs.BAG_MODELS`.
    n_features, n_classes
        Numbers per patch, D, and of classes, C.
    settings
        Widths, dropout, and what is the network's own.
    seed
        Seed of the weights; torch's own generator is left as it was.

    Returns
    -------
    BagNetwork
        On the CPU, in training mode.

    Raises
    ------
    SettingsError
        There is no network of this name, or fewer than two classes.
    """
    if name not in BAG_MODELS:
        raise SettingsError(f"Unknown network on bags {name!r}. There are {', '.join(BAG_MODELS)}.")
    if n_classes < 2 or n_features < 1:
        raise SettingsError(
            f"Network '{name}' needs at least 2 classes and 1 feature, not {n_classes} and {n_features}."
        )
    s = settings or BagNetworkSettings()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = _BUILDERS[name](n_features, n_classes, s)
    net.model_name, net.n_classes = name, n_classes
    return net
