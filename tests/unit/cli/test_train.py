"""Flags of ``train``: those that exclude each other, and those that change how it cuts its patches."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qupath_her2.cli import app, classifier_training
from qupath_her2.cli.train import _recipe
from qupath_her2.patches.manifest import SPLITS, read_manifest
from qupath_her2.training.types import TrainJob
from tests.unit.patches.drawn_folders import cases, draw_cohort, slide


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (("--recipe", "patch-count", "--folds", "2"), 2, "--folds"),
        (
            ("--recipe", "her2net", "--folds", "3"),
            1,
            "--folds applies to networks that classify patches, and --recipe her2net segments",
        ),
        (
            ("--recipe", "her2net", "--normalise", "none"),
            1,
            "--normalise applies to networks that classify patches, and --recipe her2net segments",
        ),
        (
            ("--recipe", "patch-count", "--normalise", "reinhard"),
            1,
            "This version supports macenko:REFERENCE",
        ),
        (("--recipe", "patch-count", "--normalise", "macenko:x"), 1, "veta-2013"),
        (("--recipe", "patch-count", "--rivals"), 1, "--rivals, --study and --width need --recipe her2net"),
        (("--recipe", "her2net", "--task", "er"), 1, "Model 'her2net'"),
        (("--recipe", "patch-count", "--task", "her2"), 1, "patches.task 'her2' is unknown"),
        (
            ("--recipe", "patch-count", "--task", "segmentation", "--model", "unet"),
            1,
            "Task 'segmentation' labels pixels, and recipe 'patch-count' classifies patches",
        ),
        (
            ("--recipe", "patch-count", "--patches", "cut", "--task", "er", "--split", "by-patch"),
            1,
            "The patches in 'cut' are already cut: --task, --split would change nothing",
        ),
        (("--recipe", "patch-count", "--split", "by-hand"), 2, "by-hand"),
        (
            ("--recipe", "patch-count", "--name", "../elsewhere"),
            1,
            "--name '../elsewhere' cannot be a folder name",
        ),
    ],
)
def test_flags_that_do_not_go_together(tmp_path: Path, flags: tuple[str, ...], code: int, said: str) -> None:
    done = CliRunner().invoke(app, ["train", str(tmp_path), *flags], env={"COLUMNS": "200"})
    assert done.exit_code == code
    assert said in re.sub(r"\s*│?\s+│?\s*", " ", done.stdout + done.stderr)


def test_a_recipe_takes_another_normalisation() -> None:
    assert _recipe("se-resnet50", None).stain == "macenko:veta-2013"
    assert _recipe("se-resnet50", "none").stain is None
    assert _recipe("convoher2", "macenko:veta-2013").stain == "macenko:veta-2013"


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[TrainJob]:
    """The jobs that ``train`` hands over once its patches are cut; the training itself is left out."""
    seen: list[TrainJob] = []

    def record(job: TrainJob, *_: object) -> int:
        seen.append(job)
        return 0

    monkeypatch.setattr(classifier_training, "train_classifiers", record)
    return seen


def train(folder: Path, *flags: object) -> str:
    words = ["train", str(folder), "--progress", "off", *map(str, flags)]
    done = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.output


SMALL = ("--size", 20, "--um-px", 0.5, "--drop", "none", "--shares", "0.5,0.25,0.25")


def test_task_and_split_change_the_patches_that_train_cuts(tmp_path: Path, jobs: list[TrainJob]) -> None:
    draw_cohort(tmp_path)
    train(tmp_path, "--recipe", "se-resnet50", *SMALL)
    train(tmp_path, "--recipe", "se-resnet50", *SMALL, "--task", "her2-binary", "--split", "by-patch")
    by_recipe, by_flags = (job.manifest for job in jobs)
    assert by_recipe.class_names == ("negative", "equivocal", "positive")
    assert by_flags.class_names == ("negative", "positive")
    # The six drawn cases: a split by case puts each on one side, a split by patch tears them apart.
    for manifest, n_sides in ((by_recipe, 1), (by_flags, 3)):
        sides = {int(image): set(manifest.split[manifest.image == image]) for image in set(manifest.image)}
        assert max(len(found) for found in sides.values()) == n_sides
    assert by_flags.settings["split"]["kind"] == "by patch"
    assert {SPLITS[code] for code in by_flags.split} == set(SPLITS)
    for manifest in (by_recipe, by_flags):
        assert manifest.patch_size_px == 20
        assert manifest.settings["shares"] == [0.5, 0.25, 0.25]
    # Another task does not overwrite the patches or the checkpoint of the recipe's own.
    assert [job.out.name for job in jobs] == ["se-resnet50", "se-resnet50-her2-binary"]
    folders = tmp_path / "her2" / "patches"
    assert read_manifest(folders / "se-resnet50").class_names == by_recipe.class_names
    assert read_manifest(folders / "se-resnet50-her2-binary").class_names == by_flags.class_names


def test_a_receptor_is_trained_from_its_own_column(tmp_path: Path, jobs: list[TrainJob]) -> None:
    for number in range(6):
        slide(tmp_path, f"s{number}")
    rows = [(f"s{n}.tif", f"c{n}", "3+", ("negative", "positive")[n % 2]) for n in range(6)]
    cases(tmp_path, *rows, header=("image", "case", "label", "ER"))
    flags = ("--recipe", "lowres-convnext", "--task", "er", "--label-column", "ER", "--size", 32)
    train(tmp_path, *flags, "--split", "none")
    manifest = jobs[0].manifest
    assert manifest.class_names == ("negative", "positive")
    assert manifest.label.tolist() == [0, 1, 0, 1, 0, 1]
    assert set(manifest.split) == {-1}


def test_patches_cut_before_are_taken_as_they_are(tmp_path: Path, jobs: list[TrainJob]) -> None:
    draw_cohort(tmp_path)
    words = ("patches", str(tmp_path), "--name", "mine", "--recipe", "patch-count", *map(str, SMALL))
    assert CliRunner().invoke(app, [*words, "--progress", "off"]).exit_code == 0
    folder = tmp_path / "her2" / "patches" / "mine"
    before = (folder / "manifest.json").read_bytes()
    train(tmp_path, "--recipe", "patch-count", "--patches", folder)
    assert len(jobs[0].manifest) == len(read_manifest(folder))
    assert (folder / "manifest.json").read_bytes() == before
    assert not (tmp_path / "her2" / "patches" / "patch-count").exists()


def test_a_training_from_a_review_says_what_it_needs_and_what_it_does(
    tmp_path: Path, jobs: list[TrainJob]
) -> None:
    draw_cohort(tmp_path)
    words = ["train", str(tmp_path), "--recipe", "se-resnet50", "--progress", "off", *map(str, SMALL)]
    done = CliRunner().invoke(app, [*words, "--from-review"])
    assert done.exit_code == 1
    typed = re.search(r"(--weights) study/her2/models/NAME/best", done.output.replace("\n", " "))
    assert typed is not None, done.output
    known = [typed.group(1), "some/best"]
    done = CliRunner().invoke(app, [*words, "--from-review", *known])
    assert done.exit_code == 1
    assert "None of the patches is of a case that people reviewed" in done.output.replace("\n", " ")
    train(tmp_path, "--recipe", "se-resnet50", *SMALL)
    before = jobs[-1].manifest
    tested = sorted({before.images[index].id for index in before.image[before.split == 2].tolist()})
    lists = tmp_path / "her2" / "review" / "labels"
    lists.mkdir(parents=True)

    def review(images: list[str]) -> None:
        lines = "".join(f"{one},0b2f5c1e-9f0a-8c9e-8a57-33d2f1c0a001,Anna,2+\n" for one in images)
        (lists / "anna.csv").write_text(f"image,uuid,reader,value\n{lines}", encoding="utf-8")

    review(tested)
    done = CliRunner().invoke(app, [*words, "--from-review", *known])
    assert done.exit_code == 1
    shares = re.search(r"e\.g\. (--shares \S+),", done.output.replace("\n", " "))
    assert shares is not None, done.output
    review(sorted({one.id for one in before.images} - set(tested))[:1])
    said = train(tmp_path, "--recipe", "se-resnet50", *SMALL, "--from-review", *known, "--replay", 1)
    assert "only cases that nobody reviewed test" in said
    job = jobs[-1]
    assert (job.weights, job.out.name) == (Path("some/best"), "se-resnet50-review")
    assert job.manifest.settings["split"]["review"]["cases"]
