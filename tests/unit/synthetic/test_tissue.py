from __future__ import annotations

import pytest

from qupath_her2.errors import SettingsError
from qupath_her2.synthetic.settings import FieldSettings
from qupath_her2.synthetic.tissue import ARCHITECTURES, TissueSettings


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"architectures": ()}, "architectures"),
        ({"architectures": ("solid", "papillary")}, "papillary"),
        ({"immune_stain": "dots"}, "dots"),
        ({"tumour": 1.2}, "tumour"),
        ({"benign_dab_od": (0.4, 0.1)}, "benign_dab_od"),
        ({"nest_um": 5.0}, "nest_um"),
        ({"cleft_um": 80.0}, "cleft_um"),
        ({"wall_um": (2.0, 9.0)}, "wall_um"),
    ],
)
def test_invalid_tissue_is_refused_by_name(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        TissueSettings(**wrong)


def test_every_growth_pattern_is_accepted_and_fields_have_no_tissue_unless_asked() -> None:
    assert TissueSettings(architectures=ARCHITECTURES).architectures == ARCHITECTURES
    assert FieldSettings().tissue is None
