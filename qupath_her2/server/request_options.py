"""Options of a request that are options of a run by the same name."""

from __future__ import annotations

__all__ = ["REQUEST_OPTIONS"]

#: Taken by `server.job_options.JobOptions`, sent by callers, and handed on to `runs.options.RunOptions`.
REQUEST_OPTIONS = (
    *("pixel_size_um", "series", "plane", "whole_tissue", "find_tumour"),
    *("guideline", "site", "specimen", "profile"),
)
