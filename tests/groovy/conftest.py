from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageDraw

from tests.helpers.qupath import COMPILED, QuPath, qupaths_to_test

if TYPE_CHECKING:
    from tests.groovy.studies import Study

HERE = Path(__file__).parent / "scripts"
#: A QuPath that starts in 3 s took 60 s on a machine with ten times its load.
PATIENCE_S = 900
SCRIPTS = Path(__file__).parents[2] / "groovy"
NONE_FOUND = (
    "NOT TESTED: no QuPath in PAQUO_QUPATH_DIR or in paquo's usual folders (/opt, /Applications, ~ …)"
)

#: Makes a project in folder args[0] with image args[1].
MAKE_PROJECT = """
import java.awt.image.BufferedImage
import qupath.lib.images.servers.ImageServerProvider
import qupath.lib.projects.Projects

def project = Projects.createProject(new File(args[0]), BufferedImage)
def support = ImageServerProvider.getPreferredUriImageSupport(BufferedImage, new File(args[1]).toURI().toString())
def entry = project.addImage(support.getBuilders()[0])
entry.setImageName("drawn")
project.syncChanges()
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """A QuPath with a project of its own."""

    qupath: QuPath
    project: Path
    private: Path

    @property
    def classes_file(self) -> Path:
        return self.project.parent / "classifiers" / "classes.json"

    def run(self, script: str, *options: str) -> CompletedProcess[str]:
        """Run one of our scripts on the project's image."""
        on = ("-p", str(self.project), "-i", "drawn")
        return self.qupath.run(SCRIPTS / script, *on, *options, private=self.private)


@pytest.fixture(scope="session", autouse=True)
def _compiled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compile our library once for each QuPath: compiling takes longer than starting QuPath."""
    started = [item for item in request.session.items if "qupath" in getattr(item, "fixturenames", ())]
    if COMPILED in os.environ or not started:
        yield
        return
    folder = tmp_path_factory.mktemp("compiled")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(COMPILED, str(folder))
        for qupath in qupaths_to_test():
            words = ("--args", str(SCRIPTS))
            private = folder / "private"
            done = qupath.run(HERE / "keep_compiled.groovy", *words, private=private, timeout_s=PATIENCE_S)
            assert "KEPT true" in done.stdout, done.stdout + done.stderr
        yield


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "qupath" not in metafunc.fixturenames:
        return
    found = [pytest.param(q, id=f"QuPath-{q.version}") for q in qupaths_to_test()]
    none = pytest.param(None, id="no-QuPath", marks=pytest.mark.skip(reason=NONE_FOUND))
    metafunc.parametrize("qupath", found or [none], scope="session")


@pytest.fixture(scope="session")
def _made_once(qupath: QuPath, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one small synthetic image and no classes, made by this QuPath."""
    folder = tmp_path_factory.mktemp("made") / "study"
    folder.mkdir()
    picture = Image.new("RGB", (64, 48), "white")
    ImageDraw.Draw(picture).ellipse((10, 8, 40, 36), fill=(150, 90, 60))
    picture.save(folder / "drawn.png")
    script = folder.parent / "make_project.groovy"
    script.write_text(MAKE_PROJECT, encoding="utf-8")
    words = ("--args", str(folder), "--args", str(folder / "drawn.png"))
    done = qupath.run(script, *words, private=folder.parent / "preferences")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "project.qpproj").is_file(), done.stdout + done.stderr
    return folder


@pytest.fixture
def bench(qupath: QuPath, _made_once: Path, tmp_path: Path) -> Bench:
    """This QuPath with a fresh copy of that project, in a folder with a space in its name."""
    folder = shutil.copytree(_made_once, tmp_path / "a study")
    return Bench(qupath, folder / "project.qpproj", tmp_path / "preferences")


@pytest.fixture(scope="session")
def _study_once(qupath: QuPath, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with every kind of object, made and exported by this QuPath."""
    from tests.groovy.studies import make_study

    folder = tmp_path_factory.mktemp("study") / "a study"
    make_study(qupath, folder, folder.parent / "preferences")
    return folder


@pytest.fixture
def study(qupath: QuPath, _study_once: Path, tmp_path: Path) -> Study:
    """A fresh copy of that project, in which QuPath finds its image again."""
    from tests.groovy.studies import Study

    return Study(qupath, shutil.copytree(_study_once, tmp_path / "a study"), tmp_path / "private")
