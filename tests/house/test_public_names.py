from __future__ import annotations

import ast
import importlib
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import qupath_her2

PACKAGE = Path(qupath_her2.__file__).parent
MODULES = [m for m in sorted(PACKAGE.rglob("*.py")) if m != PACKAGE / "__init__.py"]


def test_every_public_name_resolves_to_where_it_is_defined() -> None:
    for name in qupath_her2.__all__:
        assert getattr(qupath_her2, name) is not None
    assert set(qupath_her2.__all__) <= set(dir(qupath_her2))
    assert 15 <= len(qupath_her2.__all__) <= 44


def test_types_and_laziness_agree() -> None:
    """The names under TYPE_CHECKING are what a type checker sees; `_LAZY` is what runs."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    block = next(n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    typed = {
        alias.asname or alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == qupath_her2._LAZY
    assert set(qupath_her2.__all__) == {*qupath_her2._LAZY, "__version__"}


def test_unknown_name_is_an_attribute_error_that_names_the_nearest() -> None:
    with pytest.raises(AttributeError, match="score_image"):
        _ = qupath_her2.score_imag


def test_version_has_one_source() -> None:
    try:
        expected = version("qupath-her2")
    except PackageNotFoundError:
        expected = "not installed"
    assert qupath_her2.__version__ == expected


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_all_lists_only_what_exists(module: Path) -> None:
    dotted = ".".join(module.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    if dotted.endswith("__main__"):
        return
    loaded = importlib.import_module(dotted)
    names = getattr(loaded, "__all__", ())
    assert [name for name in names if not hasattr(loaded, name)] == []
    assert len(set(names)) == len(names)


def test_no_machine_path_or_registry_address_in_the_package() -> None:
    pattern = re.compile(r"/(?:home|root|work|Users)/|index-url|[A-Z]:\\\\")
    assert [str(m) for m in MODULES if pattern.search(m.read_text(encoding="utf-8"))] == []
