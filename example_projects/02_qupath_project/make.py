"""Make this example again: ``python example_projects/02_qupath_project/make.py [FOLDER]``.

Draws three HER2 slides, puts them into a QuPath project with their regions, and scores the first with the commands of
a user. Everything is drawn by `qupath_her2.synthetic` from fixed seeds; no patient stands behind it. Needs a QuPath
(``PAQUO_QUPATH_DIR`` names one): 0.5.1, whose projects newer ones open. A test makes it again with each QuPath it
finds, and compares what QuPath finds in both.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from qupath_her2.synthetic.example_project import write_field
from qupath_her2.synthetic.tissue import TissueSettings

HERE = Path(__file__).parent
#: Name, intended score, seed. The first is scored, the second is outlined, the third is as it came from the scanner.
SLIDES = (("slide01", "2+", 741), ("slide02", "3+", 753), ("slide03", "0", 721))
CASES = {"slide01": "K-21", "slide02": "K-22", "slide03": "K-23"}
#: Nests of tumour in stroma, stained close to QuPath's default stain vectors and in focus everywhere.
HOW: dict[str, Any] = {
    "kind": "breast", "width_px": 800, "height_px": 600, "cell_diameter_um": 12.0, "out_of_focus": 0.0,
    "haematoxylin_vector": (0.651, 0.701, 0.290), "dab_vector": (0.30, 0.57, 0.765), "stain_jitter": 0.01,
    "white": (244.0, 244.0, 246.0), "tissue": TissueSettings(tumour=0.5, nest_um=45.0, fat=0.05, scatter=0.2),
}  # fmt: skip
#: Milliseconds of 1 January 2026, for the times that QuPath writes into a project.
TIME_MS = 1_767_225_600_000
#: Copies that QuPath and the program keep of what they replace, and the report, which the next scoring writes again.
LEFT_OUT = ("*.backup", "data.before-her2.qpdata", "report.html")


def draw(slides: Path) -> dict[str, list[dict[str, Any]]]:
    """Draw the slides into a folder, and return the regions of those that are outlined."""
    slides.mkdir()
    regions = {}
    for name, score, seed in SLIDES:
        _, outlines = write_field(slides, name, score=score, seed=seed, **HOW)
        features = json.loads(outlines.read_bytes())["features"]
        outlines.unlink()
        regions[name] = [] if name == "slide03" else features
    return regions


def make_project(folder: Path) -> None:
    """Make the project as QuPath saves it, each slide with its type, its case and its regions."""
    # Here, not above: importing it starts QuPath.
    from paquo.images import QuPathImageType
    from paquo.projects import QuPathProject

    with QuPathProject(folder, mode="x") as project:
        for name, regions in draw(folder / "slides").items():
            image = project.add_image(
                folder / "slides" / f"{name}.ome.tif", image_type=QuPathImageType.BRIGHTFIELD_H_DAB
            )
            image.image_name = name
            image.metadata["case"] = CASES[name]
            image.hierarchy.load_geojson(regions)
            image.save()


def score(folder: Path) -> None:
    """Score the first slide: regions out of the project, cells and score back into it."""
    words = [sys.executable, "-m", "qupath_her2", "run", "project.qpproj", "--images", "slide01"]
    subprocess.run(words, cwd=folder, check=True)


def tidy(folder: Path) -> None:
    """Take out what is of this machine and this hour: folder, times, random names, system.

    QuPath compares the folder that a project names with the one in which it finds it, and looks for the slides there.
    """
    here = str(folder.parent)
    # As long as the real one: Java counts the characters of a text in its files.
    elsewhere = ("/elsewhere" + "_" * len(here))[: len(here)]
    for path in (
        folder / "project.qpproj",
        *folder.glob("data/*/*.qpdata"),
        *folder.glob("data/*/server.json"),
    ):
        path.write_bytes(path.read_bytes().replace(here.encode(), elsewhere.encode()))
    rewrite(folder / "project.qpproj", fixed_project)
    for path in folder.glob("data/*/summary.json"):
        rewrite(path, lambda summary: summary | {"timestamp": TIME_MS})
    for path in folder.glob("her2/results/*/*/run.json"):
        rewrite(path, fixed_run)


def rewrite(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change the content of a JSON file."""
    content = change(json.loads(path.read_bytes()))
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def fixed_project(project: dict[str, Any]) -> dict[str, Any]:
    """Return a project whose times and random names are the same each time."""
    for image in project["images"]:
        image["randomizedName"] = str(uuid5(NAMESPACE_URL, f"qupath-her2/example/{image['imageName']}"))
    return project | {"createTimestamp": TIME_MS, "modifyTimestamp": TIME_MS}


def fixed_run(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record of a run without this machine's system and speed."""
    del record["versions"]["platform"]
    return record | {"timings_s": {}}


def main(target: Path) -> None:
    """Make the project elsewhere, since QuPath makes one in an empty folder only, and put it into `target`."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve() / "02_qupath_project"
        make_project(folder)
        score(folder)
        tidy(folder)
        for part in ("data", "her2", "slides"):
            shutil.rmtree(target / part, ignore_errors=True)
        shutil.copytree(folder, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*LEFT_OUT))


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else HERE)
