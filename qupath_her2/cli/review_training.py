"""``train --from-review``: what people reviewed decides which cases train, are replayed, and test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from qupath_her2.config import Settings
    from qupath_her2.patches.manifest import PatchManifest

__all__ = ["check_known_weights", "split_by_review"]


def check_known_weights(weights: str, from_review: bool) -> None:
    """Refuse a training from a review that would not go on from a trained network."""
    from qupath_her2.errors import SettingsError

    if from_review and weights in ("pretrained", "random"):
        raise SettingsError(
            "--from-review goes on from a network that was trained before. Name its checkpoint: --weights "
            "study/her2/models/NAME/best (qupath-her2 models lists them)."
        )


def split_by_review(manifest: PatchManifest, her2: Path, replay: float, settings: Settings) -> PatchManifest:
    """Return the patches split by what people reviewed, and say how.

    Parameters
    ----------
    manifest
        Patches, split by case.
    her2
        The exchange folder with the rounds.
    replay
        Patches of other cases for each of a reviewed one.
    settings
        Its seed chooses the replayed cases.

    Returns
    -------
    PatchManifest
        From `training.review_split.review_split`.
    """
    from qupath_her2.review.known_labels import known_changes
    from qupath_her2.review.labels import labels_folder, list_labels
    from qupath_her2.training.review_split import review_split

    known = known_changes(her2)
    listed, problems = list_labels(sorted(labels_folder(her2).glob("*.csv")))
    reviewed = known.images | {one.image for one in listed}
    for note in (*known.notes, *problems):
        typer.echo(f"note    {note}", err=True)
    found = review_split(manifest, reviewed, replay=replay, seed=settings.train.seed)
    how = found.settings["split"]["review"]
    typer.echo(
        f"review   {len(how['cases'])} reviewed cases train, {how['replayed']:,} patches of others are replayed, only "
        "cases that nobody reviewed test",
        err=True,
    )
    return found
