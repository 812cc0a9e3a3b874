"""Train the U-Net that ships with the package (``--cells unet``): ``python -m tests.quality.shipped_unet --out DIR``.

It is trained on drawn fields at 0.25 µm/px alone: training fields with seeds from 850 000 on, validation 860 000, which
nothing else uses. The training is that of `segmenters`, on more fields with more differences between laboratories,
scanners and tissues. Compare ``DIR/best`` on fresh fields and on real cores with `network_cells`, then copy
``DIR/shipped/unet`` to ``qupath_her2/models/data``: the same network, with a card that does not describe the machine.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from qupath_her2.models.checkpoint import load_checkpoint, save_checkpoint
from qupath_her2.patches.targets.drawn_windows import drawn_windows
from tests.quality.segmenters import SMALL_PX, VARIED, WINDOW_PX, draw_fields, train_one

#: First seed of training and validation fields, and number of fields per score.
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


def write_shipped(checkpoint: Path, target: Path) -> None:
    """Write a checkpoint with the card that goes into the package."""
    model, card = load_checkpoint(checkpoint)
    versions = {name: card.versions[name] for name in ("torch", "numpy")}
    save_checkpoint(target, model, replace(card, versions=versions))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="output folder; a stopped training resumes")
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument(
        "--epochs", type=int, nargs=2, default=(14, 5), help="epochs on small windows and on large ones"
    )
    chosen = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    fields = draw_fields(PARTS, MORE_VARIED)
    small, data = (drawn_windows(fields, window=side) for side in (SMALL_PX, WINDOW_PX))
    seconds = train_one("unet", small, data, chosen.out, width=chosen.width, epochs=tuple(chosen.epochs))
    write_shipped(chosen.out / "best", chosen.out / "shipped" / "unet")
    print(f"{chosen.out / 'best'}: {seconds:.0f} s on one core", flush=True)


if __name__ == "__main__":
    main()
