"""Published data sets as they lie on disk after unpacking: which images, whose, with which label.

A case is taken only where the data set names it; otherwise it is unknown, and figures made from its images are
patch-level. Licences are the data sets' own: read them before use.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from qupath_her2.errors import PatchError
from qupath_her2.patches.datasets.files import (
    SLIDES,
    case_number,
    image_files,
    matched_name,
    some_of,
    source_image,
)
from qupath_her2.patches.datasets.sources import Source
from qupath_her2.patches.datasets.tables import find_table
from qupath_her2.project.cases import column_of_cases, of_image

__all__ = [
    "LAYOUTS",
    "load_bci",
    "load_her2_ihc_40x",
    "load_herohe",
    "load_layout",
    "load_warwick",
    "load_yale",
]

StainName = Literal["HE", "IHC"]

_SPLITS = {"train": 0, "test": 2}
_UNKNOWN_CASES = "The data set names no cases, so patients may stand on both sides of any split."


def load_bci(folder: Path, stain: StainName = "IHC") -> Source:
    """Read BCI: ``{HE,IHC}/{train,test}/00001_train_2+.png``, 1024 x 1024 px crops, scores of the slide.

    Its own train and test share slides: 51 pairs of slides made all crops (Liu et al. 2022, non-commercial).

    Parameters
    ----------
    folder
        Holds ``HE`` and ``IHC``, or is one of them.
    stain
        Which of the two.
    """
    root = folder / stain if (folder / stain).is_dir() else folder
    pattern = re.compile(r"(?P<number>\d+)_(?P<split>train|test)_(?P<label>[0-3]\+?)", re.IGNORECASE)
    images = []
    for path in image_files(
        root, (".png", ".jpg", ".jpeg"), "BCI", "{HE,IHC}/{train,test}/00001_train_2+.png"
    ):
        name = matched_name(pattern, path, "00001_train_2+.png")
        images.append(source_image(folder, path, name["label"], split=_SPLITS[name["split"].casefold()]))
    return Source("bci", tuple(images), has_split=True, are_crops=True, notes=(_UNKNOWN_CASES,))


def load_her2_ihc_40x(folder: Path) -> Source:
    """Read HER2-IHC-40x (Zenodo 15179608), in both spellings of its folders.

    ``{train,test}/class_2+/her2-2-score_train_1.png`` or ``Patches/{Train,Test}/2+/….png``: the folder is the label.

    Parameters
    ----------
    folder
        Holds ``train`` and ``test``, or ``Patches``.
    """
    images = []
    for path in image_files(
        folder,
        (".png", ".jpg", ".jpeg"),
        "HER2-IHC-40x",
        "{train,test}/class_2+/….png or Patches/Train/2+/….png",
    ):
        parts = [part.casefold() for part in path.relative_to(folder).parts[:-1]]
        split = next((_SPLITS[part] for part in parts if part in _SPLITS), None)
        label = re.fullmatch(r"(?:class[_ -]?)?([0-3]\+?)", parts[-1]) if parts else None
        if split is None or label is None:
            raise PatchError(
                f"'{path.relative_to(folder).as_posix()}' does not lie as HER2-IHC-40x does: train or test, then a "
                "folder class_0, class_1+, … or 0, 1+, …. Pass the folder that holds train and test."
            )
        images.append(source_image(folder, path, label[1], split=split))
    return Source("her2-ihc-40x", tuple(images), has_split=True, are_crops=True, notes=(_UNKNOWN_CASES,))


def load_warwick(folder: Path, stain: StainName = "IHC") -> Source:
    """Read the Warwick HER2 contest: ``<case>_HER2.ndpi``, ``<case>_HE.ndpi``, and a table saved as CSV.

    Columns ``CaseNo`` and ``HeR2 SCORE``. Regions are read where a GeoJSON lies beside the slide.

    Parameters
    ----------
    folder
        Holds slides and table.
    stain
        Slides of which stain.
    """
    _, rows = find_table(folder, ("CaseNo", "HeR2 SCORE"))
    scores = {case_number(row["caseno"]): row["her2_score"] for row in rows if row.get("caseno")}
    ending = {"IHC": "HER2", "HE": "HE"}[stain]
    pattern = re.compile(rf"(?P<case>.+)_{ending}", re.IGNORECASE)
    images = []
    for path in image_files(folder, SLIDES, "Warwick", f"<case>_{ending}.ndpi"):
        name = pattern.fullmatch(path.stem)
        if name is not None:
            label = scores.get(case_number(name["case"])) or None
            images.append(source_image(folder, path, label, case=case_number(name["case"])))
    return Source("warwick", some_of(images, folder, f"<case>_{ending}.ndpi"))


def load_yale(folder: Path) -> Source:
    """Read the Yale HER2 cohort and the TCGA slides with it (TCIA, "HER2 tumor ROIs"): SVS and Aperio XML.

    ``SVS/Her2Pos_Case_01.svs``: label and case are in the name. Of ``TCGA-XX-YYYY-….svs`` the case is the first three
    parts of the barcode; the label, and any other, comes from a ``cases.csv`` with the columns image and label.

    Parameters
    ----------
    folder
        Holds slides and XML files, in whatever folders.
    """
    regions = {path.stem.casefold(): path for path in sorted(folder.rglob("*.xml"))}
    cases = folder / "cases.csv"
    _, given = column_of_cases(cases, ("label", "her2", "her2_status")) if cases.is_file() else (None, {})
    pattern = re.compile(r"Her2(?P<status>Pos|Neg)_Case_\d+", re.IGNORECASE)
    images = []
    for path in image_files(folder, SLIDES, "Yale", "SVS/Her2Pos_Case_01.svs"):
        name = pattern.match(path.stem)
        label = of_image(given, path.name)
        case = None
        if name is not None:
            label = label or {"pos": "positive", "neg": "negative"}[name["status"].casefold()]
            case = name[0]
        elif path.stem.upper().startswith("TCGA-"):
            case = "-".join(path.stem.upper().split("-")[:3])
        xml = regions.get(path.stem.casefold())
        images.append(source_image(folder, path, label, case=case, regions_path=xml))
    return Source("yale", tuple(images))


def load_herohe(folder: Path) -> Source:
    """Read HEROHE: ``<case>.mrxs`` with the folder beside it, and its table, CSV with semicolons.

    Columns ``Case``, ``Immunohistochemistry``, ``Final Result (Ground truth)``. The final result of a 2+ is that of
    ISH, so 2+ becomes ``2+ ISH+`` or ``2+ ISH-``, and every HER2 task can be made of one label.

    Parameters
    ----------
    folder
        Holds slides and table.
    """
    columns = ("Case", "Immunohistochemistry", "Final Result (Ground truth)")
    _, rows = find_table(folder, columns)
    labels = {case_number(row["case"]): _herohe_label(row) for row in rows if row.get("case")}
    images = []
    for path in image_files(folder, (".mrxs",), "HEROHE", "<case>.mrxs"):
        case = case_number(path.stem)
        images.append(source_image(folder, path, labels.get(case), case=case))
    return Source("herohe", tuple(images))


def _herohe_label(row: dict[str, str]) -> str | None:
    ihc, final = row["immunohistochemistry"], row["final_result_ground_truth"].casefold()
    score = re.fullmatch(r"([0-3])(?:\.0)?\+?", ihc)
    if score is None:
        return final or None
    if score[1] == "2" and final in ("positive", "negative"):
        return f"2+ ISH{'+' if final == 'positive' else '-'}"
    return score[1]


#: Data sets by the name of ``--layout``.
LAYOUTS: dict[str, Callable[[Path], Source]] = {
    "bci": load_bci,
    "her2-ihc-40x": load_her2_ihc_40x,
    "warwick": load_warwick,
    "yale": load_yale,
    "herohe": load_herohe,
}
_WITH_STAIN: dict[str, Callable[[Path, StainName], Source]] = {"bci": load_bci, "warwick": load_warwick}


def load_layout(name: str, folder: Path, stain: StainName | None = None) -> Source:
    """Read a published data set.

    Parameters
    ----------
    name
        One of `LAYOUTS`.
    folder
        Where it was unpacked.
    stain
        ``HE`` or ``IHC``, of those that hold both; IHC where None.

    Raises
    ------
    PatchError
        The name is unknown, the folder holds no image laid out so, or a table is missing.
    """
    if name not in LAYOUTS:
        raise PatchError(f"Unknown layout {name!r}. Choose one of: project, {', '.join(LAYOUTS)}.")
    if not folder.is_dir():
        raise PatchError(f"Folder '{folder}' does not exist. Check the path.")
    if stain is not None:
        if name not in _WITH_STAIN:
            raise PatchError(f"Layout '{name}' holds one stain only. Leave out --stain.")
        return _WITH_STAIN[name](folder, stain)
    return LAYOUTS[name](folder)
