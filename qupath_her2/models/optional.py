"""Optional dependencies of networks: a missing one is an error that says how to install it."""

from __future__ import annotations

import importlib
import importlib.util

from qupath_her2.errors import MissingExtraError

__all__ = ["need"]


def need(*packages: str) -> None:
    """Raise MissingExtraError unless all `packages` can be imported.

    Examples
    --------
    >>> need("numpy")
    """
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise MissingExtraError(
            f'Networks need {", ".join(missing)}, not installed here: pip install "qupath-her2[learn]"'
        )
