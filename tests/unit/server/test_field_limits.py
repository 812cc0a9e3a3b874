from __future__ import annotations

import re

from qupath_her2.server.field_limits import MOST_AREA_PX2, too_large
from tests.groovy.conftest import SCRIPTS


def test_qupath_knows_the_limit_of_the_service() -> None:
    text = (SCRIPTS / "lib" / "Her2Service.groovy").read_text(encoding="utf-8")
    (limit,) = re.findall(r"MOST_AREA_PX2 = ([0-9_]+)", text)
    assert int(limit) == MOST_AREA_PX2
    assert too_large(MOST_AREA_PX2) == "The field has 25 megapixels."
