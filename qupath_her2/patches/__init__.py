"""Labelled patches: where they lie, what they show, whose they are; pixels only when asked for."""

from __future__ import annotations

from qupath_her2.patches.manifest import (
    SPLITS,
    ManifestImage,
    PatchManifest,
    manifest_hash,
    read_manifest,
    select,
    write_manifest,
)
from qupath_her2.patches.pixels import PatchPixels

__all__ = [
    "SPLITS",
    "ManifestImage",
    "PatchManifest",
    "PatchPixels",
    "manifest_hash",
    "read_manifest",
    "select",
    "write_manifest",
]
