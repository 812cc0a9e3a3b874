"""Collecting: exactly the differences come back, once, with their authors, and no kill loses any."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from datetime import datetime, timezone
from pathlib import Path

import pytest

from qupath_her2.project.exchange import writing
from qupath_her2.review import round_files
from qupath_her2.review.collect import collect
from qupath_her2.review.region_changes import keep_written_regions
from qupath_her2.review.round_files import read_rounds, rounds_folder
from tests.helpers.reviewed_project import TUMOUR, annotation, reviewed_image, square


@pytest.fixture
def image(tmp_path):
    found = reviewed_image(tmp_path / "her2")
    keep_written_regions(found.her2, found.refs)
    return found


def take(image, author="Anna", **more):
    return collect(image.her2, image.refs, author, **more)


def test_exactly_the_differences_come_back(image):
    assert take(image).round is None
    changed = {row: f"Tumor: {1 + row % 3}+" for row in range(0, 30, 3)}
    image.correct(changed, (1, 2))
    image.draw(annotation(TUMOUR, square(5, 0, 800), "Tumor", "centre"))
    image.type_score(HER2_reader_score="1+", HER2_reader_comment="=faint; patchy")
    found = take(image)
    counts = {}
    for one in found.changes:
        counts[one.kind, one.change] = counts.get((one.kind, one.change), 0) + 1
    assert counts == {
        ("cell", "reclassified"): 10,
        ("cell", "deleted"): 2,
        ("region", "moved"): 1,
        ("region", "removed"): 1,
        ("score", "score typed"): 1,
        ("score", "comment typed"): 1,
    }
    assert {one.uuid: one.after for one in found.changes if one.change == "reclassified"} == {
        image.uuid(row): name for row, name in changed.items()
    }
    (score,) = [one for one in found.changes if one.change == "score typed"]
    assert (score.before, score.after, score.author) == ("2+", "1+", "Anna")
    # Read back, the round is the same, and collecting again finds nothing new.
    assert read_rounds(image.her2)[0][0].changes == found.changes
    assert take(image, "Bo").round is None


def test_two_people_in_one_project_conflict_openly(image):
    image.correct({3: "Tumor: 2+", 4: "Tumor: 1+"})
    take(image)
    image.correct({3: "Tumor: 1+", 4: "Tumor: 1+", 5: "Tumor: 3+"})
    found = take(image, "Bo")
    assert {one.uuid for one in found.round.new} == {image.uuid(3), image.uuid(5)}
    (conflict,) = found.conflicts
    assert "Anna reclassified Tumor: 2+; Bo reclassified Tumor: 1+" in conflict.sentence
    assert image.uuid(3) in (image.her2 / "review" / "conflicts.csv").read_text(encoding="utf-8-sig")


def test_what_was_taken_back_is_in_the_round(image):
    image.correct({3: "Tumor: 2+"})
    take(image)
    image.correct({})
    (undone,) = take(image, "Bo").round.new
    assert (undone.is_undone, undone.uuid, undone.after) == (True, image.uuid(3), "Tumor: 3+")
    assert take(image).round is None


def test_a_damaged_image_holds_nothing_back(image):
    other = reviewed_image(image.her2, image="2_other")
    image.correct({3: "Tumor: 2+"})
    take(image)
    image.regions.write_bytes(b"{")
    other.correct({5: "Tumor: 3+"})
    found = take(image)
    assert [one.image for one in found.round.new] == ["2_other"]
    # What was known of the damaged one stays known.
    assert {one.uuid for one in found.changes if one.image == "1_case"} == {image.uuid(3)}
    assert any("case.svs was not compared" in note for note in found.notes)


def test_an_image_that_left_the_project_keeps_its_changes(image):
    other = reviewed_image(image.her2, image="2_other")
    other.correct({5: "Tumor: 3+"})
    take(image)
    image.correct({3: "Tumor: 2+"})
    found = collect(image.her2, [ref for ref in image.refs if ref.id == "1_case"], "Bo")
    assert {(one.image, one.author) for one in found.changes} == {("1_case", "Bo"), ("2_other", "Anna")}
    assert any("'2_other' of earlier rounds is no longer in the project" in note for note in found.notes)


def test_a_damaged_round_is_named_and_the_rest_is_used(image):
    image.correct({3: "Tumor: 2+"})
    first = take(image)
    (first.folder / "changes.csv").write_bytes(b"")
    found = take(image)
    assert any("001-anna" in note and "changed afterwards" in note for note in found.notes)


def test_clocks_that_disagree_are_named(image):
    image.correct({3: "Tumor: 2+"})
    take(image, now=datetime(2030, 1, 1, tzinfo=timezone.utc))
    image.correct({3: "Tumor: 1+"})
    found = take(image, now=datetime(2029, 1, 1, tzinfo=timezone.utc))
    assert found.round.name == "002-anna"
    assert any("one of the two was wrong" in note for note in found.notes)


class Killed(BaseException):
    pass


def test_no_correction_is_lost_at_any_of_50_kills(image, monkeypatch):
    """The process ends at the n-th step that touches the disk; the state before stays readable, and nothing is lost."""
    image.correct({3: "Tumor: 2+"})
    take(image)
    steps = {"left": 0}

    def counted(step):
        def call(*args, **kwargs):
            steps["left"] -= 1
            if steps["left"] < 0:
                raise Killed
            return step(*args, **kwargs)

        return call

    for module in (round_files, writing):
        for name in ("write_synced", "sync_folder"):
            monkeypatch.setattr(module, name, counted(getattr(module, name)))
    # A kill runs no clean-up either.
    monkeypatch.setattr(round_files.shutil, "rmtree", lambda *_, **__: None)
    monkeypatch.setattr(Path, "rename", counted(Path.rename))
    monkeypatch.setattr(Path, "mkdir", counted(Path.mkdir))
    kills = 0
    for number in range(50):
        row = 4 + number % 30
        image.correct({3: "Tumor: 2+", row: None, row + 1: "Tumor: 1+"}, shift={row: float(number)})
        steps["left"] = number % 10
        try:
            take(image, f"reader {number}")
        except Killed:
            kills += 1
        monkeypatch.setattr(round_files.shutil, "rmtree", lambda *_, **__: None)
        rounds, problems = read_rounds(image.her2)
        assert problems == []
        assert {one.uuid for one in rounds[0].changes} == {image.uuid(3)}
        for draft in rounds_folder(image.her2).glob("*.tmp"):
            for path in draft.iterdir():
                path.unlink()
            draft.rmdir()
    assert kills >= 30
    steps["left"] = 1000
    final = take(image, "last")
    wanted = {image.uuid(row) for row in (3, 4 + 49 % 30, 5 + 49 % 30)}
    assert {one.uuid for one in final.changes if not one.is_undone} == wanted


@pytest.mark.slow
def test_real_kills_leave_whole_rounds(image):
    code = """
        import sys, pathlib
        from qupath_her2.project.exchange.images import read_images
        from qupath_her2.project.exchange.writing import replace_file
        from qupath_her2.review.collect import collect
        her2 = pathlib.Path(sys.argv[1])
        images = read_images(her2)
        print("ready", flush=True)
        for number in range(1000):
            collect(her2, images, f"reader {number}")
            print("collected", flush=True)
            corrections = her2 / "regions" / "1_case.corrections.geojson"
            text = corrections.read_text()
            text = text.replace("Tumor: 2+", "Tumor: 9+").replace("Tumor: 1+", "Tumor: 2+")
            replace_file(corrections, text.replace("Tumor: 9+", "Tumor: 1+").encode())
    """
    image.correct({3: "Tumor: 2+", 8: "Tumor: 1+"})
    for number in range(4):
        command = [sys.executable, "-c", textwrap.dedent(code), str(image.her2)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            try:
                assert [child.stdout.readline() for _ in range(2)] == ["ready\n", "collected\n"]
                with pytest.raises(subprocess.TimeoutExpired):
                    child.wait(0.05 + 0.1 * number)
            finally:
                child.kill()
        rounds, problems = read_rounds(image.her2)
        assert problems == []
        assert all(len(one.changes) == 2 for one in rounds)
    assert read_rounds(image.her2)[0]
