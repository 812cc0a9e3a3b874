"""Every setting has its range beside its field, its default lies inside, and no docstring lists another range."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import pytest

from qupath_her2.config import Settings
from qupath_her2.errors import SettingsError
from qupath_her2.recipes import BAG_RECIPES, RECIPES
from qupath_her2.setting_ranges import Range, Text, check_settings


def _tables(kind: type) -> Iterator[type]:
    """`kind` and every settings dataclass below it."""
    yield kind
    for hint in get_type_hints(kind).values():
        for one in (hint, *get_args(hint)):
            if dataclasses.is_dataclass(one) and isinstance(one, type):
                yield from _tables(one)


TABLES = sorted(set(_tables(Settings)), key=lambda kind: f"{kind.__module__}.{kind.__name__}")
FIELDS = [(kind, name) for kind in TABLES for name in (one.name for one in dataclasses.fields(kind))]


def _is_ruled(hint: Any) -> bool:
    """Whether a type hint says which values there are, down to the items of lists."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return any(isinstance(one, (Range, Text)) for one in args[1:])
    if origin is Literal or hint in (bool, type(None)):
        return True
    if dataclasses.is_dataclass(hint):
        return True
    return bool(args) and all(_is_ruled(one) for one in args if one is not Ellipsis)


def test_all_settings_are_looked_at() -> None:
    # A change of the annotations that hides tables from this test would leave it without a subject.
    assert len(TABLES) > 35
    assert len(FIELDS) > 200


@pytest.mark.parametrize(("kind", "name"), FIELDS, ids=lambda one: getattr(one, "__name__", one))
def test_a_field_has_a_range(kind: type, name: str) -> None:
    assert _is_ruled(get_type_hints(kind, include_extras=True)[name])


@pytest.mark.parametrize("kind", TABLES, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_a_table_checks_itself_when_it_is_made(kind: type) -> None:
    vectors = {"hematoxylin": (0.65, 0.7, 0.29), "dab": (0.27, 0.57, 0.78)}
    given: dict[str, Any] = vectors if kind.__name__ == "StainVectors" else {}
    check_settings(kind(**given))
    name = "source" if given else dataclasses.fields(kind)[-1].name
    # A set is no value of any setting.
    with pytest.raises(SettingsError, match=rf"^{name} is \{{'wrong'\}}; it must be "):
        kind(**{**given, name: {"wrong"}})


@pytest.mark.parametrize("kind", TABLES, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_the_docstring_lists_no_range(kind: type) -> None:
    attributes = (kind.__doc__ or "").partition("Attributes")[2]
    found = re.findall(
        r"\d\.\.\d|\d \.\. \d|must be [^.]*\d|(?:0|above \d) (?:to|and at most) 1\b|[<>]=? ?\d", attributes
    )
    assert not found


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda one: one.name)
def test_the_settings_of_recipes_lie_in_their_ranges(recipe: Any) -> None:
    for settings in (recipe.patches, recipe.train, recipe.predict, recipe.votes):
        check_settings(settings)


@pytest.mark.parametrize("recipe", BAG_RECIPES.values(), ids=lambda one: one.name)
def test_the_settings_of_recipes_on_features_lie_in_their_ranges(recipe: Any) -> None:
    for settings in (recipe.patches, recipe.embed, recipe.bags, recipe.predict):
        check_settings(settings)
