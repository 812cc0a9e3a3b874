"""DTFD-MIL with aggregated feature selection: pseudo-bags in two tiers.

Zhang H et al., CVPR 2022, doi 10.1109/CVPR52688.2022.01824. Names and shapes of the weights are those of the authors'
code (github.com/hrzhang1123/DTFD-MIL), so that weights can be exchanged.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from qupath_her2.models.bag_base import BagNetwork, PaperAttention, bag_loss, in_parts
from qupath_her2.models.bag_settings import BagNetworkSettings

__all__ = ["Dtfd"]

#: Hidden width of pseudo-bag attention in the authors' code of DTFD.
_DTFD_ATTENTION = 128


class _LinearLayer(nn.Module):
    """A linear layer under DTFD's name, with an optional ReLU."""

    def __init__(self, name: str, wide: int, narrow: int, *, bias: bool, has_relu: bool) -> None:
        super().__init__()
        self.add_module(name, nn.Linear(wide, narrow, bias=bias))
        self._layer, self._has_relu = name, has_relu

    def forward(self, values: Tensor) -> Tensor:
        """Return the layer's output."""
        found: Tensor = getattr(self, self._layer)(values)
        return torch.relu(found) if self._has_relu else found


class Dtfd(BagNetwork):
    """DTFD-MIL: each bag in pseudo-bags that are classified first, and whose attended sums are classified again.

    Aggregated feature selection (AFS): a pseudo-bag is represented by the sum of its patches weighted by attention.
    The second tier's loss does not reach the first tier, as in the authors' training.

    Parameters
    ----------
    n_features, n_classes
        D and C.
    settings
        Width of the reduced features, number of pseudo-bags.
    """

    def __init__(self, n_features: int, n_classes: int, settings: BagNetworkSettings) -> None:
        super().__init__()
        self.settings, self.n_classes = settings, n_classes
        width = settings.hidden
        self.dim_reduction = _LinearLayer("fc1", n_features, width, bias=False, has_relu=True)
        self.attention = PaperAttention(width, _DTFD_ATTENTION)
        self.classifier = _LinearLayer("fc", width, n_classes, bias=True, has_relu=False)
        self.att_classifier = nn.ModuleDict(
            {
                "attention": PaperAttention(width, _DTFD_ATTENTION),
                "classifier": _LinearLayer("fc", width, n_classes, bias=True, has_relu=False),
            }
        )

    def _encoded(self, bag: Tensor) -> tuple[Tensor, Tensor]:
        def both(part: Tensor) -> tuple[Tensor, Tensor]:
            reduced = self.dim_reduction(part)
            return reduced, self.attention(reduced)

        encoded, attention = in_parts(both, bag, self.half)
        return encoded, attention[:, 0]

    def pseudo_bags(self, encoded: Tensor, attention: Tensor, order: Tensor) -> Tensor:
        """Return the attended sum of each pseudo-bag, (G, W).

        Parameters
        ----------
        encoded
            float32 (N, W).
        attention
            float32 (N,), raw.
        order
            int64 (N,), a permutation that is cut into pseudo-bags of nearly equal size.

        Returns
        -------
        Tensor
            One row per pseudo-bag; fewer than asked for where the bag has fewer patches.
        """
        groups = order.tensor_split(min(self.settings.pseudo_bags, len(order)))
        return torch.stack([torch.softmax(attention[rows], 0) @ encoded[rows] for rows in groups])

    def _second_tier(self, pooled: Tensor) -> Tensor:
        attention = torch.softmax(self.att_classifier["attention"](pooled), dim=0)
        found: Tensor = self.att_classifier["classifier"](attention.T @ pooled)[0]
        return found

    def scored(self, bag: Tensor) -> tuple[Tensor, Tensor]:
        """Return the second tier's logits, and the first tier's raw attention, see `BagNetwork.scored`.

        The division into pseudo-bags is drawn with a fixed seed: the same bag has the same logits.
        """
        encoded, attention = self._encoded(bag)
        fixed = torch.Generator().manual_seed(len(bag))
        order = torch.randperm(len(bag), generator=fixed).to(bag.device)
        return self._second_tier(self.pseudo_bags(encoded, attention, order)), attention[None]

    def loss(self, bag: Tensor, label: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the sum of both tiers' losses (Zhang et al. 2022, eq. 8 and 10), see `BagNetwork.loss`."""
        encoded, attention = self._encoded(bag)
        pooled = self.pseudo_bags(encoded, attention, torch.randperm(len(bag)).to(bag.device))
        first = self.classifier(pooled)
        tier_one = functional.cross_entropy(first, label.expand(len(first)))
        logits = self._second_tier(pooled.detach())
        total = tier_one + bag_loss(logits, label, None)
        return total if weight is None else total * weight[label], logits

    def clipped_groups(self) -> list[list[nn.Parameter]]:
        """Return the parameters of each part, as the authors clip them."""
        parts = (self.dim_reduction, self.attention, self.classifier, self.att_classifier)
        return [list(part.parameters()) for part in parts]
