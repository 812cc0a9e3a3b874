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


def test_many_features_of_one_reason_are_one_line(project: Path) -> None:
    content = json.loads((project / "strong.geojson").read_text())
    corners = [(x, y) for x in range(0, 100, 5) for y in range(0, 80, 5)]
    squares = [[[x, y], [x + 4, y], [x + 4, y + 4], [x, y + 4], [x, y]] for x, y in corners]
    content["features"] += [
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": {}}
        for ring in squares
    ]
    (project / "strong.geojson").write_text(json.dumps(content))
    _, out, _ = call("regions", project)
    lines = [line for line in out.splitlines() if "set aside:" in line]
    assert len(lines) == 1
    assert re.search(
        r"set aside: 320 features, the first is \d+ \(no id\), each has no class; set its class to Tumor", out
    )
    assert "unclassified_is_tumour = true" in lines[0]
    assert "320 features set aside" in out
