"""CLAM: gated attention with instance clustering, with one branch or one for each class.

Lu MY et al., Nat. Biomed. Eng. 5, 2021, doi 10.1038/s41551-020-00682-w. Names and shapes of the weights are those of
the authors' code (github.com/mahmoodlab/CLAM), so that weights can be exchanged.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from qupath_her2.models.bag_base import BagNetwork, bag_loss, in_float32, in_parts
from qupath_her2.models.bag_settings import BagNetworkSettings

__all__ = ["Clam", "smooth_svm_loss"]


def smooth_svm_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return the smooth top-1 SVM loss with margin and temperature 1, averaged over the rows.

    Berrada L, Zisserman A, Kumar MP. Smooth loss functions for deep top-k classification. ICLR 2018, eq. 10 with k = 1:
    the logarithm of the summed exponentials of the logits, each but the true one raised by the margin, minus the true
    logit. That is cross-entropy of the raised logits.
    """
    margin = 1 - functional.one_hot(target, logits.shape[1]).to(logits.dtype)
    return functional.cross_entropy(logits + margin, target)


class _GatedAttention(nn.Module):
    """Scores of patches by CLAM's gated attention (its equation 1); float (n, W) to (n, K)."""

    def __init__(self, width: int, hidden: int, dropout: float, branches: int) -> None:
        super().__init__()
        after = [nn.Dropout(dropout)] if dropout else []
        self.attention_a = nn.Sequential(nn.Linear(width, hidden), nn.Tanh(), *after)
        self.attention_b = nn.Sequential(nn.Linear(width, hidden), nn.Sigmoid(), *after)
        self.attention_c = nn.Linear(hidden, branches)

    def forward(self, encoded: Tensor) -> Tensor:
        """Return the raw scores."""
        return in_float32(self.attention_c, self.attention_a(encoded) * self.attention_b(encoded))


class Clam(BagNetwork):
    """CLAM with one attention branch, or one for each class.

    Parameters
    ----------
    n_features, n_classes
        D and C.
    settings
        Widths, dropout, and the instance clustering.
    is_multi
        One branch for each class (CLAM-MB).
    """

    def __init__(
        self, n_features: int, n_classes: int, settings: BagNetworkSettings, *, is_multi: bool
    ) -> None:
        super().__init__()
        s = self.settings = settings
        self.n_classes, self.is_multi = n_classes, is_multi
        attention = _GatedAttention(s.hidden, s.attention, s.dropout, n_classes if is_multi else 1)
        self.attention_net = nn.Sequential(
            nn.Linear(n_features, s.hidden), nn.ReLU(), nn.Dropout(s.dropout), attention
        )
        self.classifiers: nn.Module = (
            nn.ModuleList([nn.Linear(s.hidden, 1) for _ in range(n_classes)])
            if is_multi
            else nn.Linear(s.hidden, n_classes)
        )
        self.instance_classifiers = nn.ModuleList([nn.Linear(s.hidden, 2) for _ in range(n_classes)])

    def _encoded(self, bag: Tensor) -> tuple[Tensor, Tensor]:
        """Return the encoded patches (N, W) and their raw attention (K, N)."""

        def both(part: Tensor) -> tuple[Tensor, Tensor]:
            encoded = self.attention_net[:3](part)
            return encoded, self.attention_net[3](encoded)

        encoded, attention = in_parts(both, bag, self.half)
        return encoded, attention.T

    def _logits(self, encoded: Tensor, attention: Tensor) -> Tensor:
        pooled = torch.softmax(attention, dim=1) @ encoded
        if not self.is_multi:
            return self.classifiers(pooled)[0]
        assert isinstance(self.classifiers, nn.ModuleList)
        return torch.cat([one(row) for one, row in zip(self.classifiers, pooled, strict=True)])

    def scored(self, bag: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and raw attention, see `BagNetwork.scored`."""
        encoded, attention = self._encoded(bag)
        return self._logits(encoded, attention), attention

    def loss(self, bag: Tensor, label: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the weighted sum of the bag's loss and the clustering loss, see `BagNetwork.loss`."""
        encoded, attention = self._encoded(bag)
        logits = self._logits(encoded, attention)
        share = self.settings.bag_weight
        total = share * bag_loss(logits, label, weight)
        return total + (1 - share) * self.clustering_loss(encoded, attention, int(label)), logits

    def clustering_loss(self, encoded: Tensor, attention: Tensor, label: int) -> Tensor:
        """Return the loss of the instance classifiers (Lu et al. 2021, eq. 5 to 8).

        Patches of highest attention belong to the bag's class, those of lowest do not. Classes that exclude each other
        (more than two) also learn that the most attended patches are not theirs.

        Parameters
        ----------
        encoded
            float32 (N, W).
        attention
            float32 (K, N), raw.
        label
            Class of the bag.

        Returns
        -------
        Tensor
            A scalar.
        """
        k = min(self.settings.instances, len(encoded))
        excludes = self.n_classes > 2
        total = encoded.new_zeros(())
        # Ties between equal scores are broken alike for softmax and raw attention, so the raw ones serve.
        for number, classifier in enumerate(self.instance_classifiers):
            scores = attention[number if self.is_multi else 0]
            top = encoded[scores.topk(k).indices]
            if number == label:
                rows = torch.cat([top, encoded[(-scores).topk(k).indices]])
                target = torch.cat([torch.ones(k, dtype=torch.long), torch.zeros(k, dtype=torch.long)])
            elif excludes:
                rows, target = top, torch.zeros(k, dtype=torch.long)
            else:
                continue
            total = total + self._instance_loss(classifier(rows), target.to(rows.device))
        return total / self.n_classes if excludes else total

    def _instance_loss(self, logits: Tensor, target: Tensor) -> Tensor:
        if self.settings.instance_loss == "svm":
            return smooth_svm_loss(logits, target)
        return functional.cross_entropy(logits, target)
