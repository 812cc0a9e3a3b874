"""Ranges of settings: each stands beside its field, and one check holds wherever settings are made.

A field is written ``faint_od: Density = 0.034`` or ``min_cells: Annotated[int, Range(1, 1e6, "cells")] = 100``; its
dataclass calls `check_settings` when made, by a settings file, a flag, a recipe or Python.

Ranges bound what can be meant, not what is wise: outside, a value is a slip of the unit or the decimal point, or would
exhaust the memory. A reason stands beside a range that its unit does not explain.
"""

from __future__ import annotations

import functools
import itertools
import re
import reprlib
from dataclasses import dataclass, fields, is_dataclass
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from qupath_her2.errors import SettingsError

__all__ = [
    "AnyRange",
    "Density",
    "Device",
    "Percent",
    "Range",
    "Seed",
    "Share",
    "Text",
    "check_order",
    "check_settings",
    "expected",
    "shown",
]

#: Most values of a list whose length is not fixed.
_MOST_ITEMS = 100
#: Values in messages are cut to this many characters.
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = _SHOWN.maxlong = 40


@dataclass(frozen=True, slots=True)
class Range:
    """Range of a number, or of each number of a tuple.

    Attributes
    ----------
    low, high
        Least and greatest value.
    unit
        Unit or kind of the number, for messages.
    is_open
        Ends that do not belong to the range: ``low``, ``high`` or ``both``.
    multiple
        The number is a multiple of this; 0 for no such rule.
    or_zero
        0 is allowed as well; it switches something off.
    """

    low: float
    high: float
    unit: str = ""
    is_open: Literal["", "low", "high", "both"] = ""
    multiple: int = 0
    or_zero: bool = False

    def __str__(self) -> str:
        low, high = _number(self.low), _number(self.high)
        text = {
            "": f"{low} to {high}",
            "low": f"above {low}, at most {high}",
            "high": f"at least {low}, below {high}",
            "both": f"above {low}, below {high}",
        }[self.is_open]
        text = f"{'0 or ' if self.or_zero else ''}{text}{f' {self.unit}' if self.unit else ''}"
        return f"{text}, a multiple of {self.multiple}" if self.multiple else text

    def holds(self, value: float) -> bool:
        """Return whether a number lies in the range; NaN lies in none."""
        if self.or_zero and value == 0:
            return True
        low_holds = self.low < value if self.is_open in ("low", "both") else self.low <= value
        high_holds = value < self.high if self.is_open in ("high", "both") else value <= self.high
        return low_holds and high_holds and not (self.multiple and value % self.multiple)


@dataclass(frozen=True, slots=True)
class Text:
    """Rule of a text, or of each text of a tuple.

    Attributes
    ----------
    meaning
        Description for messages, after "it must be".
    pattern
        Regular expression that the whole text matches. By default up to 200 characters, none of them a control
        character: no class, column or file name is longer than QuPath and file systems allow.
    may_be_empty
        The empty text is allowed as well; it stands for "none".
    """

    meaning: str
    pattern: str = r"[^\x00-\x1f\x7f\ud800-\udfff]{1,200}"
    may_be_empty: bool = False

    def holds(self, value: str) -> bool:
        """Return whether a text follows the rule; blanks alone are no text."""
        if not value.strip():
            return self.may_be_empty and not value
        return re.fullmatch(self.pattern, value) is not None


#: A range or rule of text, as it stands in ``Annotated``.
AnyRange: TypeAlias = Range | Text

#: Optical density, log10: 8-bit pixels end at 2.4, and at 4 a ten-thousandth of the light is left.
Density = Annotated[float, Range(0, 4, "OD")]
Percent = Annotated[float, Range(0, 100, "%")]
Share = Annotated[float, Range(0, 1, "(a share)")]
#: scikit-learn takes seeds of 32 bits, numpy and torch any larger.
Seed = Annotated[int, Range(0, 2**32 - 1)]
Device = Annotated[str, Text("auto, cpu, mps, cuda or cuda:0", r"auto|cpu|mps|cuda(:\d{1,3})?")]


def check_settings(settings: object) -> None:
    """Refuse a settings dataclass with a field of another type or outside its range.

    Parameters
    ----------
    settings
        Instance of a dataclass, each field annotated with a `Range`, a `Text`, ``bool``, ``Literal`` or another
        settings dataclass.

    Raises
    ------
    SettingsError
        The message begins with the first wrong field, its value and its range.
    """
    kind: type = type(settings)
    for name, hint in _hints(kind).items():
        value = getattr(settings, name)
        rule = _broken_rule(hint, value)
        if rule is not None:
            raise SettingsError(f"{name} is {shown(value)}; it must be {rule}.")


def check_order(settings: object, *names: str, is_strict: bool = True) -> None:
    """Refuse settings whose fields `names` do not rise in this order.

    Parameters
    ----------
    settings
        Instance of a dataclass.
    *names
        Fields with numbers, the smallest first.
    is_strict
        Equal neighbours are refused too.

    Raises
    ------
    SettingsError
        The message begins with the first field that is too large, and names the one that it must stay below.
    """
    for low, high in itertools.pairwise(names):
        below, above = getattr(settings, low), getattr(settings, high)
        if below > above or (is_strict and below == above):
            relation = "below" if is_strict else "at most"
            raise SettingsError(
                f"{low} is {shown(below)}; it must be {relation} {high}, which is {shown(above)}."
            )


def expected(kind: type, name: str) -> str:
    """Return what the field `name` of a settings dataclass must be, in words: ``0 to 4 OD``."""
    # An object that is nothing breaks every rule.
    return str(_broken_rule(_hints(kind)[name], object()))


def shown(value: object) -> str:
    """Return a value as messages show it: Python's notation, cut where it is long."""
    # Python refuses to write integers of more than 4300 digits.
    if isinstance(value, int) and value.bit_length() > 256:
        return f"an integer of {value.bit_length()} bits"
    return _SHOWN.repr(value)


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {one.name: hints[one.name] for one in fields(kind)}


def _broken_rule(hint: Any, value: object, rule: AnyRange | None = None) -> str | None:
    """Return what `value` must be according to a type hint, None if it is that.

    `rule` is the range of the annotation around, which holds for each item of a tuple; all items are of one type.
    """
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _broken_rule(
            args[0], value, next((one for one in args[1:] if isinstance(one, (Range, Text))), rule)
        )
    if origin in (Union, UnionType):
        broken = [_broken_rule(one, value, rule) for one in args if one is not NoneType]
        is_fine = None in broken or (value is None and NoneType in args)
        return None if is_fine else " or ".join(str(one) for one in broken)
    if origin is tuple:
        return _broken_item(args, value, rule)
    if origin is Literal:
        # `type`, since 1 == True.
        is_fine = any(type(value) is type(one) and value == one for one in args)
        return None if is_fine else f"one of {', '.join(map(str, args))}"
    if is_dataclass(hint) and isinstance(hint, type):
        return None if isinstance(value, hint) else "a table of settings"
    return _broken_scalar(hint, value, rule)


def _broken_item(args: tuple[Any, ...], value: object, rule: AnyRange | None) -> str | None:
    is_open = args[-1] is Ellipsis
    # Names may be none at all; numbers that are not there cannot be computed with.
    least = 1 if isinstance(rule, Range) else 0
    n = f"{least} to {_MOST_ITEMS}" if is_open else len(args)
    words = f"a list of {n} values, each {_broken_rule(args[0], object(), rule)}"
    if not isinstance(value, tuple):
        return words
    is_long_enough = least <= len(value) <= _MOST_ITEMS if is_open else len(value) == len(args)
    fits = is_long_enough and all(_broken_rule(args[0], one, rule) is None for one in value)
    return None if fits else words


def _broken_scalar(hint: Any, value: object, rule: AnyRange | None) -> str | None:
    if hint is bool:
        return None if isinstance(value, bool) else "true or false"
    if hint is str:
        is_fine = isinstance(value, str) and (not isinstance(rule, Text) or rule.holds(value))
        return None if is_fine else (rule.meaning if isinstance(rule, Text) else "text")
    kind, words = (Integral, "a whole number") if hint is int else (Real, "a number")
    # True is an Integral as well.
    is_fine = isinstance(value, kind) and not isinstance(value, bool)
    if isinstance(rule, Range):
        is_fine = is_fine and rule.holds(value)  # type: ignore[arg-type]
        words = f"{words}, {rule}" if hint is int else str(rule)
    return None if is_fine else words


def _number(value: float) -> str:
    return f"{value:,g}" if abs(value) < 1e5 else f"{value:,.0f}"
