"""From the classes of a slide's patches to the class of the slide: the heads of the patch-count approach.

Chauhan et al. 2025, approach 3: a patch classifier names each patch, the shares of the names over a slide go into a
random forest, a support vector machine or a small perceptron, or the commonest name wins ("majority").

A head is kept as the table it was fitted on, a few hundred rows of counts, and fitted again when it is loaded: that is
deterministic (seeded, one thread), needs no pickle, and no second implementation of three classifiers. Its own
probabilities on that table are kept too; a scikit-learn that fits it differently is noticed and refused.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import orjson
from numpy.typing import ArrayLike, NDArray

from qupath_her2.errors import ModelError
from qupath_her2.models.optional import need
from qupath_her2.project.exchange.writing import replace_file

__all__ = [
    "COUNT_KINDS",
    "CountHead",
    "CountKind",
    "CountSettings",
    "counts_of_images",
    "fit_counts",
    "load_counts",
    "save_counts",
]

CountKind = Literal["majority", "random-forest", "svm", "mlp"]
COUNT_KINDS: tuple[CountKind, ...] = get_args(CountKind)
COUNTS_FORMAT = 1

_TOLERANCE = 1e-3
_MAX_STEPS = 5000


@dataclasses.dataclass(frozen=True, slots=True)
class CountSettings:
    """How a head is fitted; the paper names the classifiers and none of these.

    Attributes
    ----------
    trees
        Of the forest; its leaves hold at least 2 slides.
    svm_c
        Cost of a slide on the wrong side, above 0; radial kernel, classes weighted by rarity.
    hidden
        Units of the perceptron's one hidden layer.
    mlp_alpha
        Weight of its L2 penalty, above 0.
    seed
        Of forest and perceptron.
    """

    trees: int = 200
    svm_c: float = 1.0
    hidden: int = 16
    mlp_alpha: float = 0.1
    seed: int = 0


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class CountHead:
    """A fitted head.

    `patch_classes` (C) name the columns of counts, `slide_classes` (K) those of the probabilities; `counts` int64
    (N, C) and `labels` int64 (N) are what it was fitted on (no rows for "majority").
    """

    kind: CountKind
    patch_classes: tuple[str, ...]
    slide_classes: tuple[str, ...]
    counts: NDArray[np.int64]
    labels: NDArray[np.int64]
    settings: CountSettings
    estimator: Any = None

    def predict(self, counts: ArrayLike) -> NDArray[np.float32]:
        """Return probabilities float32 (M, K) of slides with patch counts (M, C); NaN where a slide has no patch.

        Those of "svm" are a softmax of its margins and not calibrated; those of "majority" are the shares of the
        votes, so a tie stays a tie.
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
        # Patches of classes that no slide has, such as "non-tumour", have no vote.
        return table[:, [self.patch_classes.index(name) for name in self.slide_classes]]

    def _estimated(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        known = self.estimator.classes_
        if self.kind == "svm":
            margins = np.asarray(self.estimator.decision_function(shares))
            # Two classes share one margin: half of it for the one, half against the other.
            margins = np.stack([-margins, margins], axis=1) / 2 if margins.ndim == 1 else margins
            weights = np.exp(margins - margins.max(axis=1, keepdims=True))
            given = weights / weights.sum(axis=1, keepdims=True)
        else:
            given = self.estimator.predict_proba(shares)
        found = np.zeros((len(shares), len(self.slide_classes)))
        found[:, known] = given
        return found


def fit_counts(
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
        Names of the C columns and of the K classes of a slide. "majority" wants every class of a slide among those of
        patches.

    Raises
    ------
    ModelError
        The table does not fit the names, holds a slide without a patch, or has fewer than two classes.
    MissingExtraError
        scikit-learn is not installed.
    """
    settings = settings or CountSettings()
    names = tuple(patch_classes), tuple(slide_classes)
    if any(len(set(some)) != len(some) for some in names):
        raise ModelError(f"Class names must differ: {names[0]} of patches, {names[1]} of slides.")
    if kind not in COUNT_KINDS:
        raise ModelError(f"Unknown head {kind!r} for patch counts. There are {', '.join(COUNT_KINDS)}.")
    if kind == "majority":
        missing = sorted(set(names[1]) - set(names[0]))
        if missing:
            raise ModelError(
                f"Majority needs each class of a slide among the classes of patches; missing: {', '.join(missing)}. "
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
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            estimator.fit(shares, labels)
        except ConvergenceWarning as error:
            raise ModelError(
                f"The perceptron did not settle in {_MAX_STEPS} steps on {len(labels)} slides. Raise mlp_alpha."
            ) from error


def _estimator(kind: CountKind, settings: CountSettings) -> Any:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    if kind == "random-forest":
        return RandomForestClassifier(
            settings.trees, min_samples_leaf=2, class_weight="balanced", random_state=settings.seed, n_jobs=1
        )
    if kind == "svm":
        return make_pipeline(StandardScaler(), SVC(C=settings.svm_c, class_weight="balanced"))
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
            f"Counts must be whole numbers (slides, {n_classes}), not {table.dtype} {table.shape}: one column a class "
            "of patches, none below 0."
        )
    return table.astype(np.int64)


def _labels(labels: ArrayLike, n_slides: int, n_classes: int) -> NDArray[np.int64]:
    found = np.asarray(labels)
    if found.shape != (n_slides,) or found.dtype.kind not in "iu":
        raise ModelError(
            f"Labels must be {n_slides} whole numbers, one a slide, not {found.dtype} {found.shape}."
        )
    if n_slides and (found.min() < 0 or found.max() >= n_classes):
        raise ModelError(f"Labels must be 0 to {n_classes - 1}, not {found.min()} to {found.max()}.")
    if len(np.unique(found)) < 2:
        raise ModelError("Slides of at least two classes are needed to fit a head; label more of them.")
    return found.astype(np.int64)


def _shares(table: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return each slide's shares (0..1, zeros without patches), and which slides have none."""
    totals = table.sum(axis=1, keepdims=True)
    return table / np.maximum(totals, 1), totals[:, 0] == 0


def save_counts(path: Path, head: CountHead) -> None:
    """Write a head as JSON, in one step."""
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


def load_counts(path: Path) -> CountHead:
    """Read a head that `save_counts` wrote, and fit it again.

    Raises
    ------
    ModelError
        The file is damaged or of another format, or this scikit-learn does not fit the head as the one that wrote it.
    """
    try:
        content = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise ModelError(f"Head for patch counts '{path}' cannot be read: {error}.") from error
    if not isinstance(content, dict) or content.get("format") != COUNTS_FORMAT:
        raise ModelError(f"'{path}' is no head for patch counts of format {COUNTS_FORMAT}. Fit it again.")
    try:
        stored = np.asarray(content["probabilities"], dtype=np.float64)
        head = fit_counts(
            content["kind"],
            np.asarray(content["counts"], dtype=np.int64),
            np.asarray(content["labels"], dtype=np.int64),
            patch_classes=_names(content["patch_classes"]),
            slide_classes=_names(content["slide_classes"]),
            settings=_settings(content["settings"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        # ModelError is a ValueError: its sentence is kept, with the file before it.
        raise ModelError(f"Head for patch counts '{path}' is damaged: {error}. Fit it again.") from error
    again = head.predict(head.counts)
    if again.size != stored.size or (again.size and np.abs(again - stored).max() > _TOLERANCE):
        raise ModelError(
            f"Head '{path}' comes out differently than when it was written ({content.get('versions')}); another "
            "scikit-learn fits it otherwise. Fit it again, or install that version."
        )
    return head


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise TypeError("class names must be a list of texts")
    return tuple(value)


def _settings(value: Mapping[str, Any]) -> CountSettings:
    settings = CountSettings(**value)
    for name, default in dataclasses.asdict(CountSettings()).items():
        found = getattr(settings, name)
        if type(found) not in ((int, float) if isinstance(default, float) else (int,)) or not math.isfinite(
            found
        ):
            raise TypeError(f"{name} must be a number like {default}, not {found!r}")
    return settings


def counts_of_images(
    image: NDArray[np.int32], chosen: NDArray[np.int16], n_images: int, n_classes: int
) -> NDArray[np.int64]:
    """Return how many patches of each class each image holds, int64 (n_images, C); unnamed patches are left out."""
    counts = np.zeros((n_images, n_classes), np.int64)
    named = chosen >= 0
    np.add.at(counts, (image[named], chosen[named].astype(np.int64)), 1)
    return counts
