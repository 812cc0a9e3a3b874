"""Evaluation on unseen cases: metrics of patches and of images, and the worst mistakes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qupath_her2.learning.inference.grad_cam import explain, heat_overlay
from qupath_her2.learning.inference.predict import predict
from qupath_her2.learning.metrics.curves import confusion_figure
from qupath_her2.learning.preprocessing import Preparation
from qupath_her2.models.settings import CamSettings
from qupath_her2.patches.manifest import PatchManifest, select
from qupath_her2.patches.splits import image_cases
from qupath_her2.project.exchange.writing import output_errors, replace_file
from qupath_her2.report.contact_sheet import contact_sheet, paired_sheet
from qupath_her2.scoring.agreement.files import write_agreement
from qupath_her2.scoring.agreement.pairs import make_pairs
from qupath_her2.scoring.agreement.study import Agreement, agreement
from qupath_her2.scoring.votes import VoteSettings, vote
from qupath_her2.training.image_truth import image_truth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from qupath_her2.learning.inference.predict import Prediction
    from qupath_her2.models.card import ModelCard
    from qupath_her2.models.settings import PredictSettings
    from qupath_her2.patches.pixels.patch_pixels import PatchPixels
    from qupath_her2.patches.tasks import Task
    from qupath_her2.slides.stains.density_map import DensityMap

__all__ = ["Evaluation", "agreement_of_images", "evaluate", "write_evaluation"]

#: Number of misclassified patches on the contact sheet: few enough to be looked at one by one.
_WORST = 24


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Predictions of labelled patches, compared with their labels.

    Attributes
    ----------
    manifest
        The patches, all of them labelled.
    found
        Predictions of the network.
    patches, images
        Metrics; an image's true class is that of `image_truth`.
    worst
        int64 (k,), misclassified rows, most confident first.
    """

    manifest: PatchManifest
    found: Prediction
    patches: Agreement
    images: Agreement
    worst: NDArray[np.int64]


def evaluate(
    model: Any,
    card: ModelCard,
    manifest: PatchManifest,
    pixels: Callable[[PatchManifest], PatchPixels],
    *,
    split: int = 2,
    settings: PredictSettings | None = None,
    votes: VoteSettings | None = None,
    stain_maps: Sequence[DensityMap] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation | None:
    """Predict the labelled patches of a split and compare them with their labels.

    Parameters
    ----------
    model, card
        The trained network.
    manifest
        Labelled and split patches.
    pixels
        Opens a reader of the manifest's patches.
    split
        Index into `patches.manifest.SPLITS`; 2 is the test part.
    settings
        Settings of the prediction.
    votes
        Voting rule for images.
    stain_maps
        One per image; None without stain normalisation.
    progress
        Called with patches done and in total.

    Returns
    -------
    Evaluation | None
        None where the split has no labelled patch.
    """
    chosen = select(manifest, (manifest.split == split) & (manifest.label >= 0))
    if len(chosen) == 0:
        return None
    with pixels(chosen) as reader:
        found = predict(model, card, chosen, reader, settings, stain_maps=stain_maps, progress=progress)
    # A patch that could not be read has no class (-1): that is missing, not wrong.
    wrong = np.flatnonzero((found.chosen >= 0) & (found.chosen != chosen.label))
    confidence = found.probabilities[wrong, found.chosen[wrong]]
    # Most confident first: those are label errors, or what the network has misunderstood.
    return Evaluation(
        chosen,
        found,
        _patch_figures(chosen, found, card),
        _image_figures(chosen, found, card, votes),
        wrong[np.argsort(-confidence, kind="stable")],
    )


def _is_split_by_case(manifest: PatchManifest) -> bool:
    # An image without a case may show the same patient as another, so one is enough to suspect leakage.
    return manifest.settings.get("split", {}).get("kind") == "by case" and None not in manifest.cases


def _patch_figures(manifest: PatchManifest, found: Prediction, card: ModelCard) -> Agreement:
    names = card.class_names
    by_image = image_cases(manifest)
    cases = [by_image[index] for index in manifest.image.tolist()]
    pairs = make_pairs(
        [names[label] for label in manifest.label.tolist()],
        [names[code] if code >= 0 else None for code in found.chosen.tolist()],
        names,
        cases=cases,
        probabilities=_summing_to_one(found.probabilities),
        level="patch",
        # Grades are ordered, so weighted kappa applies; two classes have no order that matters.
        is_ordered=len(names) > 2,
    )
    return agreement(
        pairs, truth_by="labels of the patches' regions", is_split_by_case=_is_split_by_case(manifest)
    )


def _image_figures(
    manifest: PatchManifest, found: Prediction, card: ModelCard, votes: VoteSettings | None
) -> Agreement:
    names = card.class_names
    answer: list[str | None] = []
    shares = []
    images = np.unique(manifest.image).tolist()
    for image in images:
        rows = manifest.image == image
        said = vote(found.probabilities[rows], found.chosen[rows], settings=votes)
        answer.append(None if said.class_index is None else names[said.class_index])
        shares.append(said.probabilities)
    return agreement_of_images(manifest, images, names, answer, np.array(shares))


def agreement_of_images(
    manifest: PatchManifest,
    images: Sequence[int],
    names: Sequence[str],
    answer: Sequence[str | None],
    probabilities: NDArray[np.floating],
    task: Task | None = None,
) -> Agreement:
    """Compare the predicted classes of images with their true classes.

    Parameters
    ----------
    manifest
        Labelled patches, at least one per image without a label.
    images
        Indices into its images.
    names
        Class names.
    answer
        Predicted class of each image; None where there is none.
    probabilities
        float (n, C), class probabilities of each image.
    task
        The task of the predicted classes; None takes that of the manifest.

    Returns
    -------
    Agreement
        At slide level.
    """
    truth = image_truth(manifest, images, task)
    cases = image_cases(manifest)
    pairs = make_pairs(
        truth.names,
        answer,
        names,
        cases=[cases[image] for image in images],
        probabilities=_summing_to_one(probabilities),
        level="slide",
        is_ordered=len(names) > 2,
    )
    by_case = _is_split_by_case(manifest)
    return agreement(pairs, truth_by=truth.by, is_split_by_case=by_case)


def _summing_to_one(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return probabilities normalised to sum 1."""
    # Half precision leaves sums slightly off 1, which `make_pairs` may reject.
    wide = probabilities.astype(np.float64)
    return np.asarray(wide / wide.sum(axis=1, keepdims=True))


def write_evaluation(
    folder: Path,
    found: Evaluation,
    card: ModelCard,
    pixels: Callable[[PatchManifest], PatchPixels],
    *,
    model: Any,
    stain_maps: Sequence[DensityMap] | None = None,
    cam: CamSettings | None = None,
) -> None:
    """Write tables, confusion matrices and the most confident mistakes into `folder`.

    ``patches/`` and ``images/`` with ``agreement.json`` and ``agreement.csv``, ``confusion.svg`` of both, and
    ``mistakes.jpg`` where there are any: each patch beside the Grad-CAM of the wrong class, or alone where the network
    has no layer for Grad-CAM.

    Parameters
    ----------
    folder
        Created where missing.
    found
        From `evaluate`.
    card
        Card of the network.
    pixels
        Opens a reader of the manifest's patches.
    model
        The trained network.
    stain_maps
        One per image; None without stain normalisation.
    cam
        Opacity of the heat map.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    for name, figures in (("patches", found.patches), ("images", found.images)):
        write_agreement(folder / name, figures)
        picture = confusion_figure(figures.matrix, card.class_names, f"Test {name}")
        replace_file(folder / name / "confusion.svg", picture.encode())
    mistakes = folder / "mistakes.jpg"
    worst = found.worst[:_WORST]
    if len(worst) == 0:
        # A sheet of an earlier training in this folder would show mistakes that this network does not make.
        with output_errors(mistakes):
            mistakes.unlink(missing_ok=True)
        return
    # Before stain normalisation: a person should see the patch as it looks in the slide.
    with pixels(found.manifest) as reader:
        pictures = reader.read(worst)
    captions = [_caption(found, card, row) for row in worst.tolist()]
    if model.cam_layer is None:
        replace_file(mistakes, contact_sheet(pictures, captions))
        return
    prepare = Preparation(found.manifest, card.mean, card.std, stain_maps=stain_maps)
    heat, _ = explain(model, pictures, prepare, worst, found.found.chosen[worst])
    opacity = (cam or CamSettings()).opacity
    drawn = [heat_overlay(picture, one, opacity) for picture, one in zip(pictures, heat, strict=True)]
    replace_file(mistakes, paired_sheet(list(zip(pictures, drawn, strict=True)), captions))


def _caption(found: Evaluation, card: ModelCard, row: int) -> str:
    code = int(found.found.chosen[row])
    truth = card.class_names[int(found.manifest.label[row])]
    return f"{truth} as {card.class_names[code]} {found.found.probabilities[row, code]:.2f}"
