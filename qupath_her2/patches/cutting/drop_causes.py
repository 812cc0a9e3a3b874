"""What is said where no patch comes out: counts per cause, and the way out of the most frequent one."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["nothing_came_out"]

_CURES = {
    "image: no region": "Draw regions and give them a class, or pass --whole-tissue.",
    "image: no label": "Add a column 'label' to cases.csv, or pass --keep-unlabelled.",
    "no label": "Give the regions a class that the task knows, add a column 'label' to cases.csv, or pass "
    "--keep-unlabelled.",
    "image: no pixel size": "Set it in QuPath (Image tab → Pixel width), or pass --pixel-size-um 0.25.",
    "image: pixels too coarse": "Pass a larger --um-px, or 0 for images as they lie.",
    "image: smaller than a patch": "Pass a smaller --size or --um-px.",
    "image: no truth": "Pull cells with nuclei (qupath-her2 pull --cells), annotate Membrane, Nucleus and Background, "
    "or lay <image>_mask.png beside the image.",
    "image: smaller than a crop": "Set crop_px in [patches.segmentation] of her2.toml, 0 for whole images.",
    "too little known": "Outline more, or set least_known in [patches.segmentation] of her2.toml.",
    "bright": "Pass --drop none or --drop white-black.",
    "white": "Pass --drop none.",
    "black": "Pass --drop none.",
}


def nothing_came_out(n_images: int, dropped: Mapping[str, int]) -> str:
    """Return the sentence for an empty result.

    Parameters
    ----------
    n_images
        That were looked at.
    dropped
        {cause: patches, regions or images}.
    """
    counts = {cause: count for cause, count in sorted(dropped.items()) if count}
    listed = "; ".join(f"{cause}: {count}" for cause, count in counts.items()) or "no region"
    most = max(counts, key=lambda cause: counts[cause], default="image: no region")
    cure = _CURES.get(most, "Check the regions and the settings.")
    return f"No patch came out of {n_images} image{'s' * (n_images != 1)}: {listed}. {cure}"
