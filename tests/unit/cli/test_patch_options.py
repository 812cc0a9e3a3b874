"""Options of patches: the choices on the command line are those that the settings know."""

from __future__ import annotations

from enum import Enum
from typing import Any, get_args

import pytest
import typer

from qupath_her2.cli import app
from qupath_her2.cli import patch_options as options
from qupath_her2.patches import settings as patch_settings
from qupath_her2.patches.cutting import labels
from qupath_her2.patches.cutting.drop import DROP_RULES
from qupath_her2.patches.datasets.loaders import LAYOUTS
from qupath_her2.patches.targets import settings as target_settings
from qupath_her2.patches.tasks import SEGMENTATION, TASKS
from qupath_her2.recipes import RECIPES


@pytest.mark.parametrize(
    ("choices", "known"),
    [
        (options.SplitName, get_args(patch_settings.SplitName)),
        (options.RuleName, get_args(labels.RuleName)),
        (options.TruthName, get_args(target_settings.TruthName)),
        (options.DropName, tuple(DROP_RULES)),
        (options.LayoutName, ("project", *LAYOUTS)),
    ],
)
def test_choices_are_those_of_the_settings(choices: type[Enum], known: tuple[str, ...]) -> None:
    assert sorted(one.value for one in choices) == sorted(known)


def help_of(verb: str, flag: str) -> str:
    group: Any = typer.main.get_command(app)
    (option,) = [one for one in group.commands[verb].params if flag in one.opts]
    return str(option.help)


@pytest.mark.parametrize("verb", ["patches", "train"])
def test_help_names_every_task_and_recipe(verb: str) -> None:
    assert all(name in help_of(verb, "--task") for name in (*TASKS, SEGMENTATION.name))
    assert all(name in help_of(verb, "--recipe") for name in RECIPES)


def test_train_takes_the_flags_that_messages_about_its_patches_name() -> None:
    group: Any = typer.main.get_command(app)
    flags = {
        verb: {flag for one in group.commands[verb].params for flag in one.opts} for verb in group.commands
    }
    shared = {
        "--task",
        "--split",
        "--shares",
        "--size",
        "--um-px",
        "--drop",
        "--whole-tissue",
        "--label-column",
    }
    assert shared | {"--skip-class"} <= flags["train"] & flags["patches"]
