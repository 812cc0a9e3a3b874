"""Training of a network on bags over a cohort: one split or folds, each part resumable, figures with intervals."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from qupath_her2.errors import ModelError, TrainingError
from qupath_her2.learning.bags.bag_source import Bags
from qupath_her2.learning.bags.feature_files import read_feature_info
from qupath_her2.learning.bags.train_bags import BagEpoch, predict_bags, train_bags
from qupath_her2.models.bag_checkpoint import bag_card
from qupath_her2.models.bag_networks import build_bag_network
from qupath_her2.models.checkpoint import save_checkpoint
from qupath_her2.patches.published_split import split_words
from qupath_her2.patches.splits import leaked_cases, may_leak, split_warning
from qupath_her2.project.exchange.writing import output_errors, replace_file
from qupath_her2.training.classifier import shuffled_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qupath_her2.config import Settings
    from qupath_her2.patches.manifest import PatchManifest
    from qupath_her2.recipes.recipe import BagRecipe

__all__ = ["BagJob", "SlidePredictions", "check_no_leak", "feature_paths", "train_part"]

_FORMAT = 1


@dataclass(frozen=True, slots=True, eq=False)
class BagJob:
    """One training of a network on bags.

    Attributes
    ----------
    manifest
        One row a slide, labelled and split.
    features
        Feature file of each row.
    recipe, settings, model
        What is trained, and how.
    out
        Folder of the checkpoint.
    is_control
        Train on shuffled labels.
    resume
        Keep the results of parts that are finished.
    """

    manifest: PatchManifest
    features: tuple[Path, ...]
    recipe: BagRecipe
    settings: Settings
    model: str
    out: Path
    is_control: bool = False
    resume: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class SlidePredictions:
    """Predictions of the test slides of one part.

    Attributes
    ----------
    rows
        int64 (n,), rows of the manifest.
    probabilities
        float32 (n, C).
    checkpoint
        The network, path without ending.
    best_epoch, epochs
        Epoch that was kept, and epochs trained.
    was_there
        The part was finished before.
    """

    rows: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    checkpoint: Path
    best_epoch: int
    epochs: int
    was_there: bool = False


def feature_paths(manifest: PatchManifest, folder: Path) -> tuple[Path, ...]:
    """Return the feature file of each row of a manifest, named by the image's id or its file name.

    Parameters
    ----------
    manifest
        One row a slide.
    folder
        Folder of feature files, ours or of CLAM or TRIDENT.

    Returns
    -------
    tuple[Path, ...]
        One per row.

    Raises
    ------
    ModelError
        Slides have no file, or one of another image.
    """
    images = [manifest.images[index] for index in manifest.image.tolist()]
    found: list[Path] = []
    missing: list[str] = []
    for image in images:
        names = (image.id, Path(image.name).stem, Path(image.name).name)
        there = [folder / f"{name}.h5" for name in names if (folder / f"{name}.h5").is_file()]
        if not there:
            missing.append(image.name)
            continue
        own = read_feature_info(there[0]).fingerprint
        if own and image.fingerprint and own != image.fingerprint:
            raise ModelError(
                f"Features '{there[0]}' are of another file than image '{image.name}' is now. Embed it again: "
                "qupath-her2 embed FOLDER."
            )
        found.append(there[0])
    if missing:
        some = ", ".join(missing[:5])
        raise ModelError(
            f"{len(missing)} of {len(images)} slides have no features in '{folder}': {some}. Embed them first: "
            "qupath-her2 embed FOLDER."
        )
    return tuple(found)


def check_no_leak(manifest: PatchManifest, what: str) -> None:
    """Raise TrainingError where a case lies in more than one part, unless that kind of split was asked for."""
    leaked = leaked_cases(manifest)
    if leaked and not may_leak(manifest):
        raise TrainingError(
            f"{what} has {len(leaked)} cases in more than one part: {', '.join(leaked[:5])}. A network would be tested "
            "on patients it has seen. Split by case (--split by-case)."
        )


def train_part(
    job: BagJob,
    manifest: PatchManifest,
    out: Path,
    bags: Bags,
    *,
    progress: Callable[[BagEpoch, int], None] | None = None,
) -> SlidePredictions:
    """Train on one split, save the best network, and predict its test slides; a finished part is read back.

    Parameters
    ----------
    job
        The training.
    manifest
        Its manifest, split for this part.
    out
        Folder of this part.
    bags
        Features of all rows.
    progress
        See `learning.bags.train_bags.train_bags`.

    Returns
    -------
    SlidePredictions
        Of the test rows that have a label.

    Raises
    ------
    TrainingError
        A case lies in more than one part, or the training part has fewer than two classes.
    """
    check_no_leak(manifest, f"The split of '{out.name}'")
    digest = _digest(job, manifest)
    if job.resume and (there := _read(out, digest)) is not None:
        return there
    settings = job.settings.bags
    # The test part keeps its labels: the control must fail there.
    learned = shuffled_labels(manifest, settings.seed) if job.is_control else manifest
    labels = learned.label.astype(np.int64)
    parts = [np.flatnonzero((manifest.split == code) & (labels >= 0)) for code in range(3)]
    net = build_bag_network(
        job.model, bags.info.n_features, len(manifest.class_names), settings.network, seed=settings.seed
    )
    result = train_bags(
        net, bags, labels, parts[0], parts[1], settings, device=job.settings.predict.device, progress=progress
    )
    probabilities = predict_bags(net, bags, parts[2].tolist(), device=job.settings.predict.device)
    card = bag_card(
        net,
        manifest.class_names,
        task=manifest.task,
        recipe=job.recipe.name,
        encoder=bags.info.encoder,
        encoder_sha256=bags.info.weights_sha256,
        n_features=bags.info.n_features,
        pixel_size_um=bags.info.pixel_size_um,
        patch_size_px=bags.info.patch_size_px,
        metrics={
            "best_epoch": result.best_epoch,
            "split": split_words(manifest),
            "split_warning": split_warning(manifest),
        },
    )
    net.options = dict(card.options)
    save_checkpoint(out / "best", net.cpu(), card)
    found = SlidePredictions(parts[2], probabilities, out / "best", result.best_epoch, len(result.history))
    _write(out, digest, found, manifest, [asdict(one) for one in result.history])
    return found


def _digest(job: BagJob, manifest: PatchManifest) -> str:
    """Return a SHA-256 of all that the result of a part depends on."""
    infos = [read_feature_info(path) for path in job.features]
    content = {
        "model": job.model,
        "settings": asdict(job.settings.bags),
        "classes": manifest.class_names,
        "control": job.is_control,
        "rows": [
            [manifest.images[image].id, int(label), int(split), info.settings_hash, info.n_patches]
            for image, label, split, info in zip(
                manifest.image.tolist(), manifest.label.tolist(), manifest.split.tolist(), infos, strict=True
            )
        ],
    }
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _write(
    out: Path,
    digest: str,
    found: SlidePredictions,
    manifest: PatchManifest,
    history: Sequence[dict[str, Any]],
) -> None:
    content = {
        "format": _FORMAT,
        "digest": digest,
        "rows": found.rows.tolist(),
        "images": [manifest.images[manifest.image[row]].id for row in found.rows.tolist()],
        "probabilities": found.probabilities.astype(float).tolist(),
        "best_epoch": found.best_epoch,
        "epochs": found.epochs,
        "history": history,
    }
    with output_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    # Last: a part is finished once this file is there.
    replace_file(
        out / "result.json", orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    )


def _read(out: Path, digest: str) -> SlidePredictions | None:
    """Return the result of a finished part; None where there is none, or one of another training."""
    try:
        content = orjson.loads((out / "result.json").read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    if not isinstance(content, dict) or content.get("digest") != digest or content.get("format") != _FORMAT:
        return None
    found = SlidePredictions(
        np.array(content["rows"], np.int64),
        np.array(content["probabilities"], np.float32),
        out / "best",
        content["best_epoch"],
        content["epochs"],
    )
    return replace(found, was_there=True)
