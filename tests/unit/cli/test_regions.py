"""``regions``: the list of regions, and what is ignored."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.unit.cli.commands import call


def test_regions_lists_and_explains(project: Path) -> None:
    content = json.loads((project / "strong.geojson").read_text())
    content["features"].append({"type": "Feature", "id": "odd", "geometry": None, "properties": {}})
    (project / "strong.geojson").write_text(json.dumps(content))
    (project / "pale.geojson").write_text("{")
    code, out, err = call("regions", project)
    assert code == 3
    assert "pale.geojson" in err
    assert re.search(r"tumour\s+Tumor", out)
    assert re.search(r"set aside: feature \d+ \(odd\)", out)
    assert "1 features set aside" in out


def test_regions_of_an_image_that_is_gone(project: Path) -> None:
    (project / "pale.ome.tif").write_bytes(b"")
    code, _, err = call("regions", project)
    assert code == 3
    assert "pale.ome.tif" in err
