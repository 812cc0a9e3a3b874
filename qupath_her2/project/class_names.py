"""What QuPath's class names mean here, and the colours QuPath gives them.

Matching ignores case, surrounding space, and the difference between space, ``_`` and ``-``; ``*`` in a
setting stands for any text, as in QuPath's own ``Ignore*``. In a derived class (``Tumor: DCIS``) the more
specific name counts.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from dataclasses import dataclass

from qupath_her2.records import RegionRole

__all__ = [
    "CLASS_COLOURS",
    "GRADES",
    "PATCH_CLASS",
    "ClassNames",
    "class_colour",
    "class_role",
    "grade_of",
    "patch_colour",
    "split_class",
]

#: QuPath's graded intensity classes, the last part of a class name; QuPath computes the H-score from them.
GRADES: tuple[str, ...] = ("Negative", "1+", "2+", "3+")

#: QuPath's default colours, RGB 0..255 (``PathClass.java`` of QuPath 0.4 to 0.7: constants and
#: ``StandardPathClasses``).
CLASS_COLOURS: dict[str, tuple[int, int, int]] = {
    "Tumor": (200, 0, 0),
    "Stroma": (150, 200, 150),
    "Immune cells": (160, 90, 160),
    "Necrosis": (50, 50, 50),
    "Other": (255, 200, 0),
    "Region*": (0, 0, 180),
    "Ignore*": (180, 180, 180),
    "Tumor: Negative": (90, 90, 180),
    "Tumor: 1+": (255, 215, 0),
    "Tumor: 2+": (225, 150, 50),
    "Tumor: 3+": (200, 50, 50),
}
_UNKNOWN_COLOUR = (128, 128, 128)


@dataclass(frozen=True, slots=True)
class ClassNames:
    """Which class names mean what; ``*`` stands for any text, case is ignored.

    Attributes
    ----------
    tumour
        Invasive tumour, scored.
    stroma
        Known not to be tumour; not scored, and taken out where it lies inside tumour.
    ignore
        Taken out. A class whose name ends in ``*`` is ignored too, as QuPath does (``Region*`` alone,
        QuPath's name for any region at all, neither adds nor takes away).
    in_situ
        Carcinoma in situ, taken out: only invasive tumour is scored (ASCO/CAP 2018).
    control
        Control tissue on the slide, taken out.
    unclassified_is_tumour
        Use annotations without a class as tumour where no annotation is tumour by its
        class. Off: an annotation without a class is set aside, and the reader says so.
    """

    tumour: tuple[str, ...] = (
        "Tumor",
        "Tumour",
        "Tumor area",
        "Tumour area",
        "Tumor region",
        "Tumour region",
        "Invasive*",
        "Carcinoma",
        "Adenocarcinoma",
        "Cancer",
        "IDC",
        "ILC",
    )
    stroma: tuple[str, ...] = (
        "Stroma*",
        "Normal*",
        "Benign*",
        "Immune cells",
        "Lymphocytes",
        "Fat",
        "Adipose*",
    )
    ignore: tuple[str, ...] = (
        "Ignore*",
        "Exclude*",
        "Necrosis*",
        "Necrotic*",
        "Artefact*",
        "Artifact*",
        "Fold*",
    )
    in_situ: tuple[str, ...] = ("DCIS*", "LCIS*", "CIS", "In situ*", "*in situ")
    control: tuple[str, ...] = ("Control*", "*control", "*control tissue")
    unclassified_is_tumour: bool = False


def split_class(name: str) -> tuple[str, ...]:
    """Return the parts of a class name: ``"Tumor: 3+"`` gives ``("Tumor", "3+")``."""
    return tuple(part for part in (piece.strip() for piece in name.split(":")) if part)


def grade_of(name: str | None) -> str | None:
    """Return ``Negative``, ``1+``, ``2+`` or ``3+`` where `name` is a graded class, else None.

    ``Tumor: 0`` is read as ``Tumor: Negative``; a lone ``0`` is not, since other programs number their
    classes.
    """
    parts = split_class(name) if name else ()
    if not parts:
        return None
    last = parts[-1].casefold()
    if last == "0" and len(parts) > 1:
        return "Negative"
    return next((grade for grade in GRADES if grade.casefold() == last), None)


def class_role(name: str | None, names: ClassNames) -> RegionRole:
    """Return what a region of class `name` is; ``other`` for None and for names that no setting knows.

    What takes tissue out (ignore, control, in situ) wins over what adds it, wherever it stands in a derived
    class.
    """
    if not name:
        return "other"
    roles = [_part_role(part, names) for part in (name, *split_class(name))]
    for role in ("ignore", "control", "in_situ"):
        if role in roles:
            return role
    known = [role for role in roles if role != "other"]
    return known[-1] if known else "other"


def _part_role(name: str, names: ClassNames) -> RegionRole:
    text = _normal(name)
    if text == "region*":
        return "other"
    if text.endswith("*"):
        return "ignore"
    # "Carcinoma in situ" must meet the in-situ patterns before a tumour pattern such as "Carcinoma*".
    table: tuple[tuple[RegionRole, tuple[str, ...]], ...] = (
        ("ignore", names.ignore),
        ("control", names.control),
        ("in_situ", names.in_situ),
        ("tumour", names.tumour),
        ("stroma", names.stroma),
    )
    return next((role for role, patterns in table if _matcher(patterns).fullmatch(text)), "other")


def _normal(name: str) -> str:
    text = unicodedata.normalize("NFC", name).casefold()
    return re.sub(r"[\s_\-]+", " ", text).strip()


@functools.lru_cache(maxsize=64)
def _matcher(patterns: tuple[str, ...]) -> re.Pattern[str]:
    texts = (_normal(pattern) for pattern in patterns)
    return re.compile(
        "|".join(".*".join(map(re.escape, text.split("*"))) for text in texts if text) or r"(?!)"
    )


#: Before the name of a class of patches in QuPath, so that no patch is counted as a cell.
PATCH_CLASS = "HER2 patch "
#: {class of a network: class of QuPath that has its colour}.
_OF_PATCHES = {
    **dict.fromkeys(("0", "negative"), "Tumor: Negative"),
    **dict.fromkeys(("1+", "low"), "Tumor: 1+"),
    **dict.fromkeys(("2+", "equivocal"), "Tumor: 2+"),
    **dict.fromkeys(("3+", "high", "positive"), "Tumor: 3+"),
    "tumour": "Tumor",
    "non-tumour": "Stroma",
}


def class_colour(name: str | None) -> tuple[int, int, int]:
    """Return QuPath's default RGB colour of a class, grey for classes QuPath does not know."""
    return CLASS_COLOURS.get(name or "", _UNKNOWN_COLOUR)


def patch_colour(name: str) -> tuple[int, int, int]:
    """Return the RGB colour of a class of patches: that of the cells' class of the same meaning, else grey."""
    word = name.removeprefix(PATCH_CLASS)
    return class_colour(_OF_PATCHES.get(word))
