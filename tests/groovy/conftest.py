from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from PIL import Image, ImageDraw

from tests.helpers.qupath import QuPath, find_qupaths

SCRIPTS = Path(__file__).parents[2] / "groovy"
NONE_FOUND = (
    "NOT TESTED: no QuPath in PAQUO_QUPATH_DIR or in paquo's usual folders (/opt, /Applications, ~ …)"
)

#: Makes a project at args[0] with the image args[1]; each further argument is a class as ``name|red|green|blue``.
MAKE_PROJECT = """
import java.awt.image.BufferedImage
import qupath.lib.common.ColorTools
import qupath.lib.images.servers.ImageServerProvider
import qupath.lib.objects.classes.PathClass
import qupath.lib.projects.Projects

def project = Projects.createProject(new File(args[0]), BufferedImage)
def support = ImageServerProvider.getPreferredUriImageSupport(BufferedImage, new File(args[1]).toURI().toString())
def entry = project.addImage(support.getBuilders()[0])
entry.setImageName("drawn")
def classes = args.drop(2).collect { text ->
    def (name, red, green, blue) = text.split(/\\|/).toList()
    def made = PathClass.fromString(name, null)
    made.setColor(ColorTools.packRGB(red as int, green as int, blue as int))
    return made
}
project.setPathClasses(classes)
project.syncChanges()
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """One QuPath with a project of its own."""

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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "qupath" not in metafunc.fixturenames:
        return
    found = [pytest.param(q, id=f"QuPath-{q.version}") for q in find_qupaths()]
    none = pytest.param(None, id="no-QuPath", marks=pytest.mark.skip(reason=NONE_FOUND))
    metafunc.parametrize("qupath", found or [none], scope="session")


@pytest.fixture
def make_bench(qupath: QuPath, tmp_path: Path) -> Callable[..., Bench]:
    """A function: a new project with one drawn image and the classes ``name|red|green|blue`` given."""

    def make(*classes: str) -> Bench:
        folder = tmp_path / "a study"
        folder.mkdir()
        picture = Image.new("RGB", (64, 48), "white")
        ImageDraw.Draw(picture).ellipse((10, 8, 40, 36), fill=(150, 90, 60))
        picture.save(folder / "drawn.png")
        script = tmp_path / "make_project.groovy"
        script.write_text(MAKE_PROJECT, encoding="utf-8")
        given = [
            word for text in (str(folder), str(folder / "drawn.png"), *classes) for word in ("--args", text)
        ]
        done = qupath.run(script, *given, private=tmp_path / "preferences")
        project = folder / "project.qpproj"
        assert done.returncode == 0, done.stdout + done.stderr
        assert project.is_file(), done.stdout + done.stderr
        return Bench(qupath, project, tmp_path / "preferences")

    return make
