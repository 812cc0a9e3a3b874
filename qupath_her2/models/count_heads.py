"""Count heads: the class of a slide from the predicted classes of its patches.

Chauhan et al. 2025, approach 3: a patch classifier predicts the class of each patch; the share of each class among a
slide's patches is the input of a random forest, a support vector machine or a small perceptron, or the most frequent
class wins ("majority").

A head is stored as the table it was fitted on, a few hundred rows of counts, and refitted when loaded: that is
deterministic (seeded, one thread) and needs neither pickle nor a second implementation of three classifiers. Its
probabilities on that table are stored as well, so that a scikit-learn that fits differently is detected and refused.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
import orjson
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from qupath_her2.errors import ModelError
from qupath_her2.models.optional import need
from qupath_her2.project.exchange.writing import replace_file
from qupath_her2.setting_ranges import Range, Seed, check_settings

__all__ = [
    "COUNT_KINDS",
    "CountHead",
    "CountKind",
    "CountSettings",
    "count_classes_per_image",
    "fit_count_head",
    "load_count_head",
    "save_count_head",
]

CountKind = Literal["majority", "random-forest", "svm", "mlp"]
COUNT_KINDS: tuple[CountKind, ...] = get_args(CountKind)
COUNTS_FORMAT = 1

#: Largest difference of a probability after refitting, for last digits that differ between processors.
_TOLERANCE = 1e-3
#: Iterations of the perceptron's optimiser.
_MAX_STEPS = 5000


@dataclasses.dataclass(frozen=True, slots=True)
class CountSettings:
    """Hyperparameters of the heads; the paper names the classifiers only, so all of these are our choice.

    Attributes
    ----------
    trees
        Trees of the random forest; their leaves hold at least 2 slides.
    svm_c
        Penalty C of the support vector machine; radial kernel, class weights balanced.
    hidden
        Units of the perceptron's one hidden layer.
    mlp_alpha
        L2 penalty of the perceptron.
    seed
        Seed of forest and perceptron.
    """

    # Heads come from files: a crafted one must not exhaust the memory.
    trees: Annotated[int, Range(1, 10_000, "trees")] = 200
    svm_c: Annotated[float, Range(0, 1e6, is_open="low")] = 1.0
    hidden: Annotated[int, Range(1, 4096, "units")] = 16
    mlp_alpha: Annotated[float, Range(0, 1e6, is_open="low")] = 0.1
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_settings(self)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class CountHead:
    """A fitted head.

    `patch_classes` (C) name the columns of the counts, `slide_classes` (K) those of the probabilities; `counts` int64
    (N, C) and `labels` int64 (N) are the training table (without rows for "majority").
    """

    kind: CountKind
    patch_classes: tuple[str, ...]
    slide_classes: tuple[str, ...]
    counts: NDArray[np.int64]
    labels: NDArray[np.int64]
    settings: CountSettings
    estimator: Any = None

    def predict(self, counts: ArrayLike) -> NDArray[np.float32]:
        """Return probabilities float32 (M, K) of slides with patch counts (M, C); NaN for a slide without patches.

        Those of "svm" are an uncalibrated softmax of its margins; those of "majority" are the shares of the votes, so
        that a tie remains visible.
        """
        table = _table(counts, len(self.patch_classes))
        shares, is_empty = _shares(self._voting(table) if self.kind == "majority" else table)
        found = np.full((len(table), len(self.slide_classes)), np.nan, np.float32)
        if is_empty.all():
            return found
        rows = shares[~is_empty]
        found[~is_empty] = rows if self.kind == "majority" else self._estimated(rows)
        return found

    def _voting(self, table: NDArray[np.int64]) -> NDArray[np.int64]:
        # Patches of classes that slides do not have, such as "non-tumour", do not vote.
        return table[:, [self.patch_classes.index(name) for name in self.slide_classes]]

    def _estimated(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        known = self.estimator.classes_
        if self.kind == "svm":
            margins = np.asarray(self.estimator.decision_function(shares))
            # With two classes scikit-learn returns one margin: half of it for one class, half against the other.
            margins = np.stack([-margins, margins], axis=1) / 2 if margins.ndim == 1 else margins
            given = softmax(margins, axis=1)
        else:
            given = self.estimator.predict_proba(shares)
        # The estimator knows only classes that occurred in training; the others have probability 0.
        found = np.zeros((len(shares), len(self.slide_classes)))
        found[:, known] = given
        return found


def fit_count_head(
    kind: CountKind,
    counts: ArrayLike,
    labels: ArrayLike,
    *,
    patch_classes: Sequence[str],
    slide_classes: Sequence[str],
    settings: CountSettings | None = None,
) -> CountHead:
    """Fit a head.

    Parameters
    ----------
    kind
        One of `COUNT_KINDS`.
    counts
        Patches of each class in each slide, whole numbers (N, C); ignored by "majority".
    labels
        Class of each slide, index into `slide_classes`, (N,); ignored by "majority".
    patch_classes, slide_classes
        Names of the C columns and of the K slide classes. "majority" requires every slide class among the patch
        classes.
    settings
        Hyperparameters.

    Returns
    -------
    CountHead
        The fitted head.

    Raises
    ------
    ModelError
        The table does not fit the names, has a slide without patches, or fewer than two classes.
    MissingExtraError
        scikit-learn is not installed.
    """
    settings = settings or CountSettings()
    names = tuple(patch_classes), tuple(slide_classes)
    if any(len(set(some)) != len(some) for some in names):
        raise ModelError(f"Class names must be unique: {names[0]} of patches, {names[1]} of slides.")
    if kind not in COUNT_KINDS:
        raise ModelError(f"Unknown head {kind!r} for patch counts. There are {', '.join(COUNT_KINDS)}.")
    if kind == "majority":
        missing = sorted(set(names[1]) - set(names[0]))
        if missing:
            raise ModelError(
                f"Majority needs every slide class among the patch classes; missing: {', '.join(missing)}. "
                "Use random-forest, svm or mlp."
            )
        none = np.zeros((0, len(names[0])), np.int64)
        return CountHead(kind, *names, none, np.zeros(0, np.int64), settings)
    need("sklearn")
    table = _table(counts, len(names[0]))
    classes = _labels(labels, len(table), len(names[1]))
    shares, is_empty = _shares(table)
    if is_empty.any():
        raise ModelError(f"Slides {np.flatnonzero(is_empty)[:10].tolist()} have no patches. Leave them out.")
    head = CountHead(kind, *names, table, classes, settings, _estimator(kind, settings))
    _fit(head.estimator, shares, classes)
    return head


def _fit(estimator: Any, shares: NDArray[np.float64], labels: NDArray[np.int64]) -> None:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # A perceptron that did not converge depends on its last iterations, and would not be refitted alike.
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            estimator.fit(shares, labels)
        except ConvergenceWarning as error:
            raise ModelError(
                f"The perceptron did not converge in {_MAX_STEPS} steps on {len(labels)} slides. Raise mlp_alpha."
            ) from error


def _estimator(kind: CountKind, settings: CountSettings) -> Any:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    if kind == "random-forest":
        # One job: with several, rounding of the averaged probabilities would depend on their order.
        return RandomForestClassifier(
            settings.trees, min_samples_leaf=2, class_weight="balanced", random_state=settings.seed, n_jobs=1
        )
    # No `probability=True`: its calibration draws random folds.
    if kind == "svm":
        return make_pipeline(StandardScaler(), SVC(C=settings.svm_c, class_weight="balanced"))
    # L-BFGS rather than stochastic gradients: with some hundred slides it converges to the same result every time.
    net = MLPClassifier(
        (settings.hidden,),
        solver="lbfgs",
        alpha=settings.mlp_alpha,
        max_iter=_MAX_STEPS,
        max_fun=10 * _MAX_STEPS,
        random_state=settings.seed,
    )
    return make_pipeline(StandardScaler(), net)


def _table(counts: ArrayLike, n_classes: int) -> NDArray[np.int64]:
    table = np.asarray(counts)
    whole = table.dtype.kind in "iu" or (
        table.dtype.kind == "f" and bool((np.isfinite(table) & (table == np.floor(table))).all())
    )
    if table.ndim != 2 or table.shape[1] != n_classes or not whole or bool((table < 0).any()):
        raise ModelError(
            f"Counts must be whole numbers (slides, {n_classes}), not {table.dtype} {table.shape}: one column per "
            "patch class, none below 0."
        )
    return table.astype(np.int64)


def _labels(labels: ArrayLike, n_slides: int, n_classes: int) -> NDArray[np.int64]:
    found = np.asarray(labels)
    if found.shape != (n_slides,) or found.dtype.kind not in "iu":
        raise ModelError(
            f"Labels must be {n_slides} whole numbers, one per slide, not {found.dtype} {found.shape}."
        )
    if n_slides and (found.min() < 0 or found.max() >= n_classes):
        raise ModelError(f"Labels must be 0 to {n_classes - 1}, not {found.min()} to {found.max()}.")
    if len(np.unique(found)) < 2:
        raise ModelError("Fitting a head needs slides of at least two classes. Label more slides.")
    return found.astype(np.int64)


def _shares(table: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return each slide's class shares (0..1, zeros without patches), and whether it has no patches."""
    totals = table.sum(axis=1, keepdims=True)
    return table / np.maximum(totals, 1), totals[:, 0] == 0


def save_count_head(path: Path, head: CountHead) -> None:
    """Write a head as JSON, atomically."""
    import importlib.metadata

    versions = {} if head.kind == "majority" else {"scikit-learn": importlib.metadata.version("scikit-learn")}
    content = {
        "format": COUNTS_FORMAT,
        "kind": head.kind,
        "patch_classes": head.patch_classes,
        "slide_classes": head.slide_classes,
        "settings": dataclasses.asdict(head.settings),
        "counts": head.counts.tolist(),
        "labels": head.labels.tolist(),
        "probabilities": head.predict(head.counts).astype(float).tolist(),
        "versions": versions,
    }
    replace_file(path, orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def load_count_head(path: Path) -> CountHead:
    """Read a head written by `save_count_head`, and refit it.

    Raises
    ------
    ModelError
        The file is damaged or has another format, or this scikit-learn fits the head differently than the one that
        wrote it.
    """
    try:
        content = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise ModelError(f"Count head '{path}' cannot be read: {error}.") from error
    if not isinstance(content, dict) or content.get("format") != COUNTS_FORMAT:
        raise ModelError(f"'{path}' is not a count head of format {COUNTS_FORMAT}. Fit it again.")
    try:
        stored = np.asarray(content["probabilities"], dtype=np.float64)
        head = fit_count_head(
            content["kind"],
            np.asarray(content["counts"], dtype=np.int64),
            np.asarray(content["labels"], dtype=np.int64),
            patch_classes=_names(content["patch_classes"]),
            slide_classes=_names(content["slide_classes"]),
            settings=CountSettings(**content["settings"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        # ModelError is a ValueError: its message is kept, with the file named before it.
        raise ModelError(f"Count head '{path}' is damaged: {error}. Fit it again.") from error
    again = head.predict(head.counts)
    if again.size != stored.size or (again.size and np.abs(again - stored).max() > _TOLERANCE):
        raise ModelError(
            f"Count head '{path}' gives other probabilities than when it was written ({content.get('versions')}): this "
            "scikit-learn fits it differently. Fit it again, or install that version."
        )
    return head


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise TypeError("class names must be a list of strings")
    return tuple(value)


def count_classes_per_image(
    image: NDArray[np.int32], chosen: NDArray[np.int16], n_images: int, n_classes: int
) -> NDArray[np.int64]:
    """Count the patches of each class in each image.

    Parameters
    ----------
    image
        int32 (N,), image of each patch, 0 .. n_images - 1.
    chosen
        int16 (N,), predicted class of each patch; negative ones are left out.
    n_images, n_classes
        Size of the table.

    Returns
    -------
    NDArray[np.int64]
        int64 (n_images, n_classes)
    """
    # np.add.at, since repeated index pairs must all be counted.
    counts = np.zeros((n_images, n_classes), np.int64)
    named = chosen >= 0
    np.add.at(counts, (image[named], chosen[named].astype(np.int64)), 1)
    return counts
