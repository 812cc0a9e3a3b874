"""The house rules of design.md section 4, read from the source by `ast`."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "qupath_her2"
MODULES = sorted(PACKAGE.rglob("*.py"))

#: Rooms from left to right; those of one row are strangers to each other.
ROOMS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("setting_ranges",),
    ("records",),
    ("provenance", "regions"),
    ("project", "slides"),
    ("synthetic",),
    ("patches",),
    ("models",),
    ("learning",),
    ("cells",),
    ("scoring",),
    ("recipes",),
    ("report",),
    ("config",),
    ("runs",),
    ("training",),
    ("review",),
    ("batch",),
    ("server",),
    ("api",),
    ("cli",),
)
PLACE = {room: place for place, row in enumerate(ROOMS) for room in row}

#: What only some rooms may import (design.md section 4, "External doors").
DOORS = {
    "paquo": {"project"},
    "jpype": {"project"},
    "torch": {"models", "learning", "training"},
    "timm": {"models", "learning", "training"},
    "ray": {"batch"},
    "fastapi": {"server"},
    "starlette": {"server"},
    "uvicorn": {"server"},
    "sse_starlette": {"server"},
    "typer": {"cli"},
    "pydantic": {"config", "server"},
    "jinja2": {"report", "server"},
    "rich": {"cli"},
}

HEAVY = ["numpy", "scipy", "cv2", "numba", "shapely", "torch", "jpype", "paquo", "tifffile", "openslide"]


def room_of(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def absolute(node: ast.ImportFrom, module: Path) -> str:
    """The dotted name an import statement means, relative ones resolved against `module`."""
    if node.level == 0:
        return node.module or ""
    package = ["qupath_her2", *module.relative_to(PACKAGE).parts[:-1]]
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def imports_of(source: str, module: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node, module)
            # `from . import x` and `from qupath_her2 import x` name a room only in their last part.
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return names


def misplaced(source: str, module: Path) -> list[str]:
    here = room_of(module)
    faults = []
    for name in sorted(imports_of(source, module)):
        top, *rest = name.split(".")
        if top in DOORS and here not in DOORS[top]:
            faults.append(f"{here} imports {top}")
        if top != "qupath_her2" or not rest or rest[0] not in PLACE:
            continue
        there = rest[0]
        if there != here and PLACE[there] >= PLACE[here]:
            faults.append(f"{here} imports {there}")
    return faults


@pytest.mark.parametrize(
    "module", [m for m in MODULES if m.parent != PACKAGE or m.stem not in ("__init__", "__main__")], ids=str
)
def test_rooms_import_only_to_their_left(module: Path) -> None:
    assert room_of(module) in PLACE, f"{module.name} is in no room of design.md section 4"
    assert misplaced(module.read_text(encoding="utf-8"), module) == []


@pytest.mark.parametrize(
    ("source", "faults"),
    [
        ("from ..cli import app", ["slides imports cli"]),
        ("from qupath_her2.project import class_names", ["slides imports project"]),
        ("def f():\n    import qupath_her2.scoring.guidelines", ["slides imports scoring"]),
        ("from qupath_her2 import batch", ["slides imports batch"]),
        ("import torch.nn", ["slides imports torch"]),
        ("from ..records import Box\nfrom .stains import unmix\nimport numpy", []),
    ],
)
def test_the_check_itself(source: str, faults: list[str]) -> None:
    assert misplaced(source, PACKAGE / "slides" / "readers.py") == faults


def test_importing_the_package_is_free() -> None:
    code = """
        import sys
        before = set(sys.modules)
        import qupath_her2
        loaded = {name.split(".")[0] for name in set(sys.modules) - before}
        sys.exit(", ".join(sorted(loaded & set(sys.argv[1:]))) or 0)
    """
    heavy = [*HEAVY, "pydantic", "rich", "typer", "jinja2", "geojson", "orjson", "imagecodecs"]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *heavy],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"import qupath_her2 loads: {done.stderr}"


def test_help_starts_without_the_heavy_parts() -> None:
    code = """
        import sys
        import qupath_her2.cli
        sys.exit(", ".join(sorted(set(sys.argv[1:]) & set(sys.modules))) or 0)
    """
    heavy = HEAVY
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *heavy],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"qupath-her2 --help loads: {done.stderr}"


def functions(module: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the function without its docstring, whose length is the reader's gain."""
    start = (
        function.body[1].lineno if ast.get_docstring(function) and len(function.body) > 1 else function.lineno
    )
    return (function.end_lineno or start) - start + 1


def test_no_function_is_long() -> None:
    long = [
        f"{module.relative_to(PACKAGE)}:{function.lineno} {function.name}: {code_lines(function)} lines"
        for module in MODULES
        for function in functions(module)
        if code_lines(function) > 60
    ]
    assert long == []


def test_modules_stay_readable() -> None:
    lengths = {
        str(module.relative_to(PACKAGE)): module.read_text(encoding="utf-8").count("\n") for module in MODULES
    }
    assert [f"{name}: {lines} lines" for name, lines in lengths.items() if lines > 400] == []
    over = [f"{name}: {lines} lines" for name, lines in lengths.items() if lines > 250]
    if over:
        # Taste, not a limit: the number is there to be looked at, and "warnings are errors" must not make it
        # one.
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.warn(f"modules over 250 lines: {', '.join(over)}", stacklevel=1)


def public_definitions(module: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    found: list[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef] = []
    tree = ast.parse(module.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name[0] != "_":
            found.append(node)
            if isinstance(node, ast.ClassDef):
                found += [
                    below
                    for below in node.body
                    if isinstance(below, ast.FunctionDef) and not below.name.startswith("_")
                ]
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_everything_public_is_documented_and_annotated(module: Path) -> None:
    assert ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))), "the module has no docstring"
    for node in public_definitions(module):
        # An overload or a stub of a protocol states a type; the words stand elsewhere.
        is_stub = ast.unparse(node.body[-1]) == "..."
        if is_stub or any("overload" in ast.unparse(decorator) for decorator in node.decorator_list):
            continue
        assert ast.get_docstring(node), f"{node.name}, line {node.lineno}, has no docstring"
        if not isinstance(node, ast.ClassDef):
            assert node.returns is not None, f"{node.name}, line {node.lineno}, says not what it returns"


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_no_print_no_bare_except_no_open_end(module: Path) -> None:
    source = module.read_text(encoding="utf-8")
    tree = ast.parse(source)
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    assert [n.lineno for n in calls if n.func.id == "print"] == []  # type: ignore[attr-defined]
    assert [n.lineno for n in ast.walk(tree) if isinstance(n, ast.ExceptHandler) and n.type is None] == []
    assert re.findall(r"\b(?:TODO|FIXME|XXX)\b|raise NotImplementedError", source) == []
    assert "from __future__ import annotations" in source or not tree.body[1:]


def test_broad_except_stands_in_one_place_only() -> None:
    """A job turns any surprise into a failed image that says so; nothing else may catch everything."""
    found = [
        str(module.relative_to(PACKAGE))
        for module in MODULES
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler)
        and node.type is not None
        and {"Exception"} & {getattr(t, "id", "") for t in getattr(node.type, "elts", [node.type])}
    ]
    assert found == ["runs/score_image.py"]
