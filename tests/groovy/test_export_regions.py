from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from qupath_her2.project.exchange.image_ids import image_id
from qupath_her2.project.image_files import IMAGE_SUFFIXES
from qupath_her2.provenance import image_fingerprint
from tests.groovy.conftest import SCRIPTS, Bench
from tests.helpers.qupath import QuPath

NAMES = [
    "Fall Ü 12.plain.svs",
    ".hidden",
    "日本",
    "a" * 60 + ".svs",
    "x" * 39 + " y.tif",
    "ﬁle №5 ½.tif",
    "---",
    "a.b.c",
]
PATHS = [
    ("file:/C:/slides/a%20b.svs", "C:/slides/a b.svs"),
    ("file:///slides/a.svs", "/slides/a.svs"),
    ("file://server/share/a.svs", "//server/share/a.svs"),
]
WAYS = [
    ("C:/study", "c:/study/slides/a.svs", "slides/a.svs"),
    ("/old/study/project", "/old/study/slides/a.svs", "../slides/a.svs"),
    ("//server/share/study", "//server/share/a.svs", "../a.svs"),
    ("/old/study", "/new/a.svs", None),
    ("C:/study", "D:/study/a.svs", None),
]
#: Prints values that the library computes and Python computes too.
PROBE = """
import com.google.gson.Gson
def loader = new GroovyClassLoader(qupath.lib.objects.PathObject.classLoader)
loader.addClasspath(args[0])
def asked = new Gson().fromJson(new File(args[1]).getText("UTF-8"), Map)
def image = loader.loadClass("Her2ExportImage"), source = loader.loadClass("Her2ExportSource")
println "VALUES " + new Gson().newBuilder().serializeNulls().create().toJson([
    names: asked.names.collect { image.identity("7", it) },
    paths: asked.paths.collect { source.textOf(new URI(it)) },
    ways: asked.ways.collect { source.between(it[0], it[1]) },
    fingerprints: asked.files.collect { image.fingerprint(new File(it).toPath()) }])
"""


def test_readable_endings_are_pythons() -> None:
    """The endings that Python opens are listed in both languages."""
    text = (SCRIPTS / "lib" / "Her2ExportPixels.groovy").read_text(encoding="utf-8")
    listed = re.search(r"READABLE = \[([^\]]*)\]", text)
    assert listed is not None
    endings = set(re.findall(r'"([^"]+)"', listed.group(1)))
    assert endings == {suffix for suffix in IMAGE_SUFFIXES if not suffix.startswith(".ome.")}


@pytest.mark.qupath
@pytest.mark.slow
class TestExport:
    def test_exports_an_image_and_prints_the_closing_line(self, bench: Bench) -> None:
        done = bench.run("export_regions.groovy")
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.findall(r"^HER2_.*$", done.stdout, re.MULTILINE) == [
            "HER2_EXPORT_REGIONS_OK images=1 regions=0 cells=0 refused=0"
        ]
        her2 = bench.project.parent / "her2"
        (image,) = json.loads((her2 / "images.json").read_bytes())["images"]
        assert (image["id"], image["path"], image["width"]) == (
            "1_drawn",
            image["path"],
            64,
        )
        status = json.loads((her2 / "status" / "export" / "1.json").read_bytes())
        assert (status["ok"], status["images"]) == (True, 1)

    def test_unknown_arguments_are_refused(self, bench: Bench) -> None:
        done = bench.run("export_regions.groovy", "--args", "cels")
        assert done.returncode == 1
        assert "Unknown argument 'cels'. Available: out=FOLDER, cells, pixels" in done.stdout + done.stderr
        assert not (bench.project.parent / "her2").exists()

    def test_images_json_of_a_newer_format_is_not_changed(self, bench: Bench) -> None:
        images = bench.project.parent / "her2" / "images.json"
        images.parent.mkdir()
        images.write_text('{"format": 2, "images": []}')
        done = bench.run("export_regions.groovy")
        assert done.returncode == 1
        assert "has format 2" in done.stdout
        assert images.read_text() == '{"format": 2, "images": []}'

    def test_without_a_project_the_message_says_what_to_do(self, qupath: QuPath, tmp_path: Path) -> None:
        done = qupath.run(SCRIPTS / "export_regions.groovy", private=tmp_path)
        assert done.returncode != 0
        assert "No project is open" in done.stdout + done.stderr

    def test_names_paths_and_fingerprints_equal_pythons(self, qupath: QuPath, tmp_path: Path) -> None:
        files = {"small.bin": b"abc", "none.bin": b"", "s.mrxs": b"index"}
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
        (tmp_path / "s").mkdir()
        for name in ("Data0002.dat", "Data0001.dat", "Slidedat.ini"):
            (tmp_path / "s" / name).write_text(name)
        with (tmp_path / "large.bin").open("wb") as file:
            # A sparse file of more than 64 MiB, of which only 18 blocks are hashed.
            for at in range(0, 90 << 20, 5_000_017):
                file.seek(at)
                file.write(at.to_bytes(8, "big"))
        paths = [str(tmp_path / name) for name in (*files, "large.bin")]
        question = {
            "names": NAMES,
            "paths": [path for path, _ in PATHS],
            "ways": [way[:2] for way in WAYS],
            "files": paths,
        }
        (tmp_path / "asked.json").write_text(json.dumps(question), encoding="utf-8")
        script = tmp_path / "ask.groovy"
        script.write_text(PROBE, encoding="utf-8")
        words = ("--args", str(SCRIPTS / "lib"), "--args", str(tmp_path / "asked.json"))
        done = qupath.run(script, *words, private=tmp_path)
        (line,) = [line for line in done.stdout.splitlines() if line.startswith("VALUES ")]
        told = json.loads(line[7:])
        assert told["names"] == [image_id("7", name) for name in NAMES]
        assert told["paths"] == [text for _, text in PATHS]
        assert told["ways"] == [way for _, _, way in WAYS]
        assert told["fingerprints"] == [image_fingerprint(Path(path)) for path in paths]
