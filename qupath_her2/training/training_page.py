"""Report of a training: one HTML page built from the files in its folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qupath_her2.patches.published_split import split_words
from qupath_her2.provenance import versions
from qupath_her2.report.training import Part, Picture, write_training_page
from qupath_her2.scoring.agreement.tables import Table, agreement_tables

if TYPE_CHECKING:
    from pathlib import Path

    from qupath_her2.training.types import TrainedNetwork, TrainJob

__all__ = ["write_training_report"]

_SVG, _JPEG = "image/svg+xml", "image/jpeg"


def write_training_report(job: TrainJob, found: TrainedNetwork, *, has_cam: bool) -> None:
    """Write ``report.html`` of a finished training beside its checkpoint.

    Parameters
    ----------
    job
        The training; its figures are read from its folder.
    found
        The result.
    has_cam
        Whether the network has a layer for Grad-CAM.

    Raises
    ------
    OutputError
        The page cannot be written.
    """
    result, test = found.result, job.out / "test"
    # Pictures are embedded, so that the page can be mailed as one file.
    figures = [] if found.test is None else [("patches", found.test.patches), ("images", found.test.images)]
    parts = [Part("Training", _pictures((job.out / "curves.svg", "Loss and accuracy of each epoch", _SVG)))]
    for name, one in figures:
        confusion = (test / name / "confusion.svg", f"Test {name}: truth in rows, answers in columns", _SVG)
        parts.append(Part(f"Test {name}", _pictures(confusion), agreement_tables(one)))
    if found.heads:
        rows = tuple((kind, f"{one.accuracy.k} of {one.accuracy.n}") for kind, one in found.heads.items())
        parts.append(Part("Images by patch counts", (), (Table("Correct", ("head", "images"), rows),)))
    parts.append(
        Part("Worst mistakes", _pictures((test / "mistakes.jpg", _mistakes_caption(found, has_cam), _JPEG)))
    )
    # What a reader of the figures must know to judge them; a split other than by case above all.
    facts = {
        "recipe": f"{job.recipe.name}: {job.recipe.title}",
        "paper": job.recipe.paper,
        "network": job.model,
        "classes": ", ".join(found.card.class_names),
        "patches": ", ".join(f"{name}: {count:,}" for name, count in job.manifest.label_counts().items()),
        "split": split_words(job.manifest),
        "epochs": f"{len(result.history)}, best {result.best_epoch}; {result.seconds:.0f} s on {result.device}",
    }
    title = f"Training of {job.recipe.name}" + (", control on shuffled labels" if job.is_control else "")
    write_training_page(
        job.out / "report.html",
        title,
        facts,
        parts,
        version=versions()["qupath-her2"],
        warnings=(*found.left_out, *result.warnings),
    )


def _mistakes_caption(found: TrainedNetwork, has_cam: bool) -> str:
    # The total tells how many more there are than the sheet shows.
    n = 0 if found.test is None else len(found.test.worst)
    text = f"Misclassified patches of unseen cases, most confident first ({n} in total)"
    return f"{text}; beside each the Grad-CAM of the predicted class" if has_cam else text


def _pictures(*listed: tuple[Path, str, str]) -> tuple[Picture, ...]:
    """Return the pictures that exist: a network without mistakes has no sheet of them."""
    return tuple(
        Picture(caption, path.read_bytes(), kind) for path, caption, kind in listed if path.is_file()
    )
