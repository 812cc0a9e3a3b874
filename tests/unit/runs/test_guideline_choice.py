"""The guideline of an image: who may choose it, in which order, and what is remembered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qupath_her2.config import Settings
from qupath_her2.errors import SettingsError
from qupath_her2.records import CHOSEN_FOR_IMAGE, CaseInfo, SlideRef
from qupath_her2.runs.guideline_choice import with_guideline
from qupath_her2.runs.options import RunOptions
from qupath_her2.scoring.score_cells import ScoringSettings

REMEMBERED = "CAP/ASCP/ASCO gastric 2016, biopsy"
BREAST_BY_TABLE = CaseInfo("K1", "breast", guideline_origin="cases.csv")
GASTRIC_BY_TABLE = CaseInfo("K1", "gastric", guideline_origin="cases.csv")


def chosen(
    case: CaseInfo | None = None, remembered: str | None = None, setting: str = "auto", **flags: str
) -> tuple[str, str, CaseInfo]:
    """Return key and origin of the guideline, and the case in use."""
    ref = SlideRef("1_a", "a.svs", Path("a.svs"), case=case or CaseInfo(), chosen_guideline=remembered)
    settings = replace(Settings(), scoring=ScoringSettings(guideline=setting))
    used, of_image = with_guideline(ref, RunOptions(**flags), settings)  # type: ignore[arg-type]
    return of_image.scoring.guideline, used.case.guideline_origin, used.case


@pytest.mark.parametrize(
    ("given", "guideline", "origin"),
    [
        ({}, "breast-2018", "default"),
        ({"case": BREAST_BY_TABLE}, "breast-2018", "cases.csv"),
        ({"case": GASTRIC_BY_TABLE}, "gastric-resection", "cases.csv"),
        ({"case": replace(GASTRIC_BY_TABLE, guideline_origin="image metadata")}, "gastric-resection", "image metadata"),
        ({"setting": "breast-2013"}, "breast-2013", "her2.toml"),
        ({"setting": "breast-2013", "case": GASTRIC_BY_TABLE}, "breast-2013", "her2.toml"),
        ({"setting": "breast-2013", "remembered": REMEMBERED}, "gastric-biopsy", CHOSEN_FOR_IMAGE),
        ({"case": BREAST_BY_TABLE, "remembered": REMEMBERED}, "gastric-biopsy", CHOSEN_FOR_IMAGE),
        ({"remembered": REMEMBERED, "site": "breast"}, "breast-2018", CHOSEN_FOR_IMAGE),
        ({"remembered": REMEMBERED, "guideline": "csco-2021"}, "csco-2021", CHOSEN_FOR_IMAGE),
        ({"remembered": REMEMBERED, "guideline": "auto"}, "breast-2018", "default"),
        ({"setting": "breast-2013", "guideline": "auto", "site": "gastric"}, "gastric-resection", CHOSEN_FOR_IMAGE),
        ({"setting": "breast-2013", "guideline": "Auto", "case": GASTRIC_BY_TABLE}, "gastric-resection", "cases.csv"),
        ({"site": "gastric"}, "gastric-resection", CHOSEN_FOR_IMAGE),
        ({"site": "gastric", "guideline": "auto"}, "gastric-resection", CHOSEN_FOR_IMAGE),
        ({"site": "gastric", "specimen": "biopsy"}, "gastric-biopsy", CHOSEN_FOR_IMAGE),
        ({"case": GASTRIC_BY_TABLE, "specimen": "biopsy"}, "gastric-biopsy", CHOSEN_FOR_IMAGE),
        # The specimen makes no difference to a breast guideline.
        ({"specimen": "biopsy"}, "breast-2018", "default"),
    ],
)  # fmt: skip
def test_guideline_and_its_origin(given: dict[str, str], guideline: str, origin: str) -> None:
    assert chosen(**given)[:2] == (guideline, origin)  # type: ignore[arg-type]


def test_unstated_site_is_that_of_the_guideline() -> None:
    case = chosen(remembered=REMEMBERED)[2]
    assert (case.site, case.specimen) == ("gastric", "biopsy")
    case = chosen(guideline="gastric-resection")[2]
    assert (case.site, case.specimen) == ("gastric", "resection")
    # A stated site stays, and scoring warns of the contradiction.
    assert chosen(case=BREAST_BY_TABLE, guideline="gastric-biopsy")[2].site == "breast"


def test_choice_and_its_memory_give_one_state() -> None:
    """What a flag chose is found again without it, so that the next run from the menu is up to date."""
    assert chosen(site="gastric", specimen="biopsy") == chosen(remembered=REMEMBERED)
    assert chosen(guideline="gastric-biopsy") == chosen(remembered=REMEMBERED)


@pytest.mark.parametrize("given", [{"remembered": "breast"}, {"setting": "auto", "guideline": "gastric"}])
def test_unknown_guidelines_name_the_place(given: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="Did you mean") as caught:
        chosen(**given)  # type: ignore[arg-type]
    assert ("HER2 guideline" in str(caught.value)) == ("remembered" in given)
