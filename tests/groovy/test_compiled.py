"""The cache of compiled classes: used only for exactly these sources, and only if it is undamaged."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.groovy.conftest import HERE, PATIENCE_S, SCRIPTS
from tests.helpers.qupath import COMPILED, QuPath

pytestmark = [pytest.mark.qupath, pytest.mark.slow]


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the scripts, and a cache folder of its own."""
    monkeypatch.setenv(COMPILED, str(tmp_path / "kept"))
    return shutil.copytree(SCRIPTS, tmp_path / "some scripts")


def output(qupath: QuPath, scripts: Path, *words: str) -> str:
    options = [option for word in (str(scripts), *words) for option in ("--args", word)]
    private = scripts.parent / "private"
    done = qupath.run(HERE / "keep_compiled.groovy", *options, private=private, timeout_s=PATIENCE_S)
    return done.stdout + done.stderr


def source(qupath: QuPath, scripts: Path) -> str:
    """The file that the classes are loaded from."""
    text = output(qupath, scripts, "look")
    found = re.findall(r"^FROM file:(\S*?) RUNNING (.*)$", text, re.MULTILINE)
    assert found, text
    # Wherever the classes come from, these are the scripts that run.
    assert Path(found[0][1]) == scripts
    return str(found[0][0]).replace("%20", " ")


def test_cached_classes_are_used_until_anything_differs(
    qupath: QuPath, scripts: Path, tmp_path: Path
) -> None:
    lib = scripts / "lib" / "Her2Installation.groovy"
    assert source(qupath, scripts) == str(lib)
    assert "KEPT true" in output(qupath, scripts)
    jars = list((tmp_path / "kept").iterdir())
    assert [jar.suffix for jar in jars] == [".jar"]
    assert source(qupath, scripts) == str(jars[0])

    whole = jars[0].read_bytes()
    jars[0].write_bytes(whole[:-1])
    assert source(qupath, scripts) == str(lib)
    jars[0].write_bytes(whole)
    other = scripts / "lib" / "Her2Import.groovy"
    other.write_text(other.read_text(encoding="utf-8") + "// another library\n", encoding="utf-8")
    assert source(qupath, scripts) == str(lib)
