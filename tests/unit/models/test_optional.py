from __future__ import annotations

import pytest

from qupath_her2.errors import MissingExtraError
from qupath_her2.models.optional import need


def test_missing_packages_are_named_with_the_line_that_installs_them() -> None:
    with pytest.raises(
        MissingExtraError, match=r'need no_such_package, .*: pip install "qupath-her2\[learn\]"'
    ):
        need("numpy", "no_such_package")
