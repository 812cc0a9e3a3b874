"""Nonsense in ``her2.toml``: every key in turn with values of other types, out of range, and in the wrong order.

A value is refused in a sentence that names its key, or it is kept as written and lies in the range beside its field.
"""

from __future__ import annotations

import dataclasses
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from qupath_her2.config import Settings, load_settings
from qupath_her2.errors import SettingsError
from qupath_her2.setting_ranges import Range
from tests.fuzz.report import FuzzReport, Outcome, run_cases

__all__ = ["KEYS", "check", "draw", "run"]


def _keys(kind: type, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each setting as (names of its tables and of itself, type hint)."""
    for name, hint in get_type_hints(kind, include_extras=True).items():
        below = [
            one for one in (hint, *get_args(hint)) if isinstance(one, type) and dataclasses.is_dataclass(one)
        ]
        if below:
            yield from _keys(below[0], (*above, name))
        else:
            yield (*above, name), hint


#: {names of tables and key: type hint}.
KEYS: dict[tuple[str, ...], Any] = dict(_keys(Settings))

#: What must be in a table for its other keys to be looked at.
_NEEDED = {"stain_vectors": {"hematoxylin": "[0.65, 0.7, 0.29]", "dab": "[0.27, 0.57, 0.78]"}}

#: Values as TOML writes them.
_NONSENSE = (
    *("-1", "0", "1", "-0.0", "1e-300", "1e308", "-1e308", "nan", "-nan", "inf", "-inf", "0.5", "255", "256"),
    *("9" * 19, "9" * 300, "-" + "9" * 30, "0xffffffffffffffffffffff", "4294967295", "4294967296"),
    *("true", "false", '""', '" "', '"auto"', '"0.5"', '"nan"', '"\\u0000"', '"\\u202e"', f'"{"x" * 5000}"'),
    *(
        "[]",
        "[[]]",
        "[1]",
        "[1, 2]",
        "[2, 1]",
        "[nan]",
        "[0.1, 0.2, 0.3]",
        '["a"]',
        '[""]',
        '["a", "a"]',
        "[true]",
    ),
    *("{}", "{a = 1}", "1979-05-27", "07:32:00", "1979-05-27T07:32:00Z"),
    *('"=cmd|calc"', '"cuda:999999"', '"her2-4"', '"../../x"', f"[{', '.join(['1'] * 500)}]"),
)


def draw(rng: random.Random, folder: Path) -> str:
    """Write a settings file with one key of nonsense, and beside it which key and value."""
    # In turn, so that a run of any length meets as many keys as it can.
    key = list(KEYS)[int(folder.name) % len(KEYS)] if folder.name.isdecimal() else rng.choice(list(KEYS))
    value = rng.choice(_NONSENSE)
    if rng.random() < 0.3:
        value = repr(rng.choice((-1, 1)) * 10 ** rng.uniform(-12, 12))
    (folder / "her2.toml").write_text(_toml(key, value), encoding="utf-8")
    (folder / "drawn.json").write_text(json.dumps({"key": key, "value": value}), encoding="utf-8")
    return f"{'.'.join(key)} = {value[:40]}"


def _toml(key: tuple[str, ...], value: str) -> str:
    *tables, name = key
    values = {**_NEEDED.get(tables[0] if tables else "", {}), name: value}
    lines = [f"{one} = {text}" for one, text in values.items()]
    return "\n".join([f"[{'.'.join(tables)}]", *lines] if tables else lines) + "\n"


def check(folder: Path) -> Outcome:
    """Read the settings of a drawn case."""
    drawn = json.loads((folder / "drawn.json").read_text(encoding="utf-8"))
    key, text = tuple(drawn["key"]), drawn["value"]
    try:
        settings = load_settings(folder / "her2.toml")
    except SettingsError as error:
        return Outcome("refused", _silences(str(error), key), str(error))
    value: Any = settings
    for name in key:
        value = getattr(value, name)
    wrong = (
        [f"{'.'.join(key)} = {text[:40]} was accepted as {str(value)[:60]}"]
        if not _lies_in(KEYS[key], value)
        else []
    )
    return Outcome("accepted", tuple(wrong))


def _silences(message: str, key: tuple[str, ...]) -> tuple[str, ...]:
    """What a message leaves out."""
    # Two keys together are wrong where values are in no order, repeat, or vectors are parallel: their table is named.
    table, name = ".".join(key[:-1]), key[-1]
    named = (
        ".".join(key) in message
        or f"{table}: " in message
        or (f"{table}." in message and f" {name}, " in message)
    )
    silences = [] if named else [f"the message does not name {'.'.join(key)}: {message}"]
    if "her2.toml" not in message:
        silences.append(f"the message does not name the file: {message}")
    if len(message.replace(str(Path.cwd()), "")) > 600:
        silences.append(f"a message of {len(message)} characters")
    return tuple(silences)


def _lies_in(hint: Any, value: Any, ranges: tuple[Range, ...] = ()) -> bool:
    """Whether every number in a value lies between the ends of the ranges around it."""
    if get_origin(hint) is Annotated:
        kind, *rules = get_args(hint)
        return _lies_in(kind, value, (*ranges, *(one for one in rules if isinstance(one, Range))))
    if isinstance(value, tuple):
        inner = [one for one in get_args(hint) if get_origin(one) is tuple] or [hint]
        items = [one for one in get_args(inner[0]) if one is not Ellipsis]
        return all(_lies_in(items[0] if items else float, one, ranges) for one in value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return True
    return math.isfinite(value) and all(
        one.low <= value <= one.high or (one.or_zero and value == 0) for one in ranges
    )


def run(n: int, seed: int, keep: Path | None = None, *, is_verbose: bool = False) -> FuzzReport:
    """Read `n` settings files of nonsense."""
    return run_cases("settings", draw, check, n=n, seed=seed, keep=keep, is_verbose=is_verbose)
