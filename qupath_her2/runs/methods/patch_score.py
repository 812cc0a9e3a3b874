"""Patch votes: from the predicted classes of patches to one class for each region and for the image."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.errors import ModelError
from qupath_her2.models.count_heads import count_classes_per_image, load_count_head
from qupath_her2.records import NOT_MEASURED, PatchTable, Prediction, Score, SlideScore
from qupath_her2.scoring.votes import RULES, vote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from qupath_her2.models.card import ModelCard
    from qupath_her2.records import Region
    from qupath_her2.scoring.votes import VoteSettings

__all__ = ["NOT_A_SCORE", "score_of_patches"]

_NO_GUIDELINE = "none"
#: Ends every reason: a predicted class must never be mistaken for a guideline score.
NOT_A_SCORE = "This is the prediction of a network, not a score by a guideline. Research use only."


def score_of_patches(
    votes: VoteSettings,
    head: Path | None,
    card: ModelCard,
    table: PatchTable,
    regions: Sequence[Region],
    by_core: bool,
    warnings: tuple[str, ...],
    counts: NDArray[np.int64] | None = None,
) -> SlideScore:
    """Combine the predicted patches of an image into one class for it and one for each region.

    Parameters
    ----------
    votes
        Voting rule.
    head
        File of a head over patch counts, which then classifies the image; None lets the patches vote.
    card
        Of the network.
    table
        Predicted patches.
    regions
        Indexed by the table's `region` column.
    by_core
        Each region is a TMA core, and the slide has no class.
    warnings
        Sentences for the image's score.
    counts
        int64 (C,), patches of each class in all tissue of the image, which a head takes; None counts the table.

    Returns
    -------
    SlideScore
        With the status ``predicted``, or ``not assessable`` where no patch could be read.

    Raises
    ------
    ModelError
        The head was trained with another network.
    """
    rows = {str(region.uuid): table.region == number for number, region in enumerate(regions)}
    of_regions = {uuid: _score(votes, card, table, mask, ()) for uuid, mask in rows.items()}
    whole = _score(votes, card, table, np.ones(len(table), bool), warnings)
    # Heads are trained on the counts of whole images, so regions are always voted.
    if head is not None and whole.prediction is not None:
        whole = _by_head(head, card, table, whole, counts)
    if by_core:
        reason = f"Each of the {len(regions)} cores has its own class; the slide has none. {NOT_A_SCORE}"
        whole = Score(
            "not assessable", None, reason, _NO_GUIDELINE, warnings=warnings, refusal_code="by_core"
        )
    return SlideScore(
        **{name: getattr(whole, name) for name in Score.__dataclass_fields__}, regions=of_regions
    )


def _by_head(
    path: Path, card: ModelCard, table: PatchTable, voted: Score, counts: NDArray[np.int64] | None
) -> Score:
    """Return the voted score with the class of a head over the image's patch counts in place of the vote's."""
    assert voted.prediction is not None
    head = load_count_head(path)
    if head.patch_classes != card.class_names:
        raise ModelError(
            f"Head '{path}' counts the classes {', '.join(head.patch_classes)}, but the network predicts "
            f"{', '.join(card.class_names)}. Use the head that was trained with this network."
        )
    where = "its patches" if counts is None else "the patches of all tissue"
    if counts is None:
        image = np.zeros(len(table), np.int32)
        counts = count_classes_per_image(image, _codes(table), 1, len(card.class_names))[0]
    probabilities = head.predict(counts[None])[0]
    # NaN: no patch has a class, so there is nothing to count and the vote stands.
    if not np.isfinite(probabilities).all():
        return voted
    name = head.slide_classes[int(probabilities.argmax())]
    rule = f"{head.kind} over the counts of {where}"
    prediction = replace(
        voted.prediction,
        n_patches=int(counts.sum()),
        class_name=name,
        probabilities=dict(zip(head.slide_classes, map(float, probabilities), strict=True)),
        rule=rule,
    )
    best = f"'{name}' ({rule}, {probabilities.max():.2f})"
    reason = f"{_patches(prediction.n_patches)} by '{prediction.model}': {best}. {NOT_A_SCORE}"
    return replace(voted, reason=reason, prediction=prediction)


def _patches(n: int) -> str:
    return f"{n:,} patch{'' if n == 1 else 'es'}"


def _codes(table: PatchTable) -> NDArray[np.int16]:
    """Return the class of each patch, int16 (N,), -1 for none, as `scoring.votes` expects."""
    # Widened first: in uint8, -1 would wrap around to 255.
    codes = table.patch_class.astype(np.int16)
    return np.where(codes == NOT_MEASURED, np.int16(-1), codes)


def _score(
    votes: VoteSettings,
    card: ModelCard,
    table: PatchTable,
    mask: NDArray[np.bool_],
    warnings: tuple[str, ...],
) -> Score:
    """Return the class that the patches of `mask` vote for."""
    found = vote(table.probabilities[mask], _codes(table)[mask], settings=votes)
    if found.n_patches == 0:
        reason = f"Not assessable: there is no readable patch here. {NOT_A_SCORE}"
        return Score(
            "not assessable", None, reason, _NO_GUIDELINE, warnings=warnings, refusal_code="no_patches"
        )
    name = None if found.class_index is None else card.class_names[found.class_index]
    # JSON has no NaN: a class without a probability is left out.
    shares = {
        other: float(value)
        for other, value in zip(card.class_names, found.probabilities, strict=True)
        if math.isfinite(value)
    }
    # The recipe tells more than the architecture, which several recipes may share.
    who = card.recipe or card.model
    voted = "no class" if name is None else f"'{name}'"
    share = "" if name is None else f", {shares[name]:.2f}"
    return Score(
        "predicted",
        None,
        f"{_patches(found.n_patches)} by '{who}': {voted} ({RULES[votes.rule]}{share}). {NOT_A_SCORE}",
        _NO_GUIDELINE,
        warnings=warnings,
        prediction=Prediction(who, card.task, name, shares, found.n_patches, RULES[votes.rule]),
    )
