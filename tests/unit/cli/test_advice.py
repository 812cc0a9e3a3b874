"""Advice in messages, typed as it stands there: each fault is made, its message read, and its way out followed.

What is typed comes out of the message itself, so that a flag, verb, setting or path that does not work fails here.
`tests.house.test_advice` checks that every advice of the package is in this table or has a reason not to be.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import shapely
import tifffile
from PIL import Image

from tests.helpers.pulled_project import pull_image
from tests.unit.cli.commands import call, summary
from tests.unit.patches.conftest import noise
from tests.unit.patches.drawn_folders import cases, draw_cohort, regions, slide

#: Stands for the project in commands.
HERE = "FOLDER"


@dataclass(frozen=True)
class Advice:
    """A fault, and what its message says to type.

    Attributes
    ----------
    says
        A piece of the message, as it stands in the source; ``{}`` for what is put in at run time.
    fault
        Makes the fault in a folder with the drawn images ``pale`` and ``strong``.
    command
        The command that meets it.
    typed
        A pattern of the message; its groups are what is typed.
    follow
        Takes the folder, the command and the groups; returns the next command.
    """

    says: str
    fault: Callable[[Path], object]
    command: str
    typed: str
    follow: Callable[[Path, list[str], tuple[str, ...]], list[str]]

    @property
    def pattern(self) -> str:
        """The message as a regular expression."""
        return re.escape(self.says).replace(re.escape("{}"), ".*?")


# --- ways of following


def add(folder: Path, command: list[str], typed: tuple[str, ...]) -> list[str]:
    """Type flags after the command; one that is there already takes the new value."""
    words = [word for piece in typed for word in shlex.split(piece)]
    flag = words[0]
    if flag in command:
        at = command.index(flag)
        command = command[:at] + command[at + 2 :]
    return [*command, *words]


def leave_out(folder: Path, command: list[str], typed: tuple[str, ...]) -> list[str]:
    """Leave out a flag and its value."""
    at = command.index(typed[0])
    ends = at + 1
    while ends < len(command) and not command[ends].startswith("--"):
        ends += 1
    return command[:at] + command[ends:]


def run_then_again(folder: Path, command: list[str], typed: tuple[str, ...]) -> list[str]:
    """Run the verb that the message names, then the first command again."""
    words = [str(folder) if word in (HERE, "PROJECT") else word for word in shlex.split(typed[0])]
    code, out, err = call(*words)
    assert code == 0, out + err
    return command


def force(folder: Path, command: list[str], typed: tuple[str, ...]) -> list[str]:
    """Score again with the flag that the message names, then the first command again."""
    code, out, err = call("run", folder, "--no-qupath", *typed)
    assert code == 0, out + err
    return command


def delete(folder: Path, command: list[str], typed: tuple[str, ...]) -> list[str]:
    """Delete the file that the message names."""
    Path(typed[0]).unlink()
    return command


def delete_and_score(folder: Path, command: list[str], typed: tuple[str, ...]) -> list[str]:
    """Delete the file that the message names, and score again."""
    return force(folder, delete(folder, command, typed[:1]), ())


def setting(folder: Path, command: list[str], typed: tuple[str, ...]) -> list[str]:
    """Write a line into a table of ``her2.toml``: the groups are the line and the table."""
    (folder / "her2.toml").write_text(f"[{typed[1]}]\n{typed[0]}\n")
    return command


def classify(folder: Path, command: list[str], typed: tuple[str, ...]) -> list[str]:
    """Set the class of all annotations, as the class list of QuPath would."""
    for path in folder.glob("*.geojson"):
        content = json.loads(path.read_text())
        for feature in content["features"]:
            feature["properties"]["classification"] = {"name": typed[0]}
        path.write_text(json.dumps(content))
    return command


def elsewhere(folder: Path, command: list[str], typed: tuple[str, ...]) -> list[str]:
    """Name another output folder with the flag of the message."""
    return [*command, typed[0], str(folder.parent / "elsewhere")]


def name_folder(folder: Path, command: list[str], typed: tuple[str, ...]) -> list[str]:
    """Name the folder instead of a file in it."""
    return [str(folder) if Path(word).parent == folder else word for word in command]


# --- faults


def one_image(folder: Path) -> None:
    for path in folder.glob("pale*"):
        path.unlink()


def without_regions(folder: Path) -> None:
    one_image(folder)
    for path in folder.glob("*.geojson"):
        path.unlink()


def without_pixel_size(folder: Path) -> None:
    one_image(folder)
    path = folder / "strong.ome.tif"
    Image.fromarray(tifffile.imread(path)).save(folder / "strong.png")
    path.unlink()


def without_class(folder: Path) -> None:
    one_image(folder)
    features = [
        {
            "type": "Feature",
            "geometry": shapely.geometry.mapping(shapely.box(0, 0, 420, 420)),
            "properties": {},
        }
    ]
    (folder / "strong.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def with_proposals(folder: Path) -> None:
    without_class(folder)
    classify(folder, [], ("Tumor?",))


def refused(folder: Path) -> None:
    """A finished run that took no time: an image without a tumour region is a result too."""
    without_regions(folder)
    code, out, err = call("run", folder, "--no-qupath")
    assert code == 0, out + err


def run_file(folder: Path, name: str) -> Path:
    (path,) = (folder / "her2" / "results").glob(f"*/*/{name}")
    return path


def broken(name: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        refused(folder)
        path = run_file(folder, name)
        path.write_text(change(path.read_text()))

    return make


def gone(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        refused(folder)
        run_file(folder, name).unlink()

    return make


def pointer(text: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        refused(folder)
        (path,) = (folder / "her2" / "results").glob("*/current.json")
        path.write_text(text)

    return make


def locked(folder: Path) -> None:
    refused(folder)
    (image,) = (folder / "her2" / "results").iterdir()
    # A process that lives, on this machine: the one that runs the tests.
    from qupath_her2.project.exchange.locks import lock_image

    with lock_image(folder / "her2", image.name):
        held = {path: path.read_bytes() for path in folder.rglob("*lock*") if path.is_file()}
    assert held
    for path, content in held.items():
        path.write_bytes(content)
    (folder / "strong.geojson").write_text('{"type": "FeatureCollection", "features": []}')


def damaged_stains(folder: Path) -> None:
    one_image(folder)
    (folder / "her2").mkdir()
    (folder / "her2" / "stains.json").write_text("{")


def two_case_lists(folder: Path) -> None:
    one_image(folder)
    cases(folder, ("strong", "P1", ""))
    (folder / "her2").mkdir()
    shutil.copy(folder / "cases.csv", folder / "her2" / "cases.csv")


def file_in_the_way(folder: Path) -> None:
    without_regions(folder)
    (folder / "her2").write_text("")


def cohort(folder: Path, **change: object) -> None:
    for path in folder.iterdir():
        path.unlink()
    draw_cohort(folder)


def cohort_without_regions(folder: Path) -> None:
    cohort(folder)
    for path in folder.glob("*.geojson"):
        path.unlink()
    cases(folder, *[(f"s{i}", f"P{i}", ("3+", "0")[i % 2]) for i in range(6)])


def cohort_without_labels(folder: Path) -> None:
    cohort(folder)
    for i in range(6):
        regions(folder, f"s{i}", ("Tumor", shapely.box(0, 0, 60, 60)), first=10 * i + 1)


def cohort_without_pixel_size(folder: Path) -> None:
    cohort(folder)
    for i in range(6):
        slide(folder, f"s{i}", noise(60, 60, i), um_px=None)


def cohort_of_odd_class(folder: Path) -> None:
    cohort(folder)
    regions(folder, "s0", ("5+", shapely.box(0, 0, 60, 60)))


def cohort_of_glass(folder: Path) -> None:
    cohort(folder)
    for i in range(6):
        slide(folder, f"s{i}", np.full((60, 60, 3), 244, np.uint8))


def two_cases(folder: Path) -> None:
    cohort(folder)
    cases(folder, *[(f"s{i}", f"P{i % 2}", "") for i in range(6)])


SMALL = "--size 20 --um-px 0.5 --drop none"
RUN = f"run {HERE} --no-qupath"
SCORE = f"score {HERE}"
FORCE = r"(--force)"

TYPED = (
    Advice(
        "has no pixel size. Set it in QuPath (Image tab → Pixel width) or pass --pixel-size-um 0.25",
        without_pixel_size,
        RUN,
        r"or pass (--pixel-size-um 0\.25)",
        add,
    ),
    Advice(
        "no tumour region: draw one and set its class to Tumor, pass --find-tumour to search for it, or pass "
        "--whole-tissue",
        without_regions,
        RUN,
        r"or pass (--whole-tissue)",
        add,
    ),
    Advice(
        "no tumour region: draw one and set its class to Tumor, pass --find-tumour to search for it, or pass "
        "--whole-tissue",
        without_regions,
        RUN,
        r"to Tumor, pass (--find-tumour) to search",
        add,
    ),
    Advice(
        "that nobody has accepted. Accept those that are invasive tumour: set their class to Tumor in QuPath, pass "
        "--find-tumour to search for it, or pass --whole-tissue",
        with_proposals,
        RUN,
        r"set their class to (\w+) in QuPath",
        classify,
    ),
    Advice(
        "--find-tumour goes with scoring by cells, not with the method",
        one_image,
        f"{RUN} --find-tumour --method indicators",
        r"Leave (--find-tumour) out",
        leave_out,
    ),
    Advice(
        "--find-tumour scores the tumour that it finds, --whole-tissue everything on the glass. Leave one out.",
        one_image,
        f"{RUN} --whole-tissue --find-tumour",
        r"(--find-tumour) scores",
        leave_out,
    ),
    Advice(
        "has no class; set its class to Tumor in QuPath, or score annotations without a class as tumour: "
        "unclassified_is_tumour = true under [regions] in her2.toml",
        without_class,
        RUN,
        r"(unclassified_is_tumour = true) under \[(\w+)\] in her2\.toml",
        setting,
    ),
    Advice(
        "has no class; set its class to Tumor in QuPath",
        without_class,
        RUN,
        r"set its class to (\w+) in QuPath",
        classify,
    ),
    Advice(
        "Set the class of those that hold tumour to Tumor, score annotations without a class as tumour with "
        "unclassified_is_tumour = true under [regions] in her2.toml",
        without_class,
        RUN,
        r"with (unclassified_is_tumour = true) under \[(\w+)\] in her2\.toml,",
        setting,
    ),
    Advice(
        "Set the class of those that hold tumour to Tumor, score annotations without a class as tumour with "
        "unclassified_is_tumour = true under [regions] in her2.toml",
        without_class,
        RUN,
        r"in her2\.toml,.* or pass (--whole-tissue)",
        add,
    ),
    Advice(
        "Set the class of those that hold tumour to Tumor, score annotations without a class as tumour with "
        "unclassified_is_tumour = true under [regions] in her2.toml",
        without_class,
        RUN,
        r"hold tumour to (\w+), score",
        classify,
    ),
    Advice(
        "has no cells in its region file, but --cells from-regions was given.",
        one_image,
        f"{RUN} --cells from-regions",
        r"but (--cells) from-regions.*or leave the flag out",
        leave_out,
    ),
    Advice(
        "is outside 0.01 to 100 µm. Typical are 0.25 (40x) and 0.5 (20x). Correct it in QuPath (Image tab), or pass "
        "--pixel-size-um.",
        lambda folder: (one_image(folder), pull_image(folder, pixel_size_um=250.0)),
        RUN,
        r"or pass (--pixel-size-um)()\.",
        lambda folder, command, typed: [*command, typed[0], "0.5"],
    ),
    Advice(
        "--pixel-size-um {} is not a plausible pixel size; it must lie between 0.01 and 100 µm. Typical values are",
        without_regions,
        f"{RUN} --pixel-size-um 0",
        r"(--pixel-size-um) 0 .*Typical values are (0\.25)",
        add,
    ),
    Advice(
        "--cells {} does not go with --method indicators, which measures no single cells. Leave one out.",
        without_regions,
        f"{RUN} --method indicators --cells from-regions",
        r"(--cells) from-regions does not go with",
        leave_out,
    ),
    Advice(
        "--tumour-from needs --method indicators: cells are scored inside annotated regions. Leave it out.",
        without_regions,
        f"{RUN} --tumour-from net",
        r"(--tumour-from) needs .* Leave it out",
        leave_out,
    ),
    Advice(
        "A transfer of regions needs both --transfer-from IMAGE and --transfer-to IMAGE.",
        lambda folder: None,
        f"regions {HERE} --transfer-from strong.ome.tif",
        r"and (--transfer-to) IMAGE",
        lambda folder, command, typed: [*command, *typed, "pale.ome.tif"],
    ),
    Advice(
        "There are no measured cells in '{}'. Run first: qupath-her2 run FOLDER.",
        without_regions,
        SCORE,
        r"Run first: qupath-her2 (run FOLDER)\.",
        run_then_again,
    ),
    Advice(
        "has no measured cells. Run first: qupath-her2 run FOLDER.",
        lambda folder: (without_regions(folder), (folder / "her2" / "results").mkdir(parents=True)),
        SCORE,
        r"Run first: qupath-her2 (run FOLDER)\.",
        run_then_again,
    ),
    Advice(
        "No results in '{}'. Score the images first: qupath-her2 run FOLDER.",
        without_regions,
        f"report {HERE}",
        r"first: qupath-her2 (run FOLDER)\.",
        run_then_again,
    ),
    Advice(
        "The score of run '{}' cannot be read: {}. Score the image again.",
        gone("score.json"),
        f"report {HERE}",
        r"Score the image again()\.",
        lambda folder, command, typed: force(folder, command, ()),
    ),
    Advice(
        "'{}' was changed after the run. Score the image again with --force (run or predict).",
        broken("score.json", lambda text: text + " "),
        SCORE,
        FORCE,
        force,
    ),
    Advice(
        "'{}': files missing or extra: {}. Score the image again with --force (run or predict).",
        gone("regions.geojson"),
        SCORE,
        FORCE,
        force,
    ),
    Advice(
        "'{}' is not a finished run: {} cannot be read ({}). Score the image again with --force (run or predict).",
        gone("run.json"),
        SCORE,
        FORCE,
        force,
    ),
    Advice(
        "run.json is not JSON ({}). Score the image again with --force (run or predict).",
        broken("run.json", lambda text: "{"),
        SCORE,
        FORCE,
        force,
    ),
    Advice(
        "run.json lacks {}. Score the image again with --force (run or predict).",
        broken("run.json", lambda text: json.dumps({"format": json.loads(text)["format"]})),
        SCORE,
        FORCE,
        force,
    ),
    Advice(
        "run.json: {} is {}, not a {}. Score the image again with --force (run or predict).",
        broken("run.json", lambda text: json.dumps({**json.loads(text), "counts": 3})),
        SCORE,
        FORCE,
        force,
    ),
    Advice(
        "run.json: an entry of 'quarantined' lacks index, id or reason ({}). "
        "Score the image again with --force (run or predict).",
        broken("run.json", lambda text: json.dumps({**json.loads(text), "quarantined": [{"x": 1}]})),
        SCORE,
        FORCE,
        force,
    ),
    Advice(
        "an entry of 'regions' or 'unscored' is damaged ({}). Score the image again with --force (run or predict).",
        broken("run.json", lambda text: json.dumps({**json.loads(text), "unscored": [{"uuid": "x"}]})),
        f"report {HERE}",
        FORCE,
        force,
    ),
    Advice(
        "'{}' contains the record of run {}. Score the image again with --force (run or predict).",
        broken("run.json", lambda text: json.dumps({**json.loads(text), "run": "other"})),
        SCORE,
        FORCE,
        force,
    ),
    Advice(
        "'{}' is damaged ({}). Delete it and score the image again.",
        pointer("{"),
        SCORE,
        r"'([^']*current\.json)' is damaged",
        delete_and_score,
    ),
    Advice(
        "'{}' names run {}, which does not exist. Delete it and score the image again.",
        pointer('{"run": "00000000000"}'),
        SCORE,
        r"'([^']*current\.json)' names run",
        delete_and_score,
    ),
    Advice(
        "Wait until it has finished; if it is no longer running, delete '{}'.",
        locked,
        RUN,
        r"delete '([^']+)'",
        delete,
    ),
    Advice(
        "Delete it to estimate the stains again.",
        damaged_stains,
        RUN,
        r"'([^']*stains\.json)'",
        delete,
    ),
    Advice(
        "There are two case lists, '{}' and '{}'. Delete one of them.",
        two_case_lists,
        RUN,
        r"two case lists, '([^']+)'",
        delete,
    ),
    Advice(
        "'{}' is an image, not a project. Put it into a folder with {}.geojson and run that folder,\n"
        "       or: qupath-her2 run . --images {} --whole-tissue",
        without_regions,
        f"run {HERE}/strong.ome.tif",
        r"or: qupath-her2 (run \. --images \S+ --whole-tissue)",
        lambda folder, command, typed: (os.chdir(folder), shlex.split(typed[0]))[1],
    ),
    Advice(
        "'{}' is a file, not a folder of images. Pass the folder that contains the images.",
        lambda folder: (without_regions(folder), (folder / "notes.txt").write_text("")),
        f"run {HERE}/notes.txt",
        r"Pass the folder that contains the images()",
        name_folder,
    ),
    Advice(
        "Cannot write {}: there is a file where a folder is needed. Move it, or pass --out DIR.",
        file_in_the_way,
        RUN,
        r"or pass (--out) DIR",
        elsewhere,
    ),
    Advice(
        "Settings file '{}' cannot be read: {}. Check the path given to --config.",
        lambda folder: (without_regions(folder), (folder / "her2.toml").write_text("")),
        f"{RUN} --config {HERE}/her3.toml",
        r"given to (--config)",
        lambda folder, command, typed: add(folder, command, (f"{typed[0]} {folder}/her2.toml",)),
    ),
    Advice(
        "Draw regions and set their class, or pass --whole-tissue.",
        cohort_without_regions,
        f"patches {HERE} {SMALL}",
        r"or pass (--whole-tissue)",
        add,
    ),
    Advice(
        "Set the regions' class to one that the task knows, add a column 'label' to cases.csv, or pass "
        "--keep-unlabelled.",
        cohort_without_labels,
        f"patches {HERE} {SMALL}",
        r"or pass (--keep-unlabelled)",
        add,
    ),
    Advice(
        "Set it in QuPath (Image tab → Pixel width), or pass --pixel-size-um 0.25.",
        cohort_without_pixel_size,
        f"patches {HERE} --size 20 --um-px 0.5 --drop none",
        r"or pass (--pixel-size-um 0\.25)",
        add,
    ),
    Advice(
        "Pass a larger --um-px, or 0 to use images at their own scale.",
        cohort,
        f"patches {HERE} --size 20 --um-px 0.2 --drop none",
        r"a larger (--um-px), or (0) to use",
        add,
    ),
    Advice(
        "Pass a smaller --size or --um-px.",
        cohort,
        f"patches {HERE} --size 90 --um-px 0.5 --drop none",
        r"a smaller (--size) or",
        lambda folder, command, typed: add(folder, command, (f"{typed[0]} 20",)),
    ),
    Advice(
        "To ignore annotation classes that are not labels, pass --skip-class NAME for each.",
        cohort_of_odd_class,
        f"patches {HERE} {SMALL}",
        r"pass (--skip-class) NAME",
        lambda folder, command, typed: [*command, *typed, "5+"],
    ),
    Advice(
        "Add cases, set the share of a part to 0, or pass --split by-patch, whose figures are patch-level and may "
        "leak.",
        two_cases,
        f"patches {HERE} {SMALL} --split by-case",
        r"or pass (--split by-patch)",
        add,
    ),
    Advice(
        "cannot be split by case. Add cases, or pass --split by-patch.",
        two_cases,
        f"patches {HERE} {SMALL}",
        r"or pass (--split by-patch)",
        add,
    ),
    Advice(
        "Layout '{}' publishes no split. Pass --split by-case.",
        cohort,
        f"patches {HERE} {SMALL} --split as-published",
        r"Pass (--split by-case)",
        add,
    ),
    Advice(
        "Pass --drop none",
        cohort_of_glass,
        f"patches {HERE} --size 20 --um-px 0.5",
        r"Pass (--drop none)",
        add,
    ),
    Advice(
        "It knows: {}. Correct the labels, or choose another task with --task.",
        cohort,
        f"patches {HERE} {SMALL} --task er",
        r"another task with (--task)",
        lambda folder, command, typed: add(folder, command, (f"{typed[0]} her2-4",)),
    ),
    Advice(
        "Neither cases.csv nor any image's metadata have a column '{}'. Check --label-column.",
        cohort,
        f"patches {HERE} {SMALL} --label-column grade",
        r"Check (--label-column)",
        lambda folder, command, typed: add(folder, command, (f"{typed[0]} label",)),
    ),
    Advice(
        "--images selects from projects and folders, not with --layout {}. Leave it out.",
        cohort,
        f"patches {HERE} {SMALL} --layout bci --images s*",
        r"(--images) selects",
        leave_out,
    ),
    Advice(
        "No image in '{}' or below is named like {}. Check --layout and the folder.",
        cohort,
        f"patches {HERE} {SMALL} --layout bci",
        r"Check (--layout) and",
        leave_out,
    ),
    Advice(
        "Layout '{}' has only one stain. Leave out --stain.",
        cohort,
        f"patches {HERE} {SMALL} --layout yale --stain HE",
        r"Leave out (--stain)",
        leave_out,
    ),
    Advice(
        "--stain needs --layout bci or warwick. In a project, select images with --images.",
        cohort,
        f"patches {HERE} {SMALL} --stain HE",
        r"select images with (--images)",
        lambda folder, command, typed: [*leave_out(folder, command, ("--stain",)), *typed, "s*"],
    ),
    Advice(
        "--shares {} is not a list of numbers. Write e.g. 0.6,0.2,0.2.",
        cohort,
        f"patches {HERE} {SMALL} --shares a,b",
        r"(--shares) .* e\.g\. (0\.6,0\.2,0\.2)\.",
        add,
    ),
    Advice(
        "--name {} cannot be a folder name: use letters, digits, . _ + and - only.",
        cohort,
        f"patches {HERE} {SMALL} --name ../x",
        r"(--name) .* use letters, digits, (\.) _ \+ and",
        lambda folder, command, typed: add(folder, command, (f"{typed[0]} a{typed[1]}b_c+d-1",)),
    ),
)


def said_by(command: list[str], folder: Path) -> tuple[int, str]:
    """Run a command; return its exit code and all that it says: both streams, and the table of results."""
    code, out, err = call(*command)
    her2 = folder / "her2"
    rows = summary(her2) if (her2 / "summary.csv").is_file() and command[0] in ("run", "report") else []
    return code, "\n".join([out, err, *(f"{row['reason']} {row['warnings']}" for row in rows)])


@pytest.mark.parametrize("advice", TYPED, ids=lambda advice: re.sub(r"\W+", "-", advice.says)[:60])
def test_advice_works_as_typed(advice: Advice, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Put back at the end, wherever the advice leads.
    monkeypatch.chdir(project)
    advice.fault(project)
    command = [word.replace(HERE, str(project)) for word in shlex.split(advice.command)]
    _, said = said_by(command, project)
    assert re.search(advice.pattern, said, re.DOTALL), said
    typed = re.search(advice.typed, said, re.DOTALL)
    assert typed is not None, said
    command = advice.follow(project, command, typed.groups())
    code, said = said_by(command, project)
    assert not re.search(advice.pattern, said, re.DOTALL), said
    assert code in (0, 1), said
    # Another fault may follow (a drawn image has no second slide to register to), a wrong command may not.
    assert "No such option" not in said
    assert "Usage:" not in said
