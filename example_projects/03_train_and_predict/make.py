"""Make this example again: ``python example_projects/03_train_and_predict/make.py [FOLDER]``.

Draws a cohort of breast tissue with its tumour outlined and two new slides without outlines, then runs the commands of
the walk-through (`README.md`) and keeps the checkpoint and the predicted tiles. Everything is drawn by
`qupath_her2.synthetic` from fixed seeds; no patient stands behind it. Needs ``pip install ".[learn]"``, no GPU. A test
makes it again and compares: pictures and regions must be the same, the network must predict the same tiles.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from qupath_her2.project.class_names import PATCH_CLASS, patch_colour
from qupath_her2.project.exchange.patch_files import patches_of_run
from qupath_her2.project.exchange.runs import read_record
from qupath_her2.records import PatchTable
from qupath_her2.synthetic.example_project import write_field
from qupath_her2.synthetic.tissue import TissueSettings

HERE = Path(__file__).parent
SCORES = ("0", "1+", "2+", "3+", "0", "1+", "2+", "3+", "1+", "2+")
TISSUE: dict[str, Any] = {"tumour": 0.45, "nest_um": 50.0, "fat": 0.1, "scatter": 0.2}
#: What a small cohort on a processor changes in the recipe.
SETTINGS = """\
# The recipe's own values suit a hundred slides and a GPU. These suit ten small pictures and a processor:
# patches of 64 instead of 256 px, 24 of each class from a picture, and a few epochs with a quicker optimiser.
[patches]
random_per_image = 24
shares = [0.6, 0.2, 0.2]
[patches.grid]
patch_size_px = 64
[train]
epochs = 8
batch_size = 32
optimiser = "adam"
device = "cpu"
[train.schedule]
kind = "cosine"
learning_rate = 2e-3
[predict]
device = "cpu"
"""
TRAIN = (
    "train",
    "cohort",
    "--recipe",
    "tumour-resnet34",
    "--model",
    "timm:test_resnet",
    "--weights",
    "random",
)
PREDICT = ("predict", "new", "--model", "checkpoint/tumour", "--whole-tissue", "--device", "cpu")


def draw(folder: Path) -> None:
    """Draw the ten pictures of the cohort, outlined, and the two new ones."""
    cohort, new = folder / "cohort", folder / "new"
    cohort.mkdir(parents=True, exist_ok=True)
    new.mkdir(exist_ok=True)
    rows = ["image,case"]
    for number, score in enumerate(SCORES, start=11):
        # Every other case also grows in cords one cell wide.
        patterns = ("solid",) if number % 2 else ("solid", "trabecular")
        tissue = TissueSettings(architectures=patterns, **TISSUE)
        write_field(
            cohort, f"case{number}", score=score, seed=489 + number, side_px=400, kind="breast", tissue=tissue
        )
        rows.append(f"case{number}.ome.tif,K-{number}")
    (cohort / "cases.csv").write_text("\n".join([*rows, ""]), encoding="utf-8")
    (cohort / "her2.toml").write_text(SETTINGS, encoding="utf-8")
    for name, score, seed in (("new1", "2+", 610), ("new2", "3+", 611)):
        tissue = TissueSettings(**TISSUE)
        size = {"width_px": 960, "height_px": 640}
        _, regions = write_field(new, name, score=score, seed=seed, kind="breast", tissue=tissue, **size)
        # Nobody has outlined anything here.
        regions.unlink()


def run(folder: Path, *words: str) -> None:
    """Run a command of the walk-through in `folder`."""
    subprocess.run([sys.executable, "-m", "qupath_her2", *words], cwd=folder, check=True)


def keep_checkpoint(trained: Path, target: Path) -> None:
    """Keep the weights and their card; of the versions those that matter, none of this machine."""
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(trained.with_suffix(".safetensors"), target.with_suffix(".safetensors"))
    card = json.loads(trained.with_suffix(".json").read_bytes())
    card["versions"] = {name: card["versions"][name] for name in ("qupath-her2", "torch")}
    target.with_suffix(".json").write_text(
        json.dumps(card, indent=2, sort_keys=True) + "\n", encoding="utf-8"
    )


def keep_tiles(predicted: Path, target: Path) -> None:
    """Keep the tiles of each new slide as QuPath reads them, and the heat map as an image of its own."""
    target.mkdir(exist_ok=True)
    for run_dir in sorted(path.parent for path in predicted.glob("results/*/*/run.json")):
        record = read_record(run_dir)
        name = str(record.image["name"]).removesuffix(".ome.tif")
        tiles = patches_of_run(run_dir, record)
        features = [tile_feature(tiles, row, f"{name}/{row}") for row in range(len(tiles))]
        lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in features)
        text = f'{{"type":"FeatureCollection","features":[\n{lines}\n]}}\n'
        (target / f"{name}.geojson").write_text(text, encoding="utf-8")
        shutil.copyfile(run_dir / "heatmap.ome.tif", target / f"{name}_heatmap.ome.tif")


def tile_feature(tiles: PatchTable, row: int, key: str) -> dict[str, Any]:
    """Return a tile in the form in which QuPath exports and imports it."""
    left, top, width, height = map(int, tiles.box_xywh[row])
    right, bottom = left + width, top + height
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    name = tiles.class_names[tiles.patch_class[row]]
    probabilities = zip(tiles.class_names, tiles.probabilities[row], strict=True)
    return {
        "type": "Feature",
        "id": str(uuid5(NAMESPACE_URL, f"qupath-her2/example/tile/{key}")),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "objectType": "tile",
            "classification": {"name": name, "color": patch_colour(name)},
            "measurements": {
                f"HER2: probability {one.removeprefix(PATCH_CLASS)}": round(float(value), 3)
                for one, value in probabilities
            },
        },
    }


def main(folder: Path) -> None:
    """Make the example in `folder`."""
    draw(folder)
    with tempfile.TemporaryDirectory() as place:
        run(folder, *TRAIN, "--name", "tumour", "--out", place)
        keep_checkpoint(Path(place, "models", "tumour", "best"), folder / "checkpoint" / "tumour")
        run(folder, *PREDICT, "--out", place)
        keep_tiles(Path(place, "predictions"), folder / "tiles")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else HERE)
