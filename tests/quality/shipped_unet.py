"""Train a U-Net that ships with the package (``--cells unet``): ``python -m tests.quality.shipped_unet --out DIR``.

There is one for 0.25 µm/px and, with ``--um-px 0.5``, one for slides scanned at 20x, which also tells nuclei of tumour
cells from all others. Both are trained on drawn fields alone, whose seeds nothing else uses. The training is that of
`segmenters`, on more fields with more differences between laboratories, scanners and tissues. Compare ``DIR/best`` on
fresh fields and on real cores with `network_cells`, then copy ``DIR/shipped/*`` to ``qupath_her2/models/data``: the
same network, with a card that does not describe the machine.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qupath_her2.models.checkpoint import load_checkpoint, save_checkpoint
from qupath_her2.models.shipped import shipped_checkpoint
from qupath_her2.patches.targets.drawn_windows import DrawnWindow, drawn_windows
from tests.quality.segmenters import SMALL_PX, VARIED, WINDOW_PX, draw_fields, train_one
from tests.quality.varied_tissue import draw_varied_fields

#: First seed of training and validation fields at 0.25 µm/px, and number of fields per score.
PARTS = ((850_000, 8), (860_000, 2))
#: Used in turn. Their number is coprime to that of the scores, so that each score meets each variation.
MORE_VARIED: tuple[dict[str, Any], ...] = (
    *VARIED,
    # Tall columnar epithelium.
    {"cell_aspect": (1.4, 2.4), "nucleus_aspect": (1.3, 2.4), "gland": 0.7},
    # Large pale nuclei.
    {"haematoxylin_od": (0.04, 0.10), "nucleus_area_share": (0.35, 0.6), "cell_diameter_um": 14.5},
    {"lymphocytes": 0.9, "collagen": 0.9, "stroma": 0.4, "haematoxylin_od": (0.10, 0.25)},
    {"diffuse_dab_od": (0.04, 0.14), "glare": 0.05},
    {"psf_um": 0.5, "stain_scale": 1.3, "jpeg_quality": 60, "noise": 3.5},
    {"crowding": 1.0, "overlap": 0.25, "cell_diameter_um": 11.0},
)


@dataclass(frozen=True, slots=True)
class Training:
    """Drawn fields and training of one of the networks.

    `name` : of the checkpoint. `draw` : returns the fields. `windows_px` : small windows, for many steps, then those
    of the network. `epochs` : on each. `tells_tumour` : see `drawn_windows`. `start_from` : see `train_one`.
    """

    name: str
    draw: Callable[[], Sequence[DrawnWindow]]
    windows_px: tuple[int, int]
    epochs: tuple[int, int]
    tells_tumour: bool = False
    start_from: Path | None = None


#: By the pixel size of the network, µm.
TRAININGS = {
    0.25: Training("unet", lambda: draw_fields(PARTS, MORE_VARIED), (SMALL_PX, WINDOW_PX), (14, 5)),
    # A window of 125 px shows 62 µm, enough to tell tumour from stroma. The finer network is a better start than random
    # weights: edges and stains look alike at both scales.
    0.5: Training(
        "unet-0.5",
        draw_varied_fields,
        (125, 250),
        (8, 1),
        tells_tumour=True,
        start_from=shipped_checkpoint("unet"),
    ),
}


def write_shipped(checkpoint: Path, target: Path) -> None:
    """Write a checkpoint with the card that goes into the package."""
    model, card = load_checkpoint(checkpoint)
    versions = {name: card.versions[name] for name in ("torch", "numpy")}
    save_checkpoint(target, model, replace(card, versions=versions))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="output folder; a stopped training resumes")
    parser.add_argument("--um-px", type=float, default=0.25, choices=list(TRAININGS))
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--epochs", type=int, nargs=2, help="epochs on small windows and on large ones")
    chosen = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    training = TRAININGS[chosen.um_px]
    fields = training.draw()
    small, data = (
        drawn_windows(fields, window=side, tells_tumour=training.tells_tumour) for side in training.windows_px
    )
    epochs = tuple(chosen.epochs or training.epochs)
    seconds = train_one(
        "unet", small, data, chosen.out, width=chosen.width, epochs=epochs, start_from=training.start_from
    )
    write_shipped(chosen.out / "best", chosen.out / "shipped" / training.name)
    print(f"{chosen.out / 'best'}: {seconds:.0f} s on one core", flush=True)


if __name__ == "__main__":
    main()
