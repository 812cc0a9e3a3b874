"""The packages of the service, which come with an extra."""

from __future__ import annotations

import importlib.util

from qupath_her2.errors import MissingExtraError

__all__ = ["need_service"]

_PACKAGES = ("fastapi", "uvicorn", "sse_starlette", "python_multipart", "platformdirs", "httpx")


def need_service() -> None:
    """Raise MissingExtraError where a package of the service is missing."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f'The service needs {", ".join(missing)}, not installed here: pip install "qupath-her2[serve]"'
        )
