"""Options of a request that are options of a run by the same name."""

from __future__ import annotations

from typing import Any

__all__ = ["REQUEST_OPTIONS", "asked_options"]

#: Taken by `server.job_options.JobOptions`, sent by callers, and handed on to `runs.options.RunOptions`.
REQUEST_OPTIONS = (
    *("pixel_size_um", "series", "plane", "whole_tissue", "find_tumour"),
    *("guideline", "site", "specimen", "profile"),
)


def asked_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that a caller asks for, without None and False, which leave the service its own choice."""
    # By identity: 0 equals False, and names the first picture of a file.
    return {name: value for name, value in options.items() if value is not None and value is not False}
