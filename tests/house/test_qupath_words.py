"""Messages in QuPath's boxes name nothing of a terminal: no flag, no command, no script, no key of ``her2.toml``.

Every text of the package and of the Groovy library that can reach a box is read here, as `Her2Words` shows it: each is
written once, and the table of `Her2Words` says it in the words of QuPath.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.test_advice import texts
from tests.house.test_flags import VERBS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "qupath_her2"
GROOVY = ROOT / "groovy"

#: Files and folders whose messages no box shows, and why.
OUT_OF_REACH = {
    "api/__init__.py": "functions for Python",
    "api/networks.py": "functions for Python",
    "api/tables.py": "functions for Python",
    "batch/finish.py": "batches are run in a terminal",
    "batch/kinds.py": "batches are run in a terminal",
    "batch/manifest.py": "batches are run in a terminal",
    "batch/plan.py": "batches are run in a terminal",
    "batch/progress.py": "batches are run in a terminal",
    "batch/ray_crew.py": "batches are run in a terminal",
    "batch/run_batch.py": "batches are run in a terminal",
    "batch/slurm.py": "batches are run in a terminal",
    "cells/membrane/train_membrane_net.py": "a program of its own, run in a terminal",
    "cli/bag_prediction.py": "its one message is on a flag that QuPath does not pass",
    "cli/bag_training.py": "training is started in a terminal",
    "cli/batch_options.py": "batches are run in a terminal",
    "cli/batch_run.py": "batches are run in a terminal",
    "cli/status.py": "batches are run in a terminal",
    "cli/classifier_training.py": "training is started in a terminal",
    "cli/comparison.py": "training is started in a terminal",
    "cli/embed.py": "slides are embedded in a terminal",
    "cli/example.py": "examples are made in a terminal",
    "cli/indicators.py": "a verb that QuPath does not start",
    "cli/install_scripts.py": "the scripts are installed in a terminal; inside QuPath, install.groovy does it",
    "cli/patch_cutting.py": "patches are cut in a terminal",
    "cli/patch_options.py": "patches are cut in a terminal",
    "cli/pull_push.py": "the way into QuPath from a terminal",
    "cli/regions.py": "a verb that QuPath does not start",
    "cli/review_calibrate.py": "a verb that QuPath does not start",
    "cli/review_rounds.py": "verbs that QuPath does not start",
    "cli/review_sign.py": "verbs that QuPath does not start",
    "cli/review_training.py": "training is started in a terminal",
    "cli/segmenter_training.py": "training is started in a terminal",
    "server/client.py": "calls from Python",
    "server/job_store.py": "its texts are SQL",
    "server/jobs.py": "answers to programs and to the page of the browser",
    "server/serve.py": "the service is started in a terminal, or by QuPath without a port",
    "server/settings.py": "flags of a start in a terminal",
    "server/uploads.py": "answers to programs and to the page of the browser",
    "cli/train.py": "training is started in a terminal",
    "cli/tumour_training.py": "training is started in a terminal",
    "learning/bags": "slides are embedded and learned from in a terminal",
    "learning/inference/calibration.py": "called by training, which is started in a terminal",
    "learning/train": "training is started in a terminal",
    "models/bag_checkpoint.py": "features of other programs are named in a terminal; in QuPath they are made anew",
    "models/encoders.py": "slides are embedded in a terminal",
    "models/weights.py": "weights of a network that is not trained yet",
    "patches/cutting/assemble.py": "patches are cut in a terminal",
    "patches/cutting/crop_windows.py": "windows are cut in a terminal",
    "patches/cutting/cut_patches.py": "patches are cut in a terminal",
    "patches/cutting/cut_windows.py": "windows are cut in a terminal",
    "patches/datasets": "public data sets are read in a terminal",
    "patches/manifest.py": "patches are cut in a terminal",
    "patches/splits.py": "patches are split in a terminal",
    "patches/targets": "targets are drawn in a terminal",
    "patches/tasks.py": "labels are checked in a terminal",
    "project/qupath": "the way into QuPath from a terminal",
    "recipes": "recipes are listed in a terminal",
    "review/calibrate.py": "called by a verb that QuPath does not start",
    "review/sign_off.py": "called by a verb that QuPath does not start",
    "runs/rescore.py": "a verb that QuPath does not start",
    "scoring/agreement": "a verb that QuPath does not start",
    "training": "training is started in a terminal",
}

#: What no box of QuPath may say.
TERMINAL = re.compile(
    rf"(?<![\w-])--[a-z]|\bqupath-her2 (?:{'|'.join(map(re.escape, VERBS))})\b|her2\.toml|\b[a-z]+_[a-z_]+ = |"
    r"\b[Pp]ull(?:ed)?\b|\bterminal\b|\bflags?\b|\boption force\b|(?<!install)(?<!lib/7)\.groovy\b|-p project|\bdebug\b"
)
#: Packages of Python are installed by this command alone.
PIP = re.compile(r"pip install .+")
LITERAL = r"'(?:[^'\\\n]|\\.)*'"
ENTRY = re.compile(rf"({LITERAL})\s*:\s*({LITERAL}(?:\s*\+\s*{LITERAL})*)")


def table() -> list[tuple[re.Pattern[str], str]]:
    """Return the table of `Her2Words`: patterns, and replacements as Python writes them."""
    source = (GROOVY / "lib" / "Her2Words.groovy").read_text(encoding="utf-8")
    body = source[source.index("TABLE = [") : source.index("].asImmutable()")]
    body = re.sub(r"^ *//.*$", "", body, flags=re.MULTILINE)
    return [
        (re.compile(_joined(words)), re.sub(r"\$(\d)", r"\\g<\1>", _joined(instead)))
        for words, instead in ENTRY.findall(body)
    ]


def _joined(literals: str) -> str:
    """Return the text of Groovy strings joined by ``+``; in single quotes both languages escape alike."""
    return "".join(ast.literal_eval(literal) for literal in re.findall(LITERAL, literals))


def in_qupath(text: str) -> str:
    """Return a message as `Her2Words` shows it."""
    for words, instead in table_once():
        text = words.sub(instead, text)
    return text


table_once = functools.cache(table)


def is_out_of_reach(path: Path) -> bool:
    """Return whether no box shows the messages of a file of the package."""
    name = path.relative_to(PACKAGE).as_posix()
    return any(name == place or name.startswith(f"{place}/") for place in OUT_OF_REACH)


def python_messages() -> Iterator[tuple[str, str]]:
    """Yield place and text of each string of the package that may be part of a message; a value stands as 7."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if not is_out_of_reach(path):
            for line, text in texts(path.read_text(encoding="utf-8")):
                yield f"{path.relative_to(ROOT).as_posix()}:{line}", text.replace("{}", "7")


def groovy_messages() -> Iterator[tuple[str, str]]:
    """Yield place and text of each string of the Groovy scripts and library, joined where ``+`` continues it."""
    for path in sorted(GROOVY.rglob("*.groovy")):
        if path.stem != "Her2Words":
            yield from (
                (path.relative_to(ROOT).as_posix(), text) for text in strings(path.read_text("utf-8"))
            )


def strings(source: str) -> list[str]:
    """Return the texts in double quotes of a Groovy source without its comments; values stand as 7."""
    code = re.sub(r"/\*[\s\S]*?\*/|(?:^|(?<=[\s;]))//[^\n]*", "", source)
    joined = re.sub(r"\"\s*\+\s*\n?\s*\"", "", code)
    found = re.findall(
        r"\"((?:[^\"\\\n]|\\.)*)\"", re.sub(r"\$\{[^}]*\}|\$\w+(?:\.\w+(?:\(\))?)*", "7", joined)
    )
    return [text.replace("\\n", "\n") for text in found]


def messages() -> dict[str, str]:
    """Return {text: where} of every text with a space, the mark of a sentence, that can reach a box."""
    return {text: where for where, text in (*python_messages(), *groovy_messages()) if " " in text.strip()}


def test_no_box_of_qupath_speaks_of_the_terminal() -> None:
    shown = {in_qupath(text): where for text, where in messages().items()}
    found = [f"{where}: {text}" for text, where in shown.items() if TERMINAL.search(PIP.sub("", text))]
    assert found == [], "say it in the words of QuPath in groovy/lib/Her2Words.groovy"


def test_every_entry_of_the_table_has_its_message() -> None:
    everything = list(messages())
    assert [words.pattern for words, _ in table() if not any(map(words.search, everything))] == []


def test_the_table_is_read_completely() -> None:
    source = (GROOVY / "lib" / "Her2Words.groovy").read_text(encoding="utf-8")
    body = source[source.index("TABLE = [") : source.index("].asImmutable()")]
    assert len(table()) == len(re.findall(r"':(?: |\n)", body)) > 20


@pytest.mark.parametrize("place", OUT_OF_REACH)
def test_a_place_out_of_reach_exists(place: str) -> None:
    assert (PACKAGE / place).exists()


def test_menu_items_that_boxes_name_exist() -> None:
    said = " ".join([*map(in_qupath, messages())])
    named = set(
        re.findall(r"(?<=Extensions > HER2 > )[A-Z][\w >-]*?[a-z…](?=[),.;:\"]|$| and | or |, )", said)
    )
    menu = (GROOVY / "lib" / "Her2Menu.groovy").read_text(encoding="utf-8")
    assert len(named) >= 3
    # The menu writes a sub-menu and its item as QuPath takes them, with a > and no space.
    assert sorted(name for name in named if f'"{name.replace(" > ", ">")}"' not in menu) == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "image 'a' has no pixel size. Set it in QuPath (Image tab → Pixel width) or pass --pixel-size-um 0.25",
            "image 'a' has no pixel size. Set it in the Image tab: click beside all annotations, so that none is "
            "selected, then double-click Pixel width",
        ),
        (
            "no tumour region: 1 annotation has no class. Set the class of those that hold tumour to Tumor, score "
            "annotations without a class as tumour with unclassified_is_tumour = true under [regions] in her2.toml, "
            "pass --find-tumour to search for it, or pass --whole-tissue",
            "no tumour region: 1 annotation has no class. Right-click each that holds tumour > Set classification > "
            "Tumor, or choose other regions: tumour that HER2 finds, or all tissue (Extensions > HER2 > Score…)",
        ),
        ("Cannot write '/a': the folder is read-only. Choose another folder with --out DIR.",
         "Cannot write '/a': the folder is read-only. Make the project's folder writable, or copy the project."),
    ],
)  # fmt: skip
def test_whole_messages(text: str, shown: str) -> None:
    assert in_qupath(text) == shown
    assert TERMINAL.search(text)
    assert not TERMINAL.search(shown)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('a = "One. " +\n    "Two."', ["One. Two."]),
        ('// "no"\n/* "no" */ x("say ${a.b()} and $c.d() --x") // "no"', ["say 7 and 7 --x"]),
        ('["--cells", "from-regions"]', ["--cells", "from-regions"]),
        ("'no'", []),
    ],
)
def test_the_search_in_groovy(source: str, found: list[str]) -> None:
    assert strings(source) == found
