"""Real pictures beside a reader's words: ``python -m tests.quality.real_pictures DATA --out DIR``.

Runs the program on breast fields, pictures that are no HER2 score, epithelium under PD-L1 and gastric cores, and prints
a table in Markdown with a reader's words beside the program's. The pictures are read in place. ``DIR`` receives one
exchange folder for each group, with reports and overlays to look at.

The reader is no pathologist, and so few pictures validate nothing: the table shows what the program does with tissue
that nobody drew. Pixel sizes are those that the size of nuclei suggests (see `qupath_her2.cells.scale`); no file holds
one, and the publishers of the BCI fields name another, 0.46 µm.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from qupath_her2.api.scoring import run
from qupath_her2.records import ImageResult

__all__ = ["GROUPS", "Group", "reading_table", "score_group"]


@dataclass(frozen=True, slots=True)
class Group:
    """Pictures of one source that are scored with one pixel size.

    Attributes
    ----------
    name
        Of the exchange folder.
    folder
        Within the data folder.
    pixel_size_um
        µm per pixel passed to the program.
    readings
        {pattern of the file name: what a reader sees}.
    """

    name: str
    folder: str
    pixel_size_um: float
    readings: dict[str, str]


GROUPS = (
    Group(
        "bci",
        "her2_breast_fields/IHC",
        0.46,
        {
            "00052*": "textbook 3+ glands in stroma, soft",
            "00118*": "pale stroma, two ducts, 0",
            "00249*": "benign ducts, strong and partly cytoplasmic, in stroma",
            "00640*": "fat and stroma, no tumour",
        },
    ),
    Group(
        "bci, 0.75 µm",
        "her2_breast_fields/IHC",
        0.75,
        {
            "00052*": "textbook 3+ glands in stroma, soft",
            "00118*": "pale stroma, two ducts, 0",
            "00249*": "benign ducts, strong and partly cytoplasmic, in stroma",
            "00640*": "fat and stroma, no tumour",
        },
    ),
    Group(
        "mist",
        "her2_breast_fields/IHC",
        0.46,
        {
            "mist_15M*": "tumour nests, faint granular membranes, 1+ to 2+",
            "mist_19M*": "3+ tumour in part, much stroma and glass",
            "mist_28M*": "badly out of focus",
            "mist_100M*": "stroma and debris, no tumour",
        },
    ),
    Group("lymphocytes", "traps", 0.25, {"lymphocyte*": "rings round lymphocytes (CD3/CD8), no tumour"}),
    Group("nuclear", "traps", 0.25, {"nuclear*": "nuclear stain"}),
    Group("cytokeratin", "traps", 0.5, {"cytokeratin*": "cytoplasm and fibres, no membrane stain"}),
    Group(
        "epithelium",
        "epithelium_masks",
        0.46,
        {
            "13_aggregate_l1p.png": "PD-L1 on immune cells, single large tumour cells unstained",
            "25_singlecell_l1p.png": "PD-L1 on immune cells, nests of tumour unstained",
        },
    ),
    Group(
        "epithelium, coarse",
        "epithelium_masks",
        0.9,
        {
            "18_singlecell_up1p.png": "PD-L1 on immune cells, hardly any tumour",
            "2_aggregate_up1p.png": "PD-L1 on immune cells, a strip of tumour, soft and blocky",
        },
    ),
    Group(
        "cores",
        "her2_tma_cores",
        0.32,
        {
            "0_*": "gastric, case 0: glands without brown, grey debris",
            "1_*": "gastric, case 1+: pale glands, much stroma",
            "2_*": "gastric, case 2+: left half stained",
            "3_*": "gastric, case 3+: columnar glands with strong lateral membranes",
        },
    ),
)


def score_group(data: Path, group: Group, out: Path, **options: Any) -> list[tuple[str, ImageResult]]:
    """Score the pictures of a group as one folder.

    Parameters
    ----------
    data
        Folder that holds the groups' folders.
    group
        The pictures.
    out
        Receives the exchange folder.
    **options
        As for `qupath_her2.run`, e.g. ``find_tumour=True``.

    Returns
    -------
    list[tuple[str, ImageResult]]
        Each picture's reading and its result, in the order of the group.
    """
    site = {"site": "gastric"} if group.folder == "her2_tma_cores" else {}
    results = run(
        data / group.folder,
        images=tuple(group.readings),
        pixel_size_um=group.pixel_size_um,
        out=out / group.name.replace(", ", "-").replace(" ", ""),
        **site,
        **options,
    )
    rows = []
    for pattern, reading in group.readings.items():
        rows += [(reading, one) for one in results if PurePath(one.name).match(pattern)]
    return rows


def reading_table(rows: list[tuple[float, str, ImageResult]]) -> str:
    """Return a table in Markdown: picture, pixel size, reader, program, why."""
    lines = [
        "| picture | µm/px | a reader | the program | cells | 1+ / 2+ / 3+ % | why |",
        "|---|---|---|---|---|---|---|",
    ]
    for um_px, reading, result in rows:
        name = result.name[:18]
        score = result.score
        if score is None:
            lines.append(f"| {name} | {um_px:g} | {reading} | failed | | | {result.error} |")
            continue
        said = score.score or f"not assessable ({score.refusal_code})"
        shares = (
            " / ".join(f"{100 * share:.1f}" for share in list(score.shares.values())[1:])
            if score.score
            else ""
        )
        cells = f"{score.n_cells:,}" if score.score else ""
        lines.append(f"| {name} | {um_px:g} | {reading} | {said} | {cells} | {shares} | {score.reason} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "data", type=Path, help="folder with her2_breast_fields, traps, epithelium_masks, her2_tma_cores"
    )
    parser.add_argument("--out", type=Path, required=True, help="output folder for reports and overlays")
    parser.add_argument(
        "--whole-tissue", action="store_true", help="all tissue instead of proposed tumour regions"
    )
    parser.add_argument("--groups", nargs="+", help="names of groups, e.g. mist cores")
    given = parser.parse_args()
    options = {"whole_tissue": True} if given.whole_tissue else {"find_tumour": True}
    rows = [
        (group.pixel_size_um, reading, result)
        for group in GROUPS
        if not given.groups or group.name in given.groups
        for reading, result in score_group(given.data, group, given.out, **options)
    ]
    print(reading_table(rows))


if __name__ == "__main__":
    main()
