"""Conventions for every class of the Groovy library and for the lines that load it; needs no QuPath."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qupath_her2.patches.tasks import TASKS
from qupath_her2.project.class_names import PATCH_CLASS, patch_colour
from qupath_her2.records import CHOSEN_FOR_IMAGE, GUIDELINE_KEY
from qupath_her2.scoring.guidelines import GUIDELINES
from tests.groovy.conftest import SCRIPTS

#: Compiled at every start, before cached classes can be found, so not statically: that takes longer than it saves.
FIRST = "Her2Loader"
LIBRARY = sorted((SCRIPTS / "lib").glob("*.groovy"))
LOADER = "// ---- the library: the same lines in every script"


def loaders() -> dict[str, str]:
    """The lines that load the library, by script; they are the last lines of every script that uses it."""
    texts = {script.name: script.read_text(encoding="utf-8") for script in sorted(SCRIPTS.glob("*.groovy"))}
    return {name: text[text.index(LOADER) :] for name, text in texts.items() if "her2(" in text}


def test_all_scripts_load_the_library_in_the_same_way() -> None:
    assert len(set(loaders().values())) <= 1, f"{' and '.join(loaders())} load the library in different ways"


def test_every_class_used_by_a_script_exists() -> None:
    for script in SCRIPTS.glob("*.groovy"):
        asked = re.findall(r'her2\("(\w+)"\)', script.read_text(encoding="utf-8"))
        assert {f"{name}.groovy" for name in asked} <= {file.name for file in LIBRARY}, script.name


def test_guidelines_are_those_of_python() -> None:
    text = (SCRIPTS / "lib" / "Her2Guidelines.groovy").read_text(encoding="utf-8")
    listed = dict(re.findall(r'"([a-z]+-[a-z0-9]+)"\s*: "([^"]+)"', text))
    assert listed == {key: table.name for key, table in GUIDELINES.items()}
    assert f'KEY = "{GUIDELINE_KEY}"' in text
    assert f'CHOSEN = "{CHOSEN_FOR_IMAGE}"' in text


def test_our_metadata_keys_are_listed_once() -> None:
    """An import writes these keys and an export leaves them out, so both must use the same list."""
    listing = [file.name for file in LIBRARY if "HER2 score (computed)" in file.read_text(encoding="utf-8")]
    assert listing == ["Her2Import.groovy"]


def test_patches_have_the_same_colours_in_qupath_and_in_reports() -> None:
    text = (SCRIPTS / "lib" / "Her2Classes.groovy").read_text(encoding="utf-8")
    as_cells = dict(re.findall(r'"([^"]+)"\s*: "([^"]+)"', text))
    colours = {
        name: tuple(map(int, rgb.split(",")))
        for name, rgb in re.findall(r'"([^"]+)"\s*: \[([\d, ]+)\]', text)
    }
    words = {word for task in TASKS.values() for word in task.class_names}
    assert set(as_cells) == words
    assert {word: colours[as_cells[word]] for word in words} == {
        word: patch_colour(PATCH_CLASS + word) for word in words
    }
    assert f'"{PATCH_CLASS}"' in text


@pytest.mark.parametrize("file", LIBRARY, ids=lambda f: f.stem)
class TestLibraryClass:
    def test_one_statically_compiled_class_named_after_the_file(self, file: Path) -> None:
        """A class is found by its file name, and only statically compiled classes are fast."""
        text = file.read_text(encoding="utf-8")
        compiled = r"" if file.stem == FIRST else r"@CompileStatic\n"
        assert re.search(rf"^{compiled}(final |abstract )?class {file.stem}\b", text, re.MULTILINE)
        assert not re.search(r"^package ", text, re.MULTILINE)
        assert "@CompileDynamic" not in text
        assert max(len(line) for line in text.splitlines()) <= 120

    def test_has_a_comment_above_the_class(self, file: Path) -> None:
        assert re.search(r"\*/\n(@CompileStatic\n)?(abstract )?class", file.read_text(encoding="utf-8")), (
            "no comment above the class"
        )

    def test_avoids_what_qupath_lacks_and_what_breaks_a_hierarchy(self, file: Path) -> None:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"groovy\.(json|yaml)", text)
        assert not re.search(r"\b(resolveHierarchy|clearChildObjects|clearAll)\(", text)
