"""Classification tasks: the classes of each, and the spellings of labels that map to them.

The HER2 tasks and their handling of 2+ follow Chauhan et al. 2025, table 2 (binary, 3-way, 4-way) and Joshi et al.,
ETASR 2025 (negative, equivocal, positive). In-situ hybridisation resolves 2+ by ASCO/CAP 2018 (doi
10.5858/arpa.2018-0902-SA): with IHC 2+, ISH groups 1 and 3 are positive, groups 2, 4 and 5 negative.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import PatchError, SettingsError
from qupath_her2.patches.targets.targets import TARGET_CLASSES
from qupath_her2.project.class_names import grade_of
from qupath_her2.records import CaseInfo

__all__ = [
    "SEGMENTATION",
    "TASKS",
    "UNDECIDED",
    "Task",
    "image_label",
    "knows_label",
    "class_index",
    "class_indices",
    "find_task",
    "unknown_labels_message",
]

#: Cause under which labels are counted that the task knows but cannot assign to a class.
UNDECIDED = "2+ without an ISH result"


@dataclass(frozen=True, slots=True)
class Task:
    """A classification task.

    Attributes
    ----------
    name
        Value of ``--task``.
    class_names
        The classes, in the order of the network's outputs.
    labels
        {label in lower case: class name}. HER2 scores are spelt ``0``, ``1+``, ``2+ ish-``, ``2+ ish+``, ``3+``, and
        ``2+`` where the ISH result makes no difference.
    """

    name: str
    class_names: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)


def _receptor(name: str) -> Task:
    # Both the bare status and the receptor's name before it: data sets write "ER-", "er negative" and "neg".
    words = {
        "negative": ("negative", "neg", "-", f"{name} negative", f"{name} -", f"{name}-"),
        "positive": ("positive", "pos", "+", f"{name} positive", f"{name} +", f"{name}+"),
    }
    labels = {word: status for status, known in words.items() for word in known}
    return Task(name, ("negative", "positive"), labels)


_NOT_TUMOUR = (
    "non-tumour",
    "non tumour",
    "non-tumor",
    "non tumor",
    "normal",
    "stroma",
    "benign",
    "other tissue",
)

#: All tasks by name.
TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            "her2-4",
            ("0", "1+", "2+", "3+"),
            {"0": "0", "1+": "1+", "2+": "2+", "2+ ish-": "2+", "2+ ish+": "2+", "3+": "3+"},
        ),
        Task(
            "her2-3",
            ("0", "low", "high"),
            {
                **{"0": "0", "null": "0", "ultralow": "0", "ultra-low": "0"},
                **{"1+": "low", "2+ ish-": "low", "low": "low"},
                **{"2+ ish+": "high", "3+": "high", "high": "high"},
            },
        ),
        Task(
            "her2-binary",
            ("negative", "positive"),
            {
                **{"0": "negative", "1+": "negative", "2+ ish-": "negative"},
                **{"2+ ish+": "positive", "3+": "positive"},
                **{"negative": "negative", "neg": "negative", "positive": "positive", "pos": "positive"},
            },
        ),
        Task(
            "her2-response",
            ("negative", "equivocal", "positive"),
            {
                **{"0": "negative", "1+": "negative", "0/1+": "negative", "negative": "negative"},
                **{"2+": "equivocal", "2+ ish-": "equivocal", "2+ ish+": "equivocal"},
                **{"equivocal": "equivocal", "3+": "positive", "positive": "positive"},
            },
        ),
        _receptor("er"),
        _receptor("pr"),
        Task(
            "tumour",
            ("non-tumour", "tumour"),
            {
                **dict.fromkeys(_NOT_TUMOUR, "non-tumour"),
                **dict.fromkeys(("tumour", "tumor", "cancer", "carcinoma"), "tumour"),
            },
        ),
    )
}

#: The task of segmenters: one class per pixel, so labels of regions do not apply.
SEGMENTATION = Task("segmentation", TARGET_CLASSES)

_PREFIX = re.compile(r"^(?:(?:her-?2(?:/neu)?|ihc|score|class|patch|tumou?r)\b[\s:_/-]*)+")
_ISH = re.compile(
    r"(2) ?\+?[\s/,;(-]*(?:f|c|d|s)?ish\W*?(\+|-|positive|negative|pos|neg|amplified|not amplified)\)?"
)
_POSITIVE = {"+", "positive", "pos", "amplified"}


def find_task(name: str) -> Task:
    """Return the task called `name`; the SettingsError for an unknown one lists all tasks."""
    known = {**TASKS, SEGMENTATION.name: SEGMENTATION}
    if name not in known:
        raise SettingsError(f"Task {name!r} is unknown. Choose one of: {', '.join(known)}.")
    return known[name]


def knows_label(task: Task, raw: object) -> bool:
    """Return whether the task knows a label, including 2+ whose class depends on ISH."""
    return _known(task, _canonical(task, raw))


def class_index(task: Task, raw: object, case: CaseInfo | None = None) -> int | None:
    """Return the class index of a label.

    Parameters
    ----------
    task
        The task.
    raw
        The label as written by a person or data set: ``1+``, ``1``, ``HER2 1+``, ``Tumor: Negative``, ``2+/ISH-`` …
    case
        The case, whose ISH result resolves 2+ where the task distinguishes it.

    Returns
    -------
    int | None
        Index into `task.class_names`; None for 2+ that needs an ISH result and has none (`UNDECIDED`).

    Raises
    ------
    PatchError
        The task does not know the label.
    """
    key = _canonical(task, raw)
    if not _known(task, key):
        raise PatchError(unknown_labels_message(task, {str(raw): 1}))
    if key not in task.labels and key == "2+":
        is_amplified = _is_amplified(case)
        if is_amplified is None:
            return None
        key = "2+ ish+" if is_amplified else "2+ ish-"
    return task.class_names.index(task.labels[key])


def image_label(raw: str | None, case: CaseInfo) -> str:
    """Return the label of an image with the case's ISH result, so that every HER2 task can read it.

    Parameters
    ----------
    raw
        The label as written; None where there is none.
    case
        The case, for its ISH result.

    Returns
    -------
    str
        ``2+ ISH-`` or ``2+ ISH+`` for a 2+ whose ISH result is known; otherwise the label as written, "" for none.
    """
    if raw is None:
        return ""
    if _canonical(TASKS["her2-4"], raw) != "2+":
        return raw
    is_amplified = _is_amplified(case)
    return raw if is_amplified is None else f"2+ ISH{'+' if is_amplified else '-'}"


def class_indices(
    task: Task, raws: Sequence[object], cases: Sequence[CaseInfo | None] | None = None
) -> NDArray[np.int16]:
    """Return the class indices of labels.

    Parameters
    ----------
    task
        The task.
    raws
        n labels as written; None where there is none.
    cases
        The case of each label, for its ISH result.

    Returns
    -------
    NDArray[np.int16]
        int16 (n,), index into `task.class_names`; -1 without a label, and for 2+ that needs an ISH result and has none.

    Raises
    ------
    PatchError
        The task does not know some of the labels; the message lists all of them.
    """
    # All at once: a cohort's spelling mistakes are then corrected in one go.
    unknown = Counter(str(raw) for raw in raws if raw is not None and not knows_label(task, raw))
    if unknown:
        raise PatchError(unknown_labels_message(task, unknown))
    found = [
        None if raw is None else class_index(task, raw, case)
        for raw, case in zip(raws, cases or [None] * len(raws), strict=True)
    ]
    return np.array([-1 if index is None else index for index in found], np.int16)


def unknown_labels_message(task: Task, unknown: Mapping[str, int]) -> str:
    """Return the error message for labels, {as written: count}, that a task does not know."""
    listed = ", ".join(f"{name!r} ({count})" for name, count in sorted(unknown.items()))
    return (
        f"Task '{task.name}' does not know {len(unknown)} of the labels: {listed}. "
        f"It knows: {', '.join(task.labels)}. Correct the labels, or choose another task with --task."
    )


def _known(task: Task, key: str) -> bool:
    return key in task.labels or (key == "2+" and "2+ ish+" in task.labels)


def _canonical(task: Task, raw: object) -> str:
    """Return a label in the spelling of `Task.labels`."""
    # A CSV column with empty cells is read as floats: 2.0 is the score 2.
    if isinstance(raw, (float, np.floating)) and float(raw).is_integer():
        raw = int(raw)
    # Spreadsheets turn a hyphen into a minus sign or a dash: "2+/ISH−".
    text = unicodedata.normalize("NFKC", str(raw)).replace("−", "-").replace("–", "-")
    text = re.sub(r"[\s_]+", " ", text).casefold().strip()
    if text in task.labels:
        return text
    if ":" in text and (grade := grade_of(text)) is not None:
        return "0" if grade == "Negative" else grade
    text = _PREFIX.sub("", text).strip()
    if (ish := _ISH.fullmatch(text)) is not None:
        return "2+ ish+" if ish[2] in _POSITIVE else "2+ ish-"
    number = re.fullmatch(r"([0-3])(?:\.0)? ?\+?", text)
    return text if number is None else {"0": "0"}.get(number[1], f"{number[1]}+")


def _is_amplified(case: CaseInfo | None) -> bool | None:
    """Return whether ISH is positive for a breast case with IHC 2+; None where it is missing or inconclusive.

    A ratio without a copy number is inconclusive. Gastric rules differ; there the label must say it: ``2+ ISH+``.
    """
    if case is None or case.site != "breast" or case.her2_copies is None:
        return None
    copies = case.her2_copies
    if case.her2_cep17_ratio is None:
        # Single probe: from 4.0 to under 6.0 copies the guideline asks for a dual probe.
        return True if copies >= 6.0 else (False if copies < 4.0 else None)
    # Dual probe. Ratio from 2.0: group 1 (copies from 4.0) positive, group 2 negative. Ratio under 2.0: group 3
    # (copies from 6.0) positive with IHC 2+, groups 4 and 5 negative.
    return copies >= 4.0 if case.her2_cep17_ratio >= 2.0 else copies >= 6.0
