"""``cases.csv`` in every dialect that spreadsheet programs write, whole or with one fault.

A whole file is read as it was drawn, whatever its encoding, separator, decimals and quotes; a faulty one is refused
with the file, the line and the value.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import random
from pathlib import Path

from qupath_her2.errors import CasesFileError
from qupath_her2.project.cases import read_cases
from qupath_her2.records import CaseInfo
from tests.fuzz.report import FuzzReport, Outcome, run_cases

__all__ = ["check", "draw", "run"]

_COLUMNS = ("image", "case", "site", "specimen", "stain", "ish_ratio", "her2_copies", "control")
_NAMES = (
    *(
        "K1",
        "007",
        "7",
        "Käse 3",
        "=cmd|' /C calc'!A0",
        "+1",
        "-1",
        "@x",
        "<script>alert(1)</script>",
        'K "1"',
    ),
    *("a, b; c", "'quoted'", "患者", "\u202etxt.exe", "x" * 255, "#12", "1/2", "NA"),
)

#: {column: values that must be refused}.
_FAULTS = {
    "ish_ratio": (
        "-0.1",
        "-2,5",
        "1e308",
        "nan",
        "inf",
        "100.1",
        "amplified",
        ">2",
        "2.1.0",
        "1_0",
        "01. Feb",
        "0x2",
    ),
    "her2_copies": ("-1", "1e6", "six", "4-6", "NaN", "1 000"),
    "control": ("maybe", "2", "-"),
    "site": ("lung", "breast gastric", "x" * 50_000),
    "specimen": ("smear", "biopsy resection"),
    "case": ("#N/A", "#REF!", "1.5E+12", "a\nb", "a\x07b", "a\x1b[31m"),
    "image": ("", "a\nb.png", "#NAME?"),
}


def _row(rng: random.Random, number: int) -> dict[str, str]:
    # Whole tenths, which every decimal notation holds exactly.
    tenths = lambda: rng.choice(("", str(rng.randint(0, 100) / 10)))  # noqa: E731
    return {
        "image": f"slide {number}{rng.choice(('.png', '.svs', '', '.ome.tif'))}",
        "case": rng.choice(_NAMES),
        "site": rng.choice(("", "breast", "gastric")),
        "specimen": rng.choice(("", "biopsy", "resection")),
        "stain": rng.choice(("HER2", "HER2 4B5", "H&E")),
        "ish_ratio": tenths(),
        "her2_copies": tenths(),
        "control": rng.choice(("", "yes", "no")),
    }


def _info(row: dict[str, str]) -> CaseInfo:
    given = {name: row[name] for name in ("site", "specimen") if row[name]}
    return CaseInfo(
        case=row["case"],
        stain=row["stain"],
        her2_cep17_ratio=float(row["ish_ratio"]) if row["ish_ratio"] else None,
        her2_copies=float(row["her2_copies"]) if row["her2_copies"] else None,
        is_control=row["control"] == "yes",
        guideline_origin="cases.csv" if "site" in given else "",
        **given,  # type: ignore[arg-type]
    )


def draw(rng: random.Random, folder: Path) -> str:
    """Write ``cases.csv`` and beside it what must come of it."""
    rows = [_row(rng, number) for number in range(rng.randint(1, 6))]
    truth = {row["image"]: dataclasses.asdict(_info(row)) for row in rows}
    fault = ""
    if rng.random() < 0.5:
        column = rng.choice((*_FAULTS, "duplicate", "spare cell"))
        broken = rng.randrange(len(rows))
        if column == "duplicate":
            rows.append(dict(rows[broken]))
        elif column != "spare cell":
            rows[broken][column] = rng.choice(_FAULTS[column])
        fault = column
    _write(rng, folder / "cases.csv", rows, is_spare=fault == "spare cell")
    (folder / "drawn.json").write_text(json.dumps({"truth": truth, "fault": fault}), encoding="utf-8")
    return fault or "whole"


def _write(rng: random.Random, path: Path, rows: list[dict[str, str]], *, is_spare: bool) -> None:
    delimiter = rng.choice(",;\t")
    columns = [*rng.sample(_COLUMNS, len(_COLUMNS)), *(["Nr", "note"] if rng.random() < 0.3 else [])]
    has_decimal_commas = rng.random() < 0.5
    text = io.StringIO(newline="")
    lines = csv.writer(
        text,
        delimiter=delimiter,
        lineterminator=rng.choice(("\n", "\r\n")),
        quoting=rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)),
    )
    upper = rng.random() < 0.3
    lines.writerow([column.upper().replace("_", " ") if upper else column for column in columns])
    for row in rows:
        cells = [row.get(column, "x") for column in columns]
        if has_decimal_commas:
            numbers = ("ish_ratio", "her2_copies")
            cells = [
                cell.replace(".", ",") if name in numbers else cell
                for name, cell in zip(columns, cells, strict=True)
            ]
        lines.writerow([*cells, "shifted"] if is_spare else cells)
        if rng.random() < 0.2:
            lines.writerow([""] * len(columns))
    body = text.getvalue()
    if rng.random() < 0.2:
        body = f"sep={delimiter}\n{body}"
    path.write_bytes(body.encode(rng.choice(("utf-8", "utf-8-sig", "utf-16"))))


def check(folder: Path) -> Outcome:
    """Read a drawn ``cases.csv``."""
    drawn = json.loads((folder / "drawn.json").read_text(encoding="utf-8"))
    try:
        found = read_cases(folder / "cases.csv")
    except CasesFileError as error:
        message = str(error)
        missing = [word for word in ("cases.csv", "line ") if word not in message]
        wrong = [f"a whole file was refused: {message}"] if not drawn["fault"] else []
        wrong += [f"the message does not name {word!r}: {message}" for word in missing]
        return Outcome("refused", tuple(wrong), message)
    if drawn["fault"]:
        return Outcome("accepted", (f"the fault in {drawn['fault']} was accepted",))
    got = {name: dataclasses.asdict(info) for name, info in found.items()}
    return Outcome("accepted", () if got == drawn["truth"] else (f"read as {got}, not {drawn['truth']}",))


def run(n: int, seed: int, keep: Path | None = None, *, is_verbose: bool = False) -> FuzzReport:
    """Read `n` drawn files."""
    return run_cases("cases", draw, check, n=n, seed=seed, keep=keep, is_verbose=is_verbose)
