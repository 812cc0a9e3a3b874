"""``train`` for classification recipes: one network or one per fold, then metrics, warnings and output paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from qupath_her2.cli.options import ProgressKind
from qupath_her2.cli.progress import say_json
from qupath_her2.cli.tables import say_figures
from qupath_her2.cli.training_progress import training_view
from qupath_her2.scoring.agreement.tables import agreement_tables, fold_table

if TYPE_CHECKING:
    from qupath_her2.training.cross_validation import TrainedFolds
    from qupath_her2.training.types import TrainedNetwork, TrainJob

__all__ = ["train_classifiers"]


def train_classifiers(job: TrainJob, folds: int | None, progress: ProgressKind) -> int:
    """Train one network, or one per fold, and print its metrics.

    Parameters
    ----------
    job
        What to train, on which patches.
    folds
        Number of folds of a cross-validation by case; None trains one network.
    progress
        How progress is shown.

    Returns
    -------
    int
        Exit code 0.
    """
    from qupath_her2.training.classifier import train_network
    from qupath_her2.training.cross_validation import train_folds

    if folds is None:
        with training_view(progress) as view:
            found = train_network(job, progress=view.training, predicting=view.predicting)
        _say_training(found, job, progress)
        return 0
    with training_view(progress) as view:
        crossed = train_folds(
            job,
            folds,
            on_fold=lambda number: view.begin(f"fold {number} of {folds}"),
            progress=view.training,
            predicting=view.predicting,
        )
    _say_folds(crossed, job, progress)
    return 0


def _say_folds(found: TrainedFolds, job: TrainJob, progress: ProgressKind) -> None:
    """Print mean and SD of each metric over the folds, each warning once, and the path of the table."""
    if progress is ProgressKind.json:
        accuracy = next(one.mean for one in found.figures["images"] if one.name == "accuracy")
        say_json(event="trained", folder=str(job.out), folds=len(found.networks), accuracy=accuracy)
        return
    # The folds share most warnings.
    said = [text for one in found.networks for text in (*one.left_out, *one.result.warnings)]
    for text in dict.fromkeys(said):
        typer.echo(text, err=True)
    for name, figures in found.figures.items():
        typer.echo(f"{name}")
        say_figures(fold_table(figures))
    typer.echo(f"{'control trained on shuffled labels; ' if job.is_control else ''}research use only")
    typer.echo(f"folds    {job.out / 'folds.csv'}")


def _say_training(found: TrainedNetwork, job: TrainJob, progress: ProgressKind) -> None:
    """Print the metrics of the test part, all warnings, and the path of the checkpoint."""
    result = found.result
    if progress is ProgressKind.json:
        accuracy = None if found.test is None else found.test.images.accuracy.value
        say_json(
            event="trained", checkpoint=str(found.checkpoint), best_epoch=result.best_epoch, accuracy=accuracy
        )
        return
    # A damaged slide has one sentence per unread patch: five are enough to see which.
    for warning in (*found.left_out, *result.warnings, *result.unread[:5]):
        typer.echo(warning, err=True)
    if found.test is None:
        typer.echo("No labelled test patches: how well it does on unseen cases is unknown.")
    else:
        for figures in (found.test.patches, found.test.images):
            say_figures(agreement_tables(figures)[0])
        for kind, figures in found.heads.items():
            right = figures.accuracy
            typer.echo(f"patch counts, {kind}: {right.k} of {right.n} images correct")
    typer.echo(
        f"best epoch {result.best_epoch} of {len(result.history)}, {result.seconds:.0f} s on {result.device}; "
        f"{'control trained on shuffled labels; ' if job.is_control else ''}research use only"
    )
    typer.echo(f"network  {found.checkpoint}.safetensors")
