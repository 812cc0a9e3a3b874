from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qupath_her2.errors import ModelError
from qupath_her2.models.count_heads import (
    COUNT_KINDS,
    CountHead,
    CountKind,
    CountSettings,
    count_classes_per_image,
    fit_count_head,
    load_count_head,
    save_count_head,
)

pytest.importorskip(
    "sklearn", reason="heads for patch counts are NOT TESTED: pip install 'qupath-her2[learn]'"
)

PATCHES = ("0", "1+", "2+", "3+")
SLIDES = ("0", "low", "high")
FITTED = [kind for kind in COUNT_KINDS if kind != "majority"]
FEW_TREES = CountSettings(trees=20)


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Slides whose patches follow their class, with noise: class 1 lies between in shares of 1+ and 2+."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    mix = np.array([[0.8, 0.1, 0.05, 0.05], [0.2, 0.4, 0.35, 0.05], [0.05, 0.1, 0.25, 0.6]])
    shares = np.stack([rng.dirichlet(20 * mix[label]) for label in labels])
    return np.stack([rng.multinomial(300, share) for share in shares]), labels


def fitted(kind: Any, n: int = 60, seed: int = 0) -> CountHead:
    counts, labels = drawn(n, seed)
    return fit_count_head(
        kind, counts, labels, patch_classes=PATCHES, slide_classes=SLIDES, settings=FEW_TREES
    )


@pytest.mark.parametrize("kind", FITTED)
def test_a_head_learns_from_counts(kind: str) -> None:
    counts, labels = drawn(200, seed=1)
    found = fitted(kind).predict(counts)
    assert found.dtype == np.float32
    assert np.allclose(found.sum(axis=1), 1, atol=1e-5)
    assert (found.argmax(axis=1) == labels).mean() > 0.9


@pytest.mark.parametrize("kind", FITTED)
def test_shuffled_labels_teach_nothing(kind: str) -> None:
    counts, labels = drawn(90, seed=0)
    shuffled = np.random.default_rng(5).permutation(labels)
    head = fit_count_head(
        kind, counts, shuffled, patch_classes=PATCHES, slide_classes=SLIDES, settings=FEW_TREES
    )
    unseen, truth = drawn(300, seed=1)
    assert (head.predict(unseen).argmax(axis=1) == truth).mean() < 0.6


@pytest.mark.parametrize("kind", FITTED)
def test_only_shares_matter_not_the_number_of_patches(kind: str) -> None:
    head = fitted(kind)
    counts, _ = drawn(20, seed=2)
    assert np.allclose(head.predict(counts), head.predict(counts * 7))


def test_majority_is_the_share_among_slide_classes() -> None:
    head = fit_count_head("majority", [], [], patch_classes=("stroma", "3+", "0"), slide_classes=("0", "3+"))
    found = head.predict([[90, 3, 1], [5, 0, 0], [0, 0, 4]])
    assert np.allclose(found[0], [0.25, 0.75])
    assert np.isnan(found[1]).all()
    assert found[2].tolist() == [1.0, 0.0]


def test_majority_of_other_names_is_refused() -> None:
    with pytest.raises(ModelError, match="missing: high, low"):
        fit_count_head("majority", [], [], patch_classes=PATCHES, slide_classes=SLIDES)


@pytest.mark.parametrize("kind", FITTED)
def test_a_class_without_training_slides_has_probability_0(kind: str) -> None:
    counts, labels = drawn(60, seed=0)
    two = labels != 1
    head = fit_count_head(
        kind, counts[two], labels[two], patch_classes=PATCHES, slide_classes=SLIDES, settings=FEW_TREES
    )
    found = head.predict(counts[two])
    assert (found[:, 1] == 0).all()
    assert (found.argmax(axis=1) == labels[two]).mean() > 0.95


@pytest.mark.parametrize("kind", COUNT_KINDS)
def test_a_head_round_trips(kind: Any, tmp_path: Path) -> None:
    names = PATCHES if kind == "majority" else SLIDES
    counts, labels = drawn(60, seed=0)
    head = fit_count_head(
        kind, counts, labels, patch_classes=PATCHES, slide_classes=names, settings=FEW_TREES
    )
    save_count_head(tmp_path / "head.json", head)
    again = load_count_head(tmp_path / "head.json")
    unseen, _ = drawn(30, seed=3)
    assert np.array_equal(head.predict(unseen), again.predict(unseen))
    assert again.settings == head.settings


def test_a_head_that_refits_differently_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "head.json"
    save_count_head(path, fitted("svm"))
    content = orjson.loads(path.read_bytes())
    content["labels"][0] = (content["labels"][0] + 1) % 3
    path.write_bytes(orjson.dumps(content))
    with pytest.raises(ModelError, match="gives other probabilities than when it was written"):
        load_count_head(path)


@pytest.mark.parametrize(
    ("counts", "labels", "words"),
    [
        ([[1, 2, 3]], [0], "one column per patch class"),
        ([[1, 2, 3, -1]], [0], "none below 0"),
        ([[1, 2, 3, 0.5]], [0], "whole numbers"),
        ([[1, 2, 3, float("nan")]], [0], "whole numbers"),
        ([[1, 2, 3, 4]] * 2, [0], "2 whole numbers"),
        ([[1, 2, 3, 4]] * 2, [0, 3], "0 to 2, not 0 to 3"),
        ([[1, 2, 3, 4]] * 2, [1, 1], "at least two classes"),
        ([[1, 2, 3, 4], [0, 0, 0, 0]], [0, 1], r"Slides \[1\] have no patches"),
    ],
)
def test_wrong_tables_are_named(counts: Any, labels: Any, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        fit_count_head("svm", counts, labels, patch_classes=PATCHES, slide_classes=SLIDES)


def test_an_unknown_head() -> None:
    with pytest.raises(ModelError, match="There are majority"):
        fit_count_head("tree", [], [], patch_classes=PATCHES, slide_classes=SLIDES)  # type: ignore[arg-type]


_JSON = (
    st.none()
    | st.integers(-5, 5)
    | st.floats()
    | st.text(max_size=3)
    | st.lists(st.integers(0, 5), max_size=3)
)


@settings(max_examples=60, deadline=None)
@given(
    field=st.sampled_from(
        ["format", "kind", "patch_classes", "slide_classes", "settings", "counts", "labels"]
    ),
    value=_JSON,
)
def test_a_damaged_file_is_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, field: str, value: object
) -> None:
    path = tmp_path_factory.getbasetemp() / "head.json"
    if not path.exists():
        save_count_head(
            path, fit_count_head("majority", [], [], patch_classes=PATCHES, slide_classes=PATCHES)
        )
    content = {**orjson.loads(path.read_bytes()), field: value}
    changed = path.with_name("changed.json")
    changed.write_bytes(orjson.dumps(content))
    try:
        load_count_head(changed)
    except ModelError:
        return
    # Only a change of what "majority" does not use can be read.
    assert field in ("counts", "labels", "slide_classes") or content == orjson.loads(path.read_bytes())


def test_counts_by_hand() -> None:
    image = np.array([0, 0, 2, 2, 2], np.int32)
    chosen = np.array([1, 1, 0, -1, 1], np.int16)
    assert count_classes_per_image(image, chosen, 3, 2).tolist() == [[0, 2], [0, 0], [1, 1]]


@pytest.mark.parametrize("kind", ["random-forest", "mlp", "svm"])
def test_a_seed_gives_the_same_head(kind: CountKind) -> None:
    rng = np.random.default_rng(0)
    counts, labels = rng.integers(1, 50, (40, 3)), np.arange(40) % 3

    def fitted(seed: int) -> NDArray[np.float32]:
        names = ("a", "b", "c")
        settings = CountSettings(trees=20, seed=seed)
        head = fit_count_head(
            kind, counts, labels, patch_classes=names, slide_classes=names, settings=settings
        )
        return head.predict(counts[::3] + 1)

    assert np.array_equal(fitted(1), fitted(1))
    # The support vector machine draws nothing.
    assert np.array_equal(fitted(1), fitted(2)) == (kind == "svm")
