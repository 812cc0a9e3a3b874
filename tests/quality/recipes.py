"""Each recipe with its own network against its shuffled-label control, on drawn cases that neither has seen.

``python -m tests.quality.recipes [RECIPE ...]`` prints one line per recipe and takes minutes on a CPU. Weights are
random at the start, so this shows that a recipe learns, not how well it performs on tissue.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from qupath_her2.patches.cutting.cut_patches import manifest_from_regions
from qupath_her2.recipes import RECIPES
from qupath_her2.runs.plan import find_settings
from qupath_her2.training.classifier import train_network
from qupath_her2.training.types import TrainedNetwork, TrainJob
from tests.helpers.recipes import DRAWN

#: Some networks need more cases or epochs to learn from random weights than the tiny networks of the tests.
OWN = {
    **DRAWN,
    "patch-count": replace(DRAWN["patch-count"], cases=12, epochs=30, batch_size=16),
    "se-resnet50": replace(DRAWN["se-resnet50"], cases=12, epochs=25),
}


def train_both(
    name: str, folder: Path, seed: int = 0, model: str | None = None
) -> tuple[TrainedNetwork, ...]:
    """Train a recipe and its control on a study drawn into `folder`."""
    recipe, drawn = RECIPES[name], OWN[name]
    drawn.draw(folder, seed)
    settings = find_settings(folder, None, drawn.settings(), recipe=recipe)
    manifest = manifest_from_regions(folder, settings.patches)
    jobs = [
        TrainJob(
            manifest, recipe, settings, folder / "out" / kind, model or recipe.model, "random", is_control
        )
        for kind, is_control in (("trained", False), ("control", True))
    ]
    return tuple(train_network(job) for job in jobs)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "recipes", nargs="*", default=list(OWN), metavar="RECIPE", help="recipes to train; all by default"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the drawn study")
    parser.add_argument("--model", help="network in place of the recipes' own, e.g. timm:test_convnext")
    asked = parser.parse_args()
    print("correct of the test part          patches           images")
    print(f"{'recipe':<18}{'network':<25}trained  control   trained  control   CPU s")
    for name in asked.recipes:
        start = time.process_time()
        with tempfile.TemporaryDirectory() as place:
            found = train_both(name, Path(place), asked.seed, asked.model)
        shares = []
        for one in found:
            assert one.test is not None
            shares += [one.test.patches.accuracy, one.test.images.accuracy]
        texts = [f"{share.k:3d}/{share.n:<3d}" for share in (shares[0], shares[2], shares[1], shares[3])]
        network = asked.model or RECIPES[name].model
        seconds = time.process_time() - start
        print(f"{name:<18}{network:<25}{'  '.join(texts)}  {seconds:6.0f}", flush=True)


if __name__ == "__main__":
    main()
