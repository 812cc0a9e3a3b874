"""QuPath classes: the tissue role of an annotation class, the intensity grade of a cell class, and their colours.

Matching ignores case, surrounding whitespace, and the difference between space, ``_`` and ``-``; ``*`` in a
setting is a wildcard, as in QuPath's own ``Ignore*``. In a derived class (``Tumor: DCIS``) the more specific
name decides.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from dataclasses import dataclass
from typing import Annotated

from qupath_her2.records import PROPOSED_CLASS, RegionRole
from qupath_her2.setting_ranges import Text, check_settings

__all__ = [
    "CLASS_COLOURS",
    "GRADES",
    "PATCH_CLASS",
    "ClassNames",
    "class_colour",
    "class_role",
    "grade_of",
    "is_proposed",
    "patch_colour",
    "split_class",
]

#: QuPath's intensity grades, the last component of a class name; QuPath computes the H-score from them.
GRADES: tuple[str, ...] = ("Negative", "1+", "2+", "3+")

#: QuPath's default class colours, RGB 0..255 (constants and ``StandardPathClasses`` in ``PathClass.java``,
#: QuPath 0.4 to 0.7).
CLASS_COLOURS: dict[str, tuple[int, int, int]] = {
    "Tumor": (200, 0, 0),
    # Ours; QuPath has no such class.
    PROPOSED_CLASS: (255, 0, 160),
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
_DEFAULT_COLOUR = (128, 128, 128)

_Names = Annotated[tuple[str, ...], Text("a class name")]


@dataclass(frozen=True, slots=True)
class ClassNames:
    """Class names by tissue role; ``*`` is a wildcard and case is ignored.

    Attributes
    ----------
    tumour
        Invasive tumour, scored.
    stroma
        Non-tumour tissue; not scored, and subtracted where it lies inside tumour.
    ignore
        Subtracted. Any other class whose name ends in ``*`` is ignored too, as in QuPath. The exception is
        ``Region*``, QuPath's generic region class, which neither adds to the scored area nor subtracts from it.
    in_situ
        Carcinoma in situ, subtracted: only invasive tumour is scored (ASCO/CAP 2018).
    control
        On-slide control tissue, subtracted.
    unclassified_is_tumour
        Treat annotations without a class as tumour if no annotation has a tumour class. If off,
        unclassified annotations are quarantined with a reason.
    """

    tumour: _Names = (
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
    stroma: _Names = (
        "Stroma*",
        "Normal*",
        "Benign*",
        "Immune cells",
        "Lymphocytes",
        "Fat",
        "Adipose*",
    )
    ignore: _Names = (
        "Ignore*",
        "Exclude*",
        "Necrosis*",
        "Necrotic*",
        "Artefact*",
        "Artifact*",
        "Fold*",
    )
    in_situ: _Names = ("DCIS*", "LCIS*", "CIS", "In situ*", "*in situ")
    control: _Names = ("Control*", "*control", "*control tissue")
    unclassified_is_tumour: bool = False

    def __post_init__(self) -> None:
        check_settings(self)


def split_class(name: str) -> tuple[str, ...]:
    """Return the components of a derived class name: ``"Tumor: 3+"`` gives ``("Tumor", "3+")``."""
    return tuple(part for part in (piece.strip() for piece in name.split(":")) if part)


def grade_of(name: str | None) -> str | None:
    """Return the intensity grade of a class (``Negative``, ``1+``, ``2+`` or ``3+``), or None if it has none.

    ``Tumor: 0`` is read as ``Tumor: Negative``, but a bare ``0`` is not: other programs number their classes.
    """
    parts = split_class(name) if name else ()
    if not parts:
        return None
    last = parts[-1].casefold()
    if last == "0" and len(parts) > 1:
        return "Negative"
    return next((grade for grade in GRADES if grade.casefold() == last), None)


def is_proposed(name: str | None) -> bool:
    """Return whether an annotation class means tumour that somebody still has to confirm: ``Tumor?``."""
    return name is not None and _normalised(name).replace("tumour", "tumor") == PROPOSED_CLASS.casefold()


def class_role(name: str | None, names: ClassNames) -> RegionRole:
    """Return the tissue role of annotation class `name`; ``other`` for None and for unlisted classes.

    Roles that subtract tissue (ignore, control, in situ) win over roles that add it, whichever component of a
    derived class they come from.
    """
    if not name:
        return "other"
    roles = [_component_role(part, names) for part in (name, *split_class(name))]
    for role in ("ignore", "control", "in_situ"):
        if role in roles:
            return role
    # The last component is the most specific one: "Tumor: Stroma" is stroma.
    known = [role for role in roles if role != "other"]
    return known[-1] if known else "other"


def _component_role(name: str, names: ClassNames) -> RegionRole:
    text = _normalised(name)
    if text == "region*":
        return "other"
    if text.endswith("*"):
        return "ignore"
    # The order matters: "Carcinoma in situ" has to match an in-situ pattern before a tumour pattern "Carcinoma*".
    table: tuple[tuple[RegionRole, tuple[str, ...]], ...] = (
        ("ignore", names.ignore),
        ("control", names.control),
        ("in_situ", names.in_situ),
        ("tumour", names.tumour),
        ("stroma", names.stroma),
    )
    return next((role for role, patterns in table if _pattern(patterns).fullmatch(text)), "other")


def _normalised(name: str) -> str:
    text = unicodedata.normalize("NFC", name).casefold()
    return re.sub(r"[\s_\-]+", " ", text).strip()


@functools.lru_cache(maxsize=64)
def _pattern(patterns: tuple[str, ...]) -> re.Pattern[str]:
    texts = (_normalised(pattern) for pattern in patterns)
    # An empty alternative would match every name; "(?!)" matches none.
    return re.compile(
        "|".join(".*".join(map(re.escape, text.split("*"))) for text in texts if text) or r"(?!)"
    )


#: Prefix of patch classes in QuPath: without it, QuPath would count a patch of class ``3+`` as a cell.
PATCH_CLASS = "HER2 patch "
#: {class predicted by a network: QuPath class whose colour it takes}.
_PATCH_COLOUR_CLASSES = {
    **dict.fromkeys(("0", "negative"), "Tumor: Negative"),
    **dict.fromkeys(("1+", "low"), "Tumor: 1+"),
    **dict.fromkeys(("2+", "equivocal"), "Tumor: 2+"),
    **dict.fromkeys(("3+", "high", "positive"), "Tumor: 3+"),
    "tumour": "Tumor",
    "non-tumour": "Stroma",
}


def class_colour(name: str | None) -> tuple[int, int, int]:
    """Return QuPath's default RGB colour (0..255) of a class; grey for classes without a default."""
    return CLASS_COLOURS.get(name or "", _DEFAULT_COLOUR)


def patch_colour(name: str) -> tuple[int, int, int]:
    """Return the RGB colour (0..255) of a patch class: that of the equivalent cell class, or grey."""
    return class_colour(_PATCH_COLOUR_CLASSES.get(name.removeprefix(PATCH_CLASS)))
