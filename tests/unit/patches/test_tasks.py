from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qupath_her2.errors import PatchError, SettingsError
from qupath_her2.patches.tasks import TASKS, class_index, class_indices, find_task, knows_label
from qupath_her2.records import CaseInfo
from qupath_her2.scoring.ish import ish_for

AMPLIFIED = CaseInfo(her2_cep17_ratio=4.0, her2_copies=9.0)
NOT_AMPLIFIED = CaseInfo(her2_cep17_ratio=1.1, her2_copies=2.2)


def name_of(task: str, raw: object, case: CaseInfo | None = None) -> str | None:
    index = class_index(TASKS[task], raw, case)
    return None if index is None else TASKS[task].class_names[index]


def test_every_task_maps_labels_to_all_of_its_classes() -> None:
    for name, task in TASKS.items():
        assert task.name == name
        assert set(task.labels.values()) == set(task.class_names)
        assert len(set(task.class_names)) == len(task.class_names)
        for label in task.labels:
            assert label == label.casefold()
            assert name_of(name, label) == task.labels[label]


# Chauhan et al. 2025, table 2, row by row.
@pytest.mark.parametrize(
    ("task", "want"),
    [
        ("her2-binary", ["negative", "negative", "negative", "positive", "positive"]),
        ("her2-3", ["0", "low", "low", "high", "high"]),
        ("her2-4", ["0", "1+", "2+", "2+", "3+"]),
        ("her2-response", ["negative", "negative", "equivocal", "equivocal", "positive"]),
    ],
)
def test_the_table_of_the_paper(task: str, want: list[str]) -> None:
    cases = [None, None, NOT_AMPLIFIED, AMPLIFIED, None]
    scores = ["0", "1+", "2+", "2+", "3+"]
    assert [name_of(task, score, case) for score, case in zip(scores, cases, strict=True)] == want
    written = ["0", "1+", "2+/ISH-", "2+/ISH+", "3+"]
    assert [name_of(task, score) for score in written] == want


@pytest.mark.parametrize("task", ["her2-binary", "her2-3"])
def test_two_plus_without_ish_has_no_class(task: str) -> None:
    assert knows_label(TASKS[task], "2+")
    assert class_index(TASKS[task], "2+") is None
    assert class_index(TASKS[task], "2+", CaseInfo()) is None
    assert class_indices(TASKS[task], ["0", "2+", "3+"]).tolist() == [0, -1, len(TASKS[task].class_names) - 1]


copies = st.none() | st.floats(0, 20)


@given(ratio=copies, copies=copies)
def test_ish_is_interpreted_as_in_scoring(ratio: float | None, copies: float | None) -> None:
    case = CaseInfo(her2_cep17_ratio=ratio, her2_copies=copies)
    result = ish_for(case, "2+")
    amplified = None if result is None else result.amplified
    want = None if amplified is None else ("positive" if amplified else "negative")
    assert name_of("her2-binary", "2+", case) == want


@given(ratio=st.floats(0, 20), copies=st.floats(0, 20))
def test_gastric_ish_is_not_interpreted(ratio: float, copies: float) -> None:
    case = CaseInfo(site="gastric", her2_cep17_ratio=ratio, her2_copies=copies)
    assert class_index(TASKS["her2-3"], "2+", case) is None
    assert name_of("her2-3", "2+ ISH+", case) == "high"


@pytest.mark.parametrize(
    ("raw", "want"),
    [
        ("0", "0"),
        (0, "0"),
        (0.0, "0"),
        (np.int64(2), "2+"),
        (np.float64(3.0), "3+"),
        ("1", "1+"),
        ("1+", "1+"),
        (" 1 + ", "1+"),
        ("2.0", "2+"),
        ("HER2 3+", "3+"),
        ("her2_score_1+", "1+"),
        ("IHC: 2+", "2+"),
        ("class_3+", "3+"),
        ("Score 0", "0"),
        ("Tumor: Negative", "0"),
        ("Tumor: 3+", "3+"),
        ("Tumor 2+", "2+"),
        ("2+ (FISH negative)", "2+"),
        ("2+ not ISH", None),
        ("3+ ISH+", None),
        ("4+", None),
        ("Negative", None),
        ("Tumor", None),
        ("", None),
        ("+", None),
        ("01", None),
        (None, None),
        ("1.5", None),
    ],
)
def test_spellings_of_a_score(raw: object, want: str | None) -> None:
    assert knows_label(TASKS["her2-4"], raw) == (want is not None)
    if want is not None:
        assert name_of("her2-4", raw) == want


@pytest.mark.parametrize(
    ("raw", "want"),
    [
        ("2+/ISH+", "high"),
        ("2+ ish -", "low"),
        ("2 FISH negative", "low"),
        ("2+ (CISH positive)", "high"),
        ("2+, SISH: not amplified", "low"),
        ("2+ FISH amplified", "high"),
        ("2+/ISH−", "low"),
        ("HER2 2+ / ISH+", "high"),
    ],
)
def test_spellings_of_ish(raw: str, want: str) -> None:
    assert name_of("her2-3", raw) == want


@pytest.mark.parametrize("task", ["er", "pr"])
def test_receptors(task: str) -> None:
    assert name_of(task, "Positive") == name_of(task, f"{task.upper()}+") == "positive"
    assert name_of(task, "neg") == name_of(task, f"{task} Negative") == "negative"
    assert not knows_label(TASKS[task], "3+")


def test_tumour() -> None:
    assert name_of("tumour", "Tumor") == "tumour"
    assert name_of("tumour", "Stroma") == name_of("tumour", "Normal") == "non-tumour"


def test_all_unknown_labels_are_listed_at_once() -> None:
    with pytest.raises(PatchError) as caught:
        class_indices(TASKS["her2-4"], ["0", "grade 9", "x", "x", None, "3+"])
    text = str(caught.value)
    assert "2 of the labels: 'grade 9' (1), 'x' (2)" in text
    assert "--task" in text
    with pytest.raises(PatchError, match="'y'"):
        class_index(TASKS["er"], "y")


def test_no_label_gives_no_class() -> None:
    assert class_indices(TASKS["er"], [None, "positive"]).tolist() == [-1, 1]


def test_an_unknown_task_lists_the_known_ones() -> None:
    assert find_task("her2-3") is TASKS["her2-3"]
    with pytest.raises(SettingsError, match="her2-response"):
        find_task("her2")


@given(raw=st.text(max_size=12), task=st.sampled_from(sorted(TASKS)))
def test_any_text_is_a_class_or_unknown(raw: str, task: str) -> None:
    if knows_label(TASKS[task], raw):
        assert class_index(TASKS[task], raw) in (None, *range(len(TASKS[task].class_names)))
    else:
        with pytest.raises(PatchError):
            class_index(TASKS[task], raw)
