"""Every advice of a message is typed by a test, or has a reason not to be.

An advice is a text of the package, no documentation, that tells the user to type something: a flag, a verb, a setting
of ``her2.toml``, or the deletion of a file. `tests.unit.cli.test_advice` makes the fault and follows the advice.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from qupath_her2.config import Settings
from tests.house.advice_reasons import NOT_ADVICE, TYPED_ELSEWHERE, UNTYPED
from tests.unit.cli.test_advice import TYPED

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "qupath_her2"

ADVICE = re.compile(
    r"(?<![\w-])--[a-z]|\bqupath-her2 [a-z]|her2\.toml|\b[Dd]elete (?:it|one|'|all)|\bScore the image again|"
    r"\b[Pp]ass (?:the|a|one) "
)


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of each string of a module, but docstrings and the help of options; ``{}`` is a value."""
    tree = ast.parse(source)
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            skipped.add(id(node.value))
        elif isinstance(node, ast.keyword) and node.arg in ("help", "metavar", "rich_help_panel"):
            skipped |= {id(part) for part in ast.walk(node.value)}
        elif isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for value in node.values for part in ast.walk(value)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.JoinedStr):
            parts = [str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values]
            yield node.lineno, "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def is_advice(text: str) -> bool:
    """Return whether a text tells the user to type something; a flag alone is a name, no sentence."""
    return " " in text and ADVICE.search(text) is not None


def found() -> dict[str, str]:
    """Return {text: where} of every advice in the package."""
    return {
        text: f"{path.relative_to(ROOT).as_posix()}:{line}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line, text in texts(path.read_text(encoding="utf-8"))
        if is_advice(text)
    }


KNOWN = [advice.says for advice in TYPED] + [*TYPED_ELSEWHERE, *UNTYPED, *NOT_ADVICE]


def is_known(text: str, known: str) -> bool:
    """Return whether a known piece is in a text, or, for a text joined from several, holds it."""
    return known in text or text in known


def test_every_advice_is_typed_or_has_a_reason() -> None:
    missing = [
        f"{where}: {text}"
        for text, where in found().items()
        if not any(is_known(text, known) for known in KNOWN)
    ]
    assert missing == [], "type it in tests/unit/cli/test_advice.py, or give a reason in advice_reasons.py"


def test_no_entry_outlives_its_message() -> None:
    advice = found()
    assert [known for known in KNOWN if not any(is_known(text, known) for text in advice)] == []


@pytest.mark.parametrize("test", sorted(set(TYPED_ELSEWHERE.values())))
def test_the_tests_that_type_an_advice_elsewhere_exist(test: str) -> None:
    file, name = test.split("::")
    assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")


#: A key and its table, as messages write them: ``KEY = VALUE under [TABLE] in her2.toml``, ``TABLE.KEY in her2.toml`` …
SETTING = re.compile(
    r"(?:(?P<key>[a-z_]+)(?: = [\w\"]+)?,? )?(?:in|under) \[(?P<table>[\w.]+)\] (?:of|in) her2\.toml"
    r"|\[(?P<table2>[\w.]+)\] (?P<key2>[a-z_]+) = [\w\"]+ in her2\.toml"
    r"|(?P<key3>[a-z_]+) = [\w\"]+ in her2\.toml's \[(?P<table3>[\w.]+)\]"
    r"|(?P<table4>[a-z_]+(?:\.[a-z_]+)*)\.(?P<key4>[a-z_]+) in her2\.toml"
)
#: Words before "in [table]" that are no keys.
NO_KEYS = {"truth", "vectors", "or"}


def settings_named(text: str) -> list[tuple[str, str | None]]:
    """Return (table, key) of every setting that a text names; the key is None where it names the table alone."""
    named = []
    for match in SETTING.finditer(text):
        groups = match.groupdict()
        table = next(groups[name] for name in ("table", "table2", "table3", "table4") if groups[name])
        key = next((groups[name] for name in ("key", "key2", "key3", "key4") if groups[name]), None)
        named.append((table, None if key in NO_KEYS else key))
    return named


def has_setting(table: str, key: str | None) -> bool:
    """Return whether ``her2.toml`` has a table, and the key in it."""
    at: object = Settings()
    for name in [*table.split("."), *([key] if key else [])]:
        if not hasattr(at, name):
            return False
        at = getattr(at, name)
    return True


def test_settings_that_messages_name_exist() -> None:
    named = {(setting, where) for text, where in found().items() for setting in settings_named(text)}
    assert len(named) >= 8
    assert sorted((setting, where) for setting, where in named if not has_setting(*setting)) == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a = true under [regions] in her2.toml", [("regions", "a")]),
        ("Set b in [patches.x] of her2.toml, 0 for all", [("patches.x", "b")]),
        ('device = "cpu" in her2.toml\'s [predict]', [("predict", "device")]),
        ("train.size in her2.toml changes it", [("train", "size")]),
        ('[train.loss] kind = "focal" in her2.toml', [("train.loss", "kind")]),
        ("Set another truth in [patches.x] of her2.toml", [("patches.x", None)]),
        ("or in her2.toml", []),
    ],
)
def test_the_search_for_settings(text: str, named: list[tuple[str, str | None]]) -> None:
    assert settings_named(text) == named


def test_reasons_are_sentences() -> None:
    assert all(
        reason.endswith(".") and len(reason) > 20 for reason in (*UNTYPED.values(), *NOT_ADVICE.values())
    )


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        ('"""Pass --x."""\n', []),
        ('raise E(f"Bad {x}. Pass --out DIR.")\n', ["Bad {}. Pass --out DIR."]),
        ('a = Option("--out", help="Write --out DIR")\n', []),
        ('a = "Run qupath-her2 run FOLDER." "Delete it."\n', ["Run qupath-her2 run FOLDER.Delete it."]),
        ('a = "a word"\nb = "--flag"\n', []),
        ('a = f"{x} under [y] in her2.toml"\n', ["{} under [y] in her2.toml"]),
    ],
)
def test_the_search_itself(source: str, advice: list[str]) -> None:
    assert [text for _, text in texts(source) if is_advice(text)] == advice
