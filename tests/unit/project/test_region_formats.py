"""Region files of all formats through one function, told apart by their endings."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from qupath_her2.project.class_names import ClassNames
from qupath_her2.project.region_formats import read_region_file

SQUARE = [(100, 100), (300, 100), (300, 300), (100, 300)]


@dataclass
class OpenImage:
    """What a slide reader tells, of a scan whose centre is the centre of the glass."""

    width: int = 400
    height: int = 400
    pixel_size_x_um: float | None = 0.5
    pixel_size_y_um: float | None = 0.5
    scan_offset_nm: tuple[float, float] | None = (0.0, 0.0)


def geojson() -> str:
    geometry = {"type": "Polygon", "coordinates": [[*SQUARE, SQUARE[0]]]}
    properties = {"classification": {"name": "Malignant"}}
    return json.dumps({"type": "Feature", "geometry": geometry, "properties": properties})


def aperio() -> str:
    points = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in SQUARE)
    region = f'<Region Id="1" Type="0"><Vertices>{points}</Vertices></Region>'
    return f'<Annotations><Annotation Name="Malignant"><Regions>{region}</Regions></Annotation></Annotations>'


def asap() -> str:
    points = "".join(f'<Coordinate Order="{i}" X="{x}" Y="{y}"/>' for i, (x, y) in enumerate(SQUARE))
    outline = (
        f'<Annotation Name="A 0" Type="Polygon" PartOfGroup="Malignant"><Coordinates>{points}</Coordinates>'
    )
    return (
        f"<ASAP_Annotations><Annotations>{outline}</Annotation></Annotations><AnnotationGroups>"
        '<Group Name="Malignant" PartOfGroup="None"/></AnnotationGroups></ASAP_Annotations>'
    )


def ndpa() -> str:
    points = "".join(f"<point><x>{(x - 200) * 500}</x><y>{(y - 200) * 500}</y></point>" for x, y in SQUARE)
    outline = f'<annotation type="freehand"><closed>1</closed><pointlist>{points}</pointlist></annotation>'
    return f'<annotations><ndpviewstate id="1"><title>Malignant</title>{outline}</ndpviewstate></annotations>'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.geojson", geojson()),
        ("a.xml", aperio()),
        ("a.svs.XML", aperio()),
        ("b.xml", asap()),
        ("a.ndpi.ndpa", ndpa()),
    ],
)
def test_each_format_gives_the_same_region_with_the_users_class_names(
    name: str, text: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(text)
    found = read_region_file(path, OpenImage(), class_names=ClassNames(tumour=("Malignant",)))
    (region,) = found.regions
    assert (region.role, region.class_name) == ("tumour", "Malignant")
    assert region.geometry.bounds == (100, 100, 300, 300)
    assert region.geometry.area == 40_000
    assert found.quarantined == ()
