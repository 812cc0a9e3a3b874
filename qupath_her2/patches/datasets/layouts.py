"""Published data sets as they lie on disk after unpacking: which images, whose, with which label.

A case is taken only where the data set names it; otherwise it is unknown, and figures made from its images are
patch-level. Licences are the data sets' own: read them before use.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from qupath_her2.errors import PatchError
from qupath_her2.patches.datasets.tables import find_table
from qupath_her2.patches.source import Source, SourceImage
from qupath_her2.project.cases import column_of_cases, of_image
from qupath_her2.project.exchange import folder_image_id
from qupath_her2.records import CaseInfo

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
    folder : holds ``HE`` and ``IHC``, or is one of them.
    stain : which of the two.
    """
    root = folder / stain if (folder / stain).is_dir() else folder
    pattern = re.compile(r"(?P<number>\d+)_(?P<split>train|test)_(?P<label>[0-3]\+?)", re.IGNORECASE)
    images = []
    for path in _files(root, (".png", ".jpg", ".jpeg"), "BCI", "{HE,IHC}/{train,test}/00001_train_2+.png"):
        name = _matched(pattern, path, "00001_train_2+.png")
        images.append(_image(folder, path, name["label"], split=_SPLITS[name["split"].casefold()]))
    return Source("bci", tuple(images), has_split=True, are_crops=True, notes=(_UNKNOWN_CASES,))


def load_her2_ihc_40x(folder: Path) -> Source:
    """Read HER2-IHC-40x (Zenodo 15179608), in both spellings of its folders.

    ``{train,test}/class_2+/her2-2-score_train_1.png`` or ``Patches/{Train,Test}/2+/….png``: the folder is the label.

    Parameters
    ----------
    folder : holds ``train`` and ``test``, or ``Patches``.
    """
    images = []
    for path in _files(
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
        images.append(_image(folder, path, label[1], split=split))
    return Source("her2-ihc-40x", tuple(images), has_split=True, are_crops=True, notes=(_UNKNOWN_CASES,))


def load_warwick(folder: Path, stain: StainName = "IHC") -> Source:
    """Read the Warwick HER2 contest: ``<case>_HER2.ndpi``, ``<case>_HE.ndpi``, and a table saved as CSV.

    Columns ``CaseNo`` and ``HeR2 SCORE``. Regions are read where a GeoJSON lies beside the slide.

    Parameters
    ----------
    folder : holds slides and table.
    stain : slides of which stain.
    """
    _, rows = find_table(folder, ("CaseNo", "HeR2 SCORE"))
    scores = {_case_number(row["caseno"]): row["her2_score"] for row in rows if row.get("caseno")}
    ending = {"IHC": "HER2", "HE": "HE"}[stain]
    pattern = re.compile(rf"(?P<case>.+)_{ending}", re.IGNORECASE)
    images = []
    for path in _files(folder, _SLIDES, "Warwick", f"<case>_{ending}.ndpi"):
        name = pattern.fullmatch(path.stem)
        if name is not None:
            label = scores.get(_case_number(name["case"])) or None
            images.append(_image(folder, path, label, case=_case_number(name["case"])))
    return Source("warwick", _some(images, folder, f"<case>_{ending}.ndpi"))


def load_yale(folder: Path) -> Source:
    """Read the Yale HER2 cohort and the TCGA slides with it (TCIA, "HER2 tumor ROIs"): SVS and Aperio XML.

    ``SVS/Her2Pos_Case_01.svs``: label and case are in the name. Of ``TCGA-XX-YYYY-….svs`` the case is the first three
    parts of the barcode; the label, and any other, comes from a ``cases.csv`` with the columns image and label.

    Parameters
    ----------
    folder : holds slides and XML files, in whatever folders.
    """
    regions = {path.stem.casefold(): path for path in sorted(folder.rglob("*.xml"))}
    cases = folder / "cases.csv"
    _, given = column_of_cases(cases, ("label", "her2", "her2_status")) if cases.is_file() else (None, {})
    pattern = re.compile(r"Her2(?P<status>Pos|Neg)_Case_\d+", re.IGNORECASE)
    images = []
    for path in _files(folder, _SLIDES, "Yale", "SVS/Her2Pos_Case_01.svs"):
        name = pattern.match(path.stem)
        label = of_image(given, path.name)
        case = None
        if name is not None:
            label = label or {"pos": "positive", "neg": "negative"}[name["status"].casefold()]
            case = name[0]
        elif path.stem.upper().startswith("TCGA-"):
            case = "-".join(path.stem.upper().split("-")[:3])
        xml = regions.get(path.stem.casefold())
        images.append(_image(folder, path, label, case=case, regions_path=xml))
    return Source("yale", tuple(images))


def load_herohe(folder: Path) -> Source:
    """Read HEROHE: ``<case>.mrxs`` with the folder beside it, and its table, CSV with semicolons.

    Columns ``Case``, ``Immunohistochemistry``, ``Final Result (Ground truth)``. The final result of a 2+ is that of
    ISH, so 2+ becomes ``2+ ISH+`` or ``2+ ISH-``, and every HER2 task can be made of one label.

    Parameters
    ----------
    folder : holds slides and table.
    """
    columns = ("Case", "Immunohistochemistry", "Final Result (Ground truth)")
    _, rows = find_table(folder, columns)
    labels = {_case_number(row["case"]): _herohe_label(row) for row in rows if row.get("case")}
    images = []
    for path in _files(folder, (".mrxs",), "HEROHE", "<case>.mrxs"):
        case = _case_number(path.stem)
        images.append(_image(folder, path, labels.get(case), case=case))
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
    name : one of `LAYOUTS`.
    folder : where it was unpacked.
    stain : ``HE`` or ``IHC``, of those that hold both; IHC where None.

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


_SLIDES = (".ndpi", ".svs", ".tif", ".tiff", ".mrxs", ".png", ".jpg", ".jpeg")


def _files(folder: Path, suffixes: tuple[str, ...], what: str, example: str) -> list[Path]:
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.casefold() in suffixes
        and path.is_file()
        and "her2" not in path.relative_to(folder).parts[:-1]
    ]
    return list(_some(found, folder, f"{example} ({what})"))


def _some(found: Iterable, folder: Path, example: str) -> tuple:  # type: ignore[type-arg]
    kept = tuple(found)
    if not kept:
        raise PatchError(
            f"No image below '{folder}' that lies like {example}. Check --layout and the folder."
        )
    return kept


def _matched(pattern: re.Pattern[str], path: Path, example: str) -> re.Match[str]:
    name = pattern.fullmatch(path.stem)
    if name is None:
        raise PatchError(
            f"'{path.name}' is not named like {example}, so its label is unknown. Check --layout."
        )
    return name


def _case_number(text: str) -> str:
    """Return a case's number without leading zeros: tables write 1 where files write 01."""
    text = re.sub(r"\.0+$", "", text.strip())
    return text.lstrip("0") or "0" if text.isdigit() else text


def _image(
    folder: Path,
    path: Path,
    label: str | None,
    *,
    case: str | None = None,
    split: int = -1,
    regions_path: Path | None = None,
) -> SourceImage:
    relative = path.relative_to(folder).as_posix()
    beside = (path.with_name(path.name + ".geojson"), path.with_suffix(".geojson"))
    geojson = next((candidate for candidate in beside if candidate.is_file()), None)
    return SourceImage(
        id=folder_image_id(relative),
        name=relative,
        path=path,
        case=CaseInfo(case=case),
        label=label,
        regions_path=geojson or regions_path,
        regions_format="geojson" if geojson or regions_path is None else "aperio",
        split=split,
    )
