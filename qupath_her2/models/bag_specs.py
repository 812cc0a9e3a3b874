"""Networks that classify bags of features: the table of them, readable without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["BAG_MODELS", "BagSpec"]


@dataclass(frozen=True, slots=True)
class BagSpec:
    """A network on bags before it is built.

    Attributes
    ----------
    name
        Value of ``--model``.
    title
        What it does, in one line.
    paper, doi
        Source.
    """

    name: str
    title: str
    paper: str
    doi: str


_CLAM = ("Lu et al., Nat. Biomed. Eng. 5, 2021", "10.1038/s41551-020-00682-w")
_ILSE = ("Ilse et al., ICML 2018", "10.48550/arXiv.1802.04712")

#: All networks on bags by name.
BAG_MODELS: Mapping[str, BagSpec] = {
    spec.name: spec
    for spec in (
        BagSpec("clam-sb", "gated attention, one branch, with instance clustering", *_CLAM),
        BagSpec("clam-mb", "gated attention, one branch per class, with instance clustering", *_CLAM),
        BagSpec(
            "dtfd-afs",
            "pseudo-bags in two tiers, with aggregated feature selection",
            "Zhang et al., CVPR 2022",
            "10.1109/CVPR52688.2022.01824",
        ),
        BagSpec("abmil", "gated attention", *_ILSE),
        BagSpec("mean-pool", "a linear classifier of the mean features: the floor", *_ILSE),
        BagSpec("max-pool", "the patch with the most certain class decides: the other floor", *_CLAM),
    )
}
