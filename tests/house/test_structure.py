"""The structure of the code: no import cycles, functions of readable length, documented parameters, mirrored tests."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "qupath_her2"
MODULES = sorted(PACKAGE.rglob("*.py"))
UNIT = ROOT / "tests" / "unit"

MOST_LINES = 80
#: A verb's signature is its list of flags, and its docstring its help.
MOST_LINES_OF_A_VERB = 120

Function = ast.FunctionDef | ast.AsyncFunctionDef


def relative(module: Path) -> str:
    return module.relative_to(PACKAGE).as_posix()


def dotted(module: Path) -> str:
    return ".".join(module.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def functions(module: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def module_imports(source: str, known: set[str]) -> set[str]:
    """Modules of the package that a module imports at its top level, those for type checkers included."""
    tree = ast.parse(source)
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in inside:
            continue
        if isinstance(node, ast.ImportFrom) and node.module in known:
            found |= {
                full if (full := f"{node.module}.{alias.name}") in known else node.module
                for alias in node.names
            }
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & known
    return found


def first_cycle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_import_cycle_typing_included() -> None:
    known = {dotted(module) for module in MODULES}
    graph = {
        dotted(module): module_imports(module.read_text(encoding="utf-8"), known) - {dotted(module)}
        for module in MODULES
        # The package itself names its functions' modules for type checkers, and imports none of them.
        if module != PACKAGE / "__init__.py"
    }
    assert first_cycle(graph) == []


def test_the_cycle_check_itself() -> None:
    known = {"p.a", "p.b", "p.c"}
    a = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.b import x"
    graph = {"p.a": module_imports(a, known), "p.b": module_imports("from p import c\nimport p.a", known)}
    assert graph == {"p.a": {"p.b"}, "p.b": {"p.a"}}
    assert set(first_cycle(graph)) == {"p.a", "p.b"}
    assert module_imports("def f():\n    from p.b import x", known) == set()


def test_no_whole_function_is_long() -> None:
    long = [
        f"{relative(module)}:{function.lineno} {function.name}: {lines} lines"
        for module in MODULES
        for function in functions(module)
        if (lines := (function.end_lineno or 0) - function.lineno + 1)
        > (MOST_LINES_OF_A_VERB if relative(module).startswith("cli/") else MOST_LINES)
    ]
    assert long == []


def parameters(function: Function) -> list[str]:
    arguments = function.args
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls")]


def undocumented(function: Function, is_verb: bool) -> str:
    """What a public function of three and more parameters lacks: ``Parameters``, ``Returns``, or nothing."""
    doc = ast.get_docstring(function) or ""
    # A verb's parameters are documented by their --help; a method of a protocol by the protocol's own.
    if len(parameters(function)) < 3 or is_verb or re.search(r"[Ss]ee `[\w.]+`", doc):
        return ""
    if "Parameters\n---" not in doc:
        return "Parameters"
    returns = "None" if function.returns is None else ast.unparse(function.returns)
    return "" if returns == "None" or "Returns\n---" in doc or "Yields\n---" in doc else "Returns"


def public_functions(module: Path) -> Iterator[Function]:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    for node in tree.body:
        below = node.body if isinstance(node, ast.ClassDef) else [node]
        for function in below:
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.name[0] != "_":
                yield function


def test_three_parameters_and_more_are_documented() -> None:
    lacking = [
        f"{relative(module)}:{function.lineno} {function.name}: no {lack}"
        for module in MODULES
        for function in public_functions(module)
        if (
            lack := undocumented(
                function, any("verb" in ast.unparse(decorator) for decorator in function.decorator_list)
            )
        )
    ]
    assert lacking == []


@pytest.mark.parametrize(
    ("source", "lack"),
    [
        ("def f(a, b): 'x'", ""),
        ("def f(a, b, c): 'x'", "Parameters"),
        ("def f(a, b, c) -> int:\n    '''x\n\n    Parameters\n    ----------\n    '''", "Returns"),
        ("def f(a, b, c) -> None:\n    '''x\n\n    Parameters\n    ----------\n    '''", ""),
        ("def f(self, a, b, *, c): 'Measure; see `Method.measure`.'", ""),
    ],
)
def test_the_parameter_check_itself(source: str, lack: str) -> None:
    (function,) = ast.parse(source).body
    assert isinstance(function, ast.FunctionDef)
    assert undocumented(function, is_verb=False) == lack


def test_no_title_asks_a_question() -> None:
    asking = re.compile(r"(What|Where|How|Which|Who|Whose|When|Why|Whether)\b")
    titles = {
        relative(m): (ast.get_docstring(ast.parse(m.read_text(encoding="utf-8"))) or "") for m in MODULES
    }
    assert [f"{name}: {doc.splitlines()[0]}" for name, doc in titles.items() if asking.match(doc)] == []


def test_every_module_has_a_mirrored_test_or_a_reason() -> None:
    table = tomllib.loads((ROOT / "tests" / "house" / "unmirrored.toml").read_text(encoding="utf-8"))
    reasons = {path: reason for room in table.values() for path, reason in room.items()}
    modules = {relative(m) for m in MODULES if m.name not in ("__init__.py", "__main__.py")}
    mirrored = {name for name in modules if (UNIT / Path(name).parent / f"test_{Path(name).name}").is_file()}
    assert sorted(modules - mirrored - set(reasons)) == []
    assert sorted(set(reasons) - modules) == [], "reasons for modules that do not exist"
    assert sorted(set(reasons) & mirrored) == [], "reasons for modules that have a test"
    assert [path for path, reason in reasons.items() if len(reason.split()) < 3] == []
