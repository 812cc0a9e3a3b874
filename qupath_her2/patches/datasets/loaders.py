"""Loaders of published data sets, as unpacked: images, cases, labels, regions and published splits.

A case id is set only where the data set gives it; otherwise figures computed from the images are patch-level. Each
data set has a licence of its own: read it before use.
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
    match_name,
    require_images,
    source_image,
)
from qupath_her2.patches.datasets.sources import Source, SourceImage
from qupath_her2.patches.datasets.tables import find_table
from qupath_her2.project.cases import read_case_column, value_of_image

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

#: Indices into `table.SPLITS`. No data set here publishes a validation part.
_SPLITS = {"train": 0, "test": 2}
_UNKNOWN_CASES = (
    "The data set names no cases, so the same patient may be in train and test of any split. Where you know them, add "
    "a cases.csv with the columns image and case."
)


def load_bci(folder: Path, stain: StainName = "IHC") -> Source:
    """Load BCI: ``{HE,IHC}/{train,test}/00001_train_2+.png``, crops of 1024 x 1024 px labelled by their slide's score.

    Its train and test parts share slides: all crops come from 51 pairs of slides (Liu et al. 2022, non-commercial). The
    data set does not say which crop is of which slide; where that is known, `folder` may hold a ``cases.csv`` with the
    columns image and case.

    Parameters
    ----------
    folder
        Folder that contains ``HE`` and ``IHC``, or one of the two.
    stain
        Stain to load.

    Returns
    -------
    Source
        The crops with their published split.
    """
    root = folder / stain if (folder / stain).is_dir() else folder
    cases = _cases(folder)
    pattern = re.compile(r"(?P<number>\d+)_(?P<split>train|test)_(?P<label>[0-3]\+?)", re.IGNORECASE)
    images = []
    for path in image_files(
        root, (".png", ".jpg", ".jpeg"), "BCI", "{HE,IHC}/{train,test}/00001_train_2+.png"
    ):
        # A file with another name is an error: leaving it out would quietly change the published data set.
        name = match_name(pattern, path, "00001_train_2+.png")
        case = value_of_image(cases, path.name)
        split = _SPLITS[name["split"].casefold()]
        images.append(source_image(folder, path, name["label"], case=case, split=split))
    return _split_crops("bci", images)


def _cases(folder: Path) -> dict[str, str]:
    """Return {image: case} of a ``cases.csv`` that somebody put into a data set without cases; empty without one."""
    table = folder / "cases.csv"
    return read_case_column(table, ("case",))[1] if table.is_file() else {}


def _split_crops(name: str, images: list[SourceImage]) -> Source:
    notes = (_UNKNOWN_CASES,) if any(image.case.case is None for image in images) else ()
    return Source(name, tuple(images), has_split=True, are_crops=True, notes=notes)


def load_her2_ihc_40x(folder: Path) -> Source:
    """Load HER2-IHC-40x (Zenodo 15179608), whose folders are spelt in two ways.

    ``{train,test}/class_2+/her2-2-score_train_1.png`` or ``Patches/{Train,Test}/2+/….png``: the folder is the label.

    Parameters
    ----------
    folder
        Folder that contains ``train`` and ``test``, or ``Patches``; cases from a ``cases.csv`` there, as for BCI.
    """
    images = []
    cases = _cases(folder)
    for path in image_files(
        folder,
        (".png", ".jpg", ".jpeg"),
        "HER2-IHC-40x",
        "{train,test}/class_2+/….png or Patches/Train/2+/….png",
    ):
        parts = [part.casefold() for part in path.relative_to(folder).parts[:-1]]
        # Anywhere above the file, since archives unpack into one or two folders of their own.
        split = next((_SPLITS[part] for part in parts if part in _SPLITS), None)
        label = re.fullmatch(r"(?:class[_ -]?)?([0-3]\+?)", parts[-1]) if parts else None
        if split is None or label is None:
            raise PatchError(
                f"'{path.relative_to(folder).as_posix()}' does not fit the layout of HER2-IHC-40x: train or test, then "
                "a folder class_0, class_1+, … or 0, 1+, …. Pass the folder that contains train and test."
            )
        case = value_of_image(cases, path.name)
        images.append(source_image(folder, path, label[1], case=case, split=split))
    return _split_crops("her2-ihc-40x", images)


def load_warwick(folder: Path, stain: StainName = "IHC") -> Source:
    """Load the Warwick HER2 contest: ``<case>_HER2.ndpi``, ``<case>_HE.ndpi``, and a table saved as CSV.

    The table's columns are ``CaseNo`` and ``HeR2 SCORE``. Regions are read from a GeoJSON file next to the slide.

    Parameters
    ----------
    folder
        Folder with the slides and the table.
    stain
        Stain to load.

    Returns
    -------
    Source
        One image per case, labelled where the table has its score.
    """
    _, rows = find_table(folder, ("CaseNo", "HeR2 SCORE"))
    # Slides of cases without a row stay in, unlabelled, for prediction.
    scores = {case_number(row["caseno"]): row["her2_score"] for row in rows if row.get("caseno")}
    ending = {"IHC": "HER2", "HE": "HE"}[stain]
    pattern = re.compile(rf"(?P<case>.+)_{ending}", re.IGNORECASE)
    images = []
    for path in image_files(folder, SLIDES, "Warwick", f"<case>_{ending}.ndpi"):
        # Slides of the other stain lie in the same folder: those without a match are no error here.
        name = pattern.fullmatch(path.stem)
        if name is not None:
            label = scores.get(case_number(name["case"])) or None
            images.append(source_image(folder, path, label, case=case_number(name["case"])))
    return Source("warwick", require_images(images, folder, f"<case>_{ending}.ndpi"))


def load_yale(folder: Path) -> Source:
    """Load the Yale HER2 cohort and its TCGA slides (TCIA, "HER2 tumor ROIs"): SVS slides with Aperio XML regions.

    ``SVS/Her2Pos_Case_01.svs`` has label and case in its name. For ``TCGA-XX-YYYY-….svs`` the case is the first three
    parts of the barcode. All other labels come from a ``cases.csv`` with the columns image and label.

    Parameters
    ----------
    folder
        Folder with the slides and XML files, in any subfolders.
    """
    regions = {path.stem.casefold(): path for path in sorted(folder.rglob("*.xml"))}
    cases = folder / "cases.csv"
    _, given = read_case_column(cases, ("label", "her2", "her2_status")) if cases.is_file() else (None, {})
    pattern = re.compile(r"Her2(?P<status>Pos|Neg)_Case_\d+", re.IGNORECASE)
    images = []
    for path in image_files(folder, SLIDES, "Yale", "SVS/Her2Pos_Case_01.svs"):
        name = pattern.match(path.stem)
        label = value_of_image(given, path.name)
        case = None
        if name is not None:
            label = label or {"pos": "positive", "neg": "negative"}[name["status"].casefold()]
            case = name[0]
        elif path.stem.upper().startswith("TCGA-"):
            case = "-".join(path.stem.upper().split("-")[:3])
        # Slides and XML files have one name but lie in different folders.
        xml = regions.get(path.stem.casefold())
        images.append(source_image(folder, path, label, case=case, regions_path=xml))
    return Source("yale", tuple(images))


def load_herohe(folder: Path) -> Source:
    """Load HEROHE: ``<case>.mrxs`` with its folder of the same name, and a table as CSV with semicolons.

    The table's columns are ``Case``, ``Immunohistochemistry`` and ``Final Result (Ground truth)``. The final result of
    a 2+ is its ISH result, so 2+ becomes ``2+ ISH+`` or ``2+ ISH-``, a label that every HER2 task understands.

    Parameters
    ----------
    folder
        Folder with the slides and the table.
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
        # Without an IHC score the final result still serves the binary task.
        return final or None
    if score[1] == "2" and final in ("positive", "negative"):
        return f"2+ ISH{'+' if final == 'positive' else '-'}"
    return score[1]


#: Loaders by the value of ``--layout``.
LAYOUTS: dict[str, Callable[[Path], Source]] = {
    "bci": load_bci,
    "her2-ihc-40x": load_her2_ihc_40x,
    "warwick": load_warwick,
    "yale": load_yale,
    "herohe": load_herohe,
}
_WITH_STAIN: dict[str, Callable[[Path, StainName], Source]] = {"bci": load_bci, "warwick": load_warwick}


def load_layout(name: str, folder: Path, stain: StainName | None = None) -> Source:
    """Load a published data set.

    Parameters
    ----------
    name
        Name of the layout, a key of `LAYOUTS`.
    folder
        Folder of the unpacked data set.
    stain
        ``HE`` or ``IHC``, for data sets with both; None takes IHC.

    Returns
    -------
    Source
        The images with cases, labels, regions and the published split, as far as the data set has them.

    Raises
    ------
    PatchError
        The name is unknown, the folder has no image in this layout, or a table is missing.
    """
    if name not in LAYOUTS:
        raise PatchError(f"Unknown layout {name!r}. Choose one of: project, {', '.join(LAYOUTS)}.")
    if not folder.is_dir():
        raise PatchError(f"Folder '{folder}' does not exist. Check the path.")
    if stain is not None:
        if name not in _WITH_STAIN:
            raise PatchError(f"Layout '{name}' has only one stain. Leave out --stain.")
        return _WITH_STAIN[name](folder, stain)
    return LAYOUTS[name](folder)
