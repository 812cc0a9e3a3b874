"""The tree of errors: as drawn in the module, with a builtin base each."""

from __future__ import annotations

import errno
import re

from qupath_her2 import errors
from qupath_her2.errors import Her2Error, OutputError, PatchReadError


def test_the_tree_in_the_docstring_is_the_tree_of_classes() -> None:
    drawn = dict(re.findall(r"[├└]── (\w+)(?: \((\w+)\))?", errors.__doc__ or ""))
    assert {"Her2Error", *drawn} == set(errors.__all__)
    for name, builtin in drawn.items():
        bases = getattr(errors, name).__mro__
        assert Her2Error in bases
        if builtin:
            assert builtin in {base.__name__ for base in bases if base.__module__ == "builtins"}, name


def test_an_output_error_shows_its_sentence_alone() -> None:
    assert str(OutputError(errno.ENOSPC, "No space left.")) == "No space left."


def test_a_patch_read_error_has_its_row() -> None:
    error = PatchReadError("bad", row=3)
    assert (str(error), error.row) == ("bad", 3)
