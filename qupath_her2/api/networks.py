"""Patches, training and prediction from Python; neither QuPath nor Java is needed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qupath_her2.api.project import Project, ProjectImage, open_project
from qupath_her2.api.served_prediction import ServedPrediction, frame_or_reason, served_prediction
from qupath_her2.api.tables import manifest_frame
from qupath_her2.errors import PatchError, ServiceError
from qupath_her2.models.card import read_card
from qupath_her2.models.specs import MODELS, ModelSpec
from qupath_her2.patches.cutting.cut_patches import CutContext, cut_patches
from qupath_her2.patches.datasets.sources import project_source
from qupath_her2.patches.manifest import PatchManifest, write_manifest
from qupath_her2.patches.tasks import SEGMENTATION, find_task
from qupath_her2.project.exchange.images import PREDICTIONS
from qupath_her2.project.exchange.locks import lock_image
from qupath_her2.recipes import RECIPES, find_recipe
from qupath_her2.records import ImageResult
from qupath_her2.runs.methods.patches import PatchesMethod
from qupath_her2.runs.options import RunOptions, ScoreJob
from qupath_her2.runs.plan import find_settings
from qupath_her2.runs.score_image import measure_image
from qupath_her2.runs.write_run import write_run
from qupath_her2.slides.readers.view import open_image

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from qupath_her2.config import Settings
    from qupath_her2.records import PatchTable, SlideScore
    from qupath_her2.runs.types import FinishedImage, Inputs
    from qupath_her2.server.discovery import RunningService
    from qupath_her2.training.types import TrainedNetwork

__all__ = [
    "ImagePrediction",
    "PatchSet",
    "TrainingRun",
    "list_models",
    "make_patches",
    "predict",
    "save_result",
    "train",
]


@dataclass(frozen=True, slots=True, eq=False)
class PatchSet:
    """Labelled patches, split by case.

    Attributes
    ----------
    manifest
        Boxes, labels and splits; pixels stay in the slides.
    folder
        Folder of the manifest.
    settings
        Settings by which the patches were cut.
    """

    manifest: PatchManifest
    folder: Path
    settings: Settings

    @property
    def table(self) -> Any:
        """The patches as a pandas DataFrame, see `manifest_frame`."""
        return manifest_frame(self.manifest)

    def __len__(self) -> int:
        return len(self.manifest)


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRun:
    """A finished training.

    Attributes
    ----------
    trained
        The network with its metrics.
    """

    trained: TrainedNetwork

    @property
    def checkpoint(self) -> Path:
        """The best weights, path without ending."""
        return self.trained.checkpoint

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics of the test images; empty without test cases.

        ``accuracy``, ``macro_f1``, ``macro_auc``, ``kappa_none``, and for ordered classes ``kappa_linear`` and
        ``kappa_quadratic``; 95 % intervals as ``…_low`` and ``…_high`` where they are computed.
        """
        if self.trained.test is None:
            return {}
        found = self.trained.test.images
        metrics = {
            "accuracy": found.accuracy.value,
            "accuracy_low": found.accuracy.interval[0],
            "accuracy_high": found.accuracy.interval[1],
            "macro_f1": found.macro_f1,
            "macro_auc": found.macro_auc,
        }
        for weights, kappa in found.kappa.items():
            metrics |= {
                f"kappa_{weights}": kappa.value,
                f"kappa_{weights}_low": kappa.low,
                f"kappa_{weights}_high": kappa.high,
            }
        return metrics

    @property
    def confusion(self) -> NDArray[Any] | None:
        """int64 (C, C) of the test images, truth in rows, predictions in columns; None without test cases."""
        return None if self.trained.test is None else self.trained.test.images.matrix


@dataclass(frozen=True, slots=True, eq=False)
class ImagePrediction:
    """Prediction of one image, not yet saved.

    Attributes
    ----------
    job, inputs, finished
        Job, inputs and result, as `save_result` needs them.
    seconds
        Time it took.
    """

    job: ScoreJob
    inputs: Inputs
    finished: FinishedImage
    seconds: float

    @property
    def patches(self) -> PatchTable | None:
        """Boxes and class probabilities of the patches; None where the image was refused."""
        return self.finished.patches

    @property
    def table(self) -> Any:
        """The patches as a pandas DataFrame, see `patch_frame`."""
        return frame_or_reason(self.finished.patches, self.finished.score)

    @property
    def score(self) -> SlideScore:
        """The class of image and regions, or the reason why there is none."""
        return self.finished.score


def make_patches(
    project: Project | str | Path,
    *,
    recipe: str,
    settings: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> PatchSet:
    """Cut labelled patches from a project's annotations, split by case, as ``qupath-her2 patches`` does.

    Parameters
    ----------
    project
        From `open_project`, or a folder.
    recipe
        A published system that classifies patches, e.g. ``se-resnet50``.
    settings
        Tables of ``her2.toml`` that override the recipe's and the folder's, e.g.
        ``{"patches": {"grid": {"patch_size_px": 128}}}``.
    name
        Folder below ``her2/patches``; None takes the recipe's name.

    Returns
    -------
    PatchSet
        Written to its folder.

    Raises
    ------
    SettingsError
        An unknown recipe or setting, or the recipe of a segmenter.
    PatchError
        No patch is left; the message counts the causes.
    """
    opened = project if isinstance(project, Project) else open_project(project)
    chosen = find_recipe(recipe)
    # Windows for segmenters come from cells, not from labels of regions, and need options of their own.
    if chosen.task == SEGMENTATION.name:
        raise PatchError(
            f"Recipe '{recipe}' trains a segmenter on windows. Cut them with: qupath-her2 patches FOLDER "
            f"--recipe {recipe}."
        )
    # The recipe's settings replace the defaults; the folder's her2.toml and `settings` win over them.
    used = find_settings(opened.folder, None, settings, recipe=chosen)
    source = project_source(
        opened.folder,
        task=find_task(used.patches.task),
        refs=[image.ref for image in opened.images],
        her2=opened.her2,
        label_column=used.patches.label_column,
    )
    manifest = cut_patches(source, used.patches, CutContext(used.regions, used.tissue))
    folder = opened.her2 / "patches" / (name or recipe)
    write_manifest(folder, manifest)
    return PatchSet(manifest, folder, used)


def train(
    patches: PatchSet,
    *,
    recipe: str,
    out: str | Path,
    settings: Mapping[str, Any] | None = None,
    weights: str | Path = "pretrained",
    resume: bool = True,
) -> TrainingRun:
    """Train a recipe's network on labelled patches, as ``qupath-her2 train`` does.

    Ctrl-C leaves the last checkpoint; the same call resumes from it.

    Parameters
    ----------
    patches
        From `make_patches`.
    recipe
        The published system.
    out
        Folder of the checkpoint.
    settings
        Tables of ``her2.toml`` that override the recipe's, e.g. ``{"train": {"epochs": 5}}``.
    weights
        ``pretrained``, ``random``, ``shipped``, or a checkpoint or weights file to start from.
    resume
        Continue the training in `out` if there is one with the same settings.

    Returns
    -------
    TrainingRun
        Checkpoint, and metrics on cases that the network never saw.

    Raises
    ------
    TrainingError, ModelError, OutputError
        See `training.classifier.train_network`.
    """
    # Here, not above: torch is loaded by whoever trains, not by whoever imports the package.
    from qupath_her2.training.classifier import train_network
    from qupath_her2.training.types import TrainJob

    chosen = find_recipe(recipe)
    used = find_settings(patches.folder, None, settings, recipe=chosen)
    # Any other word is a path, whose checkpoint or weights file is checked when the network is built.
    start = weights if weights in ("pretrained", "random", "shipped") else Path(weights)
    job = TrainJob(
        manifest=patches.manifest,
        recipe=chosen,
        settings=used,
        out=Path(out),
        model=chosen.model,
        weights=start,  # type: ignore[arg-type]
        resume=resume,
    )
    return TrainingRun(train_network(job))


def predict(
    image: ProjectImage,
    *,
    model: str | Path,
    whole_tissue: bool = False,
    settings: Mapping[str, Any] | None = None,
    service: bool | str | RunningService = False,
) -> ImagePrediction | ServedPrediction:
    """Predict the patches of one image by a trained network; nothing is written.

    Parameters
    ----------
    image
        Of an opened project.
    model
        Checkpoint, path without ending; with `service`, the id by which it offers the network.
    whole_tissue
        Predict all tissue where there is no tumour region.
    settings
        Tables of ``her2.toml`` that override the recipe's and the folder's.
    service
        Let a running service do it, as for `run`; the image is classified as ``qupath-her2 predict`` does it.

    Returns
    -------
    ImagePrediction | ServedPrediction
        Patches, and the class of image and regions; a refusal is a result too.

    Raises
    ------
    ModelError
        The checkpoint is damaged, or does not fit the image's pixel size.
    """
    start = time.monotonic()
    if service is not False:
        if settings is not None:
            raise ServiceError("A service has settings of its own. Leave settings= or service= out.")
        return served_prediction(image, str(model), service, whole_tissue=whole_tissue)
    # The card names the recipe it was trained by, whose patches the prediction must lay in the same way.
    checkpoint = Path(model).absolute()
    recipe = RECIPES.get(read_card(checkpoint).recipe)
    used = find_settings(image.folder, None, settings, recipe=recipe)
    options = RunOptions(
        out=image.her2 / PREDICTIONS,
        method=PatchesMethod(checkpoint),
        # A recipe for whole images has one patch per image, so it needs no region.
        whole_tissue=whole_tissue or used.patches.whole_image,
    )
    # In a folder of their own: a prediction must never become the current score of an image.
    job = ScoreJob(image.ref, image.her2 / PREDICTIONS, used, None, options)
    with open_image(image.ref) as slide:
        inputs, finished = measure_image(job, slide)
    return ImagePrediction(job, inputs, finished, time.monotonic() - start)


def save_result(result: ImagePrediction | ServedPrediction) -> ImageResult:
    """Write a prediction to ``her2/predictions``, from where `push` takes it into QuPath.

    Parameters
    ----------
    result
        From `predict`.

    Returns
    -------
    ImageResult
        With the folder of the run.

    Raises
    ------
    OutputError
        Read-only folder or full disk; nothing half-written is left.
    """
    if isinstance(result, ServedPrediction):
        return result.save()
    job, finished = result.job, result.finished
    # Opened again for the overlay; the prediction itself is kept as it was computed.
    with open_image(job.ref) as slide, lock_image(job.out, job.image) as lock:
        run_dir = write_run(job, lock, slide, result.inputs, finished, seconds=result.seconds)
    return ImageResult(
        job.image,
        job.name,
        finished.score.status,
        run_dir=run_dir,
        score=finished.score,
        n_cells=finished.score.n_cells,
        seconds=result.seconds,
    )


def list_models() -> tuple[ModelSpec, ...]:
    """Return the specifications of all named networks; ``qupath_her2.models`` is the room that builds them.

    Examples
    --------
    >>> [model.name for model in list_models() if model.kind == "segmentation"]
    ['her2net', 'unet', 'segnet', 'bayesian-segnet']
    """
    return tuple(MODELS.values())
