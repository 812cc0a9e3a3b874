"""Every command-line flag and verb that the project mentions exists: in strings, comments, READMEs and Groovy."""

from __future__ import annotations

import ast
import difflib
import functools
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from qupath_her2.cli import app

ROOT = Path(__file__).parents[2]
PYTHON = sorted((ROOT / "qupath_her2").rglob("*.py"))
GROOVY = sorted((ROOT / "groovy").rglob("*.groovy"))
READMES = [ROOT / "README.md", *sorted((ROOT / "example_projects").rglob("*.md"))]

#: Flags of other programs, and whose they are.
FOREIGN = {
    "--args": "QuPath script: what it hands to a Groovy script",
    "--no-crop": "OpenSlide, an argument of an image server in a QuPath project: keep the empty glass",
    "--upgrade": "pip install",
    "--force-reinstall": "pip install",
    "--nproc-per-node": "torchrun",
    **dict.fromkeys(
        (
            *(
                "--cpus-per-task",
                "--dependency",
                "--job-name",
                "--mem",
                "--open-mode",
                "--output",
                "--parsable",
            ),
            *("--partition", "--requeue", "--signal", "--time"),
        ),
        "sbatch",
    ),
    **dict.fromkeys(("--noheader", "--jobs"), "squeue"),
    **dict.fromkeys(
        (
            "--silent",
            "--show-error",
            "--fail-with-body",
            "--header",
            "--form",
            "--no-buffer",
            "--request",
        ),
        "curl",
    ),
}

FLAG = r"(?<![\w-])--[a-z][a-z0-9-]*(?<!-)"


def _verbs() -> dict[str, set[str]]:
    """The flags of each verb, as the program itself has them; of a group of verbs, those of all its verbs."""
    group: Any = typer.main.get_command(app)
    verbs = {}
    for name, command in group.commands.items():
        parameters = [*group.params, *command.params]
        for below in getattr(command, "commands", {}).values():
            parameters += below.params
        verbs[name] = {flag for one in parameters for flag in (*one.opts, *one.secondary_opts)} | {"--help"}
    return verbs


VERBS = _verbs()
ANY_FLAG = set().union(*VERBS.values())

#: A command ends with its line, its quotation marks or brackets, or its sentence.
COMMAND = re.compile(
    r"(`|[Rr]un:? |[Rr]un first:? |)qupath-her2 ([a-z][a-z-]*)((?:(?!qupath-her2 |[.:;,]\s|[.:]$|&&)[^\n`\"|#<>…])*)"
)
#: A verb right before a flag names a command too: ``pull --cells``.
BARE_COMMAND = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, VERBS))}) ({FLAG})")
MODULE = re.compile(r"python(?:3|\.exe)? -m ([a-z_][\w.]*)([^\n`\"]*)")


@dataclass(frozen=True)
class Text:
    """A piece of text, and where it stands."""

    where: str
    text: str


def argument_calls(tree: ast.AST) -> list[ast.Call]:
    """Return the calls of ``add_argument``."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [
        call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument"
    ]


def python_texts(path: Path, source: str) -> Iterator[Text]:
    """Yield the string literals (docstrings, f-strings) and the comments of a Python file."""
    name = path.relative_to(ROOT).as_posix()
    tree = ast.parse(source)
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    # A module run by ``python -m`` defines flags of its own.
    inside |= {id(argument) for call in argument_calls(tree) for argument in call.args}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            # What is put in at run time stands as one word.
            parts = [part.value if isinstance(part, ast.Constant) else "VALUE" for part in node.values]
            yield Text(f"{name}:{node.lineno}", "".join(map(str, parts)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield Text(f"{name}:{node.lineno}", node.value)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Text(f"{name}:{token.start[0]}", token.string)


def groovy_text(path: Path, source: str) -> Text:
    """Return a Groovy file with strings joined that ``+`` continues on the next line."""
    joined = re.sub(r"([\"'])\s*\+\s*\n\s*\1", "", source)
    return Text(path.relative_to(ROOT).as_posix(), re.sub(r"\$\{?[\w.]+(?:\(\))?\}?", "VALUE", joined))


@functools.cache
def all_texts() -> list[Text]:
    """Return every text of the package, the Groovy scripts and the READMEs; read once."""
    found = [text for path in PYTHON for text in python_texts(path, path.read_text(encoding="utf-8"))]
    found += [groovy_text(path, path.read_text(encoding="utf-8")) for path in GROOVY]
    return found + [Text(path.relative_to(ROOT).as_posix(), path.read_text("utf-8")) for path in READMES]


def module_flags(dotted: str) -> set[str] | None:
    """Return the flags that a module run by ``python -m`` defines; None where there is no such module."""
    path = ROOT / Path(*dotted.split("."))
    file = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
    if not file.is_file():
        return None
    calls = argument_calls(ast.parse(file.read_text(encoding="utf-8")))
    return {"--help"} | {
        argument.value
        for call in calls
        for argument in call.args
        if isinstance(argument, ast.Constant) and str(argument.value).startswith("--")
    }


def is_meant_as_verb(word: str, before: str) -> bool:
    """Tell a command from a sentence about the program: "`qupath-her2 scroe`", but "qupath-her2 scores cells"."""
    if before:
        return True
    return word.removesuffix("s") not in VERBS and bool(
        difflib.get_close_matches(word, VERBS, n=1, cutoff=0.65)
    )


def faults(text: Text) -> list[str]:
    """Return a sentence for each flag, verb and module in `text` that does not exist."""
    found = []
    rest = text.text
    for module in MODULE.finditer(text.text):
        dotted, words = module.groups()
        if not dotted.startswith(("tests.", "qupath_her2.")):
            continue
        known = module_flags(dotted)
        if known is None:
            found.append(f"{text.where}: there is no module {dotted}")
        else:
            found += [
                f"{text.where}: {dotted} has no {flag}"
                for flag in re.findall(FLAG, words)
                if flag not in known
            ]
        rest = rest.replace(module.group(), " ")
    for before, verb, words in COMMAND.findall(rest):
        if verb in VERBS:
            unknown = [flag for flag in re.findall(FLAG, words) if flag not in VERBS[verb]]
            found += [f"{text.where}: {verb} has no {flag}" for flag in unknown]
        elif is_meant_as_verb(verb, before):
            found.append(f"{text.where}: there is no verb {verb!r}")
    for verb, flag in BARE_COMMAND.findall(rest):
        if flag not in VERBS[verb] and flag not in FOREIGN:
            found.append(f"{text.where}: {verb} has no {flag}")
    flags = re.findall(FLAG, rest)
    found += [
        f"{text.where}: no verb has {flag}" for flag in flags if flag not in ANY_FLAG and flag not in FOREIGN
    ]
    return found


def test_every_flag_verb_and_module_that_is_mentioned_exists() -> None:
    assert sorted({fault for text in all_texts() for fault in faults(text)}) == []


@pytest.mark.parametrize("flag", FOREIGN)
def test_a_foreign_flag_is_mentioned_and_is_not_ours(flag: str) -> None:
    assert flag not in ANY_FLAG
    assert any(re.search(rf"{flag}(?![\w-])", text.text) for text in all_texts())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Score it with qupath-her2 scroe FOLDER.", ["there is no verb 'scroe'"]),
        (
            "Run qupath-her2 measure FOLDER, as `qupath-her2 all` does",
            [f"there is no verb {v!r}" for v in ("measure", "all")],
        ),
        ("qupath-her2 scores cells, was not found, and qupath-her2 added none", []),
        (
            "Cut them again (patches --patch-size-px 224).",
            ["patches has no --patch-size-px", "no verb has --patch-size-px"],
        ),
        ("qupath-her2 push study --guideline breast-2013", ["push has no --guideline"]),
        ("qupath-her2 run a.svs --cells unet, or pull --force", ["pull has no --force"]),
        ("pass --unclassified-is-tumour", ["no verb has --unclassified-is-tumour"]),
        ("`python -m tests.quality.report --plane`", ["tests.quality.report has no --plane"]),
        (
            "python -m qupath_her2.cells.no_such_module",
            ["there is no module qupath_her2.cells.no_such_module"],
        ),
        ("qupath-her2 pull --cells; then qupath-her2 run . --cells from-regions, as qupath-her2 is told", []),
        ("predict --no-cam, or --cam; torchrun --nproc-per-node 4 -m qupath_her2 train", []),
        ("python -m tests.quality.report --plain --seeds 1 2` and --force", []),
    ],
)
def test_the_check_itself(text: str, found: list[str]) -> None:
    assert [fault.removeprefix("here: ") for fault in faults(Text("here", text))] == found


def test_texts_are_found_wherever_they_stand() -> None:
    source = '"""Doc --one."""\nx = f"a {x} --two" " --three"  # --four\n'
    said = " ".join(text.text for text in python_texts(ROOT / "x.py", source))
    assert re.findall(FLAG, said) == ["--one", "--two", "--three", "--four"]
    joined = groovy_text(
        ROOT / "x.groovy", 'say("qupath-her2 pull " +\n    "--pixels ${name}") // or --force'
    )
    assert "qupath-her2 pull --pixels VALUE" in joined.text
