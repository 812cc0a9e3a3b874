"""Networks that classify a bag of features: CLAM, DTFD with aggregated feature selection, attention, mean, maximum.

A bag is float32 (N, D), the features of a slide's patches. Names and shapes of the weights are those of the authors'
code, so that weights can be exchanged: github.com/mahmoodlab/CLAM and github.com/hrzhang1123/DTFD-MIL.

Patches are encoded in parts, whose intermediate values are computed again in the backward pass: memory grows by about
4 kB a patch, whatever the width of the attention.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from qupath_her2.errors import SettingsError
from qupath_her2.models.bag_settings import BagNetworkSettings
from qupath_her2.models.bag_specs import BAG_MODELS

__all__ = ["BagNetwork", "build_bag_network", "in_parts", "smooth_svm_loss"]

#: Patches encoded at once; the values of a part are about 20 kB a patch.
_ROWS_AT_ONCE = 8192
#: Hidden width of pseudo-bag attention in the authors' code of DTFD.
_DTFD_ATTENTION = 128


def in_parts(function: Callable[[Tensor], Tensor], bag: Tensor) -> Tensor:
    """Apply `function` to the rows of a bag part by part, and return the joined results; see the module."""
    if len(bag) <= _ROWS_AT_ONCE:
        return function(bag)
    parts = bag.split(_ROWS_AT_ONCE)
    if not torch.is_grad_enabled():
        return torch.cat([function(part) for part in parts])
    return torch.cat([checkpoint(function, part, use_reentrant=False) for part in parts])


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
        return self.attention_c(self.attention_a(encoded) * self.attention_b(encoded))


class BagNetwork(nn.Module):
    """Base class: what all networks on bags offer.

    ``model_name``, ``n_classes`` and ``options`` are those of its card; ``weights_source`` is "random".
    """

    model_name: str
    n_classes: int
    options: dict[str, Any]
    weights_source = "random"

    def forward(self, bag: Tensor) -> Tensor:
        """Return the logits of a bag, float32 (N, D) to (C,)."""
        return self.scored(bag)[0]

    def scored(self, bag: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits (C,), and the raw attention of each patch (K, N), K = 1 or C; without softmax."""
        raise SettingsError(f"'{type(self).__name__}' is the base class of networks on bags.")

    def loss(self, bag: Tensor, label: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the training loss of a bag, and its logits (C,).

        Parameters
        ----------
        bag
            float32 (N, D).
        label
            int64 scalar.
        weight
            float32 (C,), weights of the classes; None weighs them alike.

        Returns
        -------
        tuple[Tensor, Tensor]
            A scalar, and the logits.
        """
        logits = self(bag)
        return _bag_loss(logits, label, weight), logits

    def clipped_groups(self) -> list[list[nn.Parameter]]:
        """Return the parameters in the groups whose gradients are clipped together."""
        return [list(self.parameters())]


def _bag_loss(logits: Tensor, label: Tensor, weight: Tensor | None) -> Tensor:
    found = functional.cross_entropy(logits[None], label[None], reduction="none")[0]
    return found if weight is None else found * weight[label]


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

        def both(part: Tensor) -> Tensor:
            encoded = self.attention_net[:3](part)
            return torch.cat([encoded, self.attention_net[3](encoded)], dim=1)

        joined = in_parts(both, bag)
        return joined[:, : self.settings.hidden], joined[:, self.settings.hidden :].T

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
        total = share * _bag_loss(logits, label, weight)
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


class _PaperAttention(nn.Module):
    """Gated attention of Ilse et al. 2018 (eq. 9), by the names of DTFD's code; float (n, W) to (n, 1)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.attention_V = nn.Sequential(nn.Linear(width, hidden), nn.Tanh())
        self.attention_U = nn.Sequential(nn.Linear(width, hidden), nn.Sigmoid())
        self.attention_weights = nn.Linear(hidden, 1)

    def forward(self, encoded: Tensor) -> Tensor:
        """Return the raw scores."""
        return self.attention_weights(self.attention_V(encoded) * self.attention_U(encoded))


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
        self.attention = _PaperAttention(width, _DTFD_ATTENTION)
        self.classifier = _LinearLayer("fc", width, n_classes, bias=True, has_relu=False)
        self.att_classifier = nn.ModuleDict(
            {
                "attention": _PaperAttention(width, _DTFD_ATTENTION),
                "classifier": _LinearLayer("fc", width, n_classes, bias=True, has_relu=False),
            }
        )

    def _encoded(self, bag: Tensor) -> tuple[Tensor, Tensor]:
        def both(part: Tensor) -> Tensor:
            reduced = self.dim_reduction(part)
            return torch.cat([reduced, self.attention(reduced)], dim=1)

        joined = in_parts(both, bag)
        return joined[:, :-1], joined[:, -1]

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
        total = tier_one + _bag_loss(logits, label, None)
        return total if weight is None else total * weight[label], logits

    def clipped_groups(self) -> list[list[nn.Parameter]]:
        """Return the parameters of each part, as the authors clip them."""
        parts = (self.dim_reduction, self.attention, self.classifier, self.att_classifier)
        return [list(part.parameters()) for part in parts]


class Abmil(BagNetwork):
    """Gated attention of Ilse et al. 2018 over encoded patches; settings as `Clam`, without clustering."""

    def __init__(self, n_features: int, n_classes: int, settings: BagNetworkSettings) -> None:
        super().__init__()
        self.settings, self.n_classes = settings, n_classes
        self.encoder = nn.Sequential(
            nn.Linear(n_features, settings.hidden), nn.ReLU(), nn.Dropout(settings.dropout)
        )
        self.attention = _PaperAttention(settings.hidden, settings.attention)
        self.classifier = nn.Linear(settings.hidden, n_classes)

    def scored(self, bag: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and raw attention, see `BagNetwork.scored`."""

        def both(part: Tensor) -> Tensor:
            encoded = self.encoder(part)
            return torch.cat([encoded, self.attention(encoded)], dim=1)

        joined = in_parts(both, bag)
        encoded, attention = joined[:, :-1], joined[:, -1]
        return self.classifier(torch.softmax(attention, 0) @ encoded), attention[None]


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
        logits = in_parts(lambda part: self.classifier(self.fc(part)), bag)
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
