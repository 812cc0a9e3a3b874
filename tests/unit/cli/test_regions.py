"""``regions``: the list of regions, and what is ignored."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import tifffile

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


def test_nuclei_that_do_not_fit_the_pixel_size_are_named(project: Path) -> None:
    _, fits, _ = call("regions", project)
    assert "Nuclei would be" not in fits
    _, halved, _ = call("regions", project, "--pixel-size-um", "0.25")
    assert re.search(r"strong\.ome\.tif:.*\n(  .*\n)*  Nuclei would be \d\.\d µm wide at 0\.25 µm", halved)


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


def test_every_tma_core_has_a_line(project: Path) -> None:
    def core(name: str, x: int, **more: bool) -> dict[str, object]:
        ring = [[x, 10], [x + 100, 10], [x + 100, 110], [x, 110], [x, 10]]
        return {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"objectType": "tma_core", "name": name, **more},
        }

    (project / "pale.geojson").unlink()
    path = project / "strong.geojson"
    cores = [core("A-1", 0), core("A-2", 105), core("A-3", 210), core("A-4", 315, isMissing=True)]
    tumour = {**core("", 50), "properties": {"classification": {"name": "Tumor"}}}
    path.write_text(json.dumps([*cores, tumour]))
    _, out, _ = call("regions", project)
    # The tumour reaches from 50 to 150: half of the first core, and 45 of 100 px of the second.
    assert [line.strip() for line in out.splitlines() if "TMA core '" in line] == [
        "TMA core 'A-1', 10,000 px², tumour in 5,000 px²",
        "TMA core 'A-2', 10,000 px², tumour in 4,500 px²",
        "TMA core 'A-3', 10,000 px², no tumour region in it",
        "TMA core 'A-4', 10,000 px², marked missing",
    ]
    assert "1 region files: 1 regions, 4 TMA cores, 0 features set aside" in out
    path.write_text(json.dumps(cores))
    _, out, _ = call("regions", project)
    assert out.count("scored as a whole") == 3


def test_regions_of_a_stack_name_its_planes(project: Path) -> None:
    stack = np.full((3, 420, 420, 3), 240, np.uint8)
    tifffile.imwrite(project / "strong.ome.tif", stack, photometric="rgb", metadata={"axes": "ZYXS"})
    code, _, err = call("regions", project, "--images", "strong*")
    assert code == 3
    assert "planes 0 to 2 with --plane" in err
    assert call("regions", project, "--images", "strong*", "--plane", 2)[0] == 0
