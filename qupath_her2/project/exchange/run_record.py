"""``run.json``: the record of a run, with everything needed to verify and repeat it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import orjson

from qupath_her2.errors import ExchangeError
from qupath_her2.provenance import json_default, versions
from qupath_her2.records import QuarantinedFeature

__all__ = ["RUN_FORMAT", "RunRecord"]

RUN_FORMAT = 1


@dataclass(frozen=True, slots=True)
class RunRecord:
    """``run.json``, format 1: everything needed to verify a run and to repeat it.

    Attributes
    ----------
    run
        The run's id, also the name of its folder.
    input_hash
        Result of `input_hash`; the UUIDs of the run's objects are derived from it.
    image
        ``name`` and whatever else identifies the image (``id``, ``path``, ``width``, ``height``,
        ``pixel_size_um`` …).
    versions
        Versions of this package and its dependencies.
    command
        Command line of the run, as typed.
    settings
        Settings in use.
    inputs
        {input: SHA-256} of the image, the region file and the weights.
    files, sizes
        {name: SHA-256} and {name: bytes} of the other files of the run.
    device
        Device the run was computed on, e.g. ``cpu``.
    counts, timings_s, warnings
        Numbers of objects, seconds per step, and warnings of the run.
    regions
        The scored regions in order, each with ``uuid``, ``name``, ``class``, ``area_um2`` …; a cell's
        `region` is an index into it.
    unscored
        Regions and TMA cores that were not measured, each with ``uuid``, ``name``, ``class``, ``area_um2`` …, and with
        ``status`` (``missing``, ``no tumour``, ``not assessable``) and ``reason``.
    cells
        ``measurements`` and ``classes``: the names of the measurement columns and class codes of ``cells.npz``.
    patches
        ``classes``: the names of the class codes and probability columns of ``patches.npz``.
    quarantined
        Features of the region file that could not be used.
    format
        Format number of the record.
    """

    run: str
    input_hash: str
    image: dict[str, Any]
    versions: dict[str, str] = field(default_factory=lambda: dict(versions()))
    command: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    device: str = "cpu"
    counts: dict[str, int] = field(default_factory=dict)
    timings_s: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    regions: tuple[dict[str, Any], ...] = ()
    unscored: tuple[dict[str, Any], ...] = ()
    cells: dict[str, list[str]] = field(default_factory=lambda: {"measurements": [], "classes": []})
    patches: dict[str, list[str]] = field(default_factory=lambda: {"classes": []})
    quarantined: tuple[QuarantinedFeature, ...] = ()
    format: int = RUN_FORMAT

    def to_json(self) -> bytes:
        """Return UTF-8 JSON, keys sorted, indented by two."""
        content = {attribute.name: getattr(self, attribute.name) for attribute in fields(self)}
        options = orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY
        return orjson.dumps(content, default=json_default, option=options | orjson.OPT_NON_STR_KEYS)

    @classmethod
    def from_json(cls, data: bytes) -> RunRecord:
        """Parse the JSON written by `to_json`; the ExchangeError of an invalid record names the field."""
        try:
            raw = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise ExchangeError(
                f"run.json is not JSON ({error}). Score the image again with --force (run or predict)."
            ) from error
        if not isinstance(raw, dict) or raw.get("format") != RUN_FORMAT:
            found = raw.get("format") if isinstance(raw, dict) else type(raw).__name__
            raise ExchangeError(
                f"run.json has format {found!r}; this version reads {RUN_FORMAT}. Update qupath-her2."
            )
        known = {attribute.name: attribute for attribute in fields(cls)}
        # Unknown fields are ignored: a later version may add some without changing the format.
        values = {
            name: _checked(name, str(attribute.type), raw[name])
            for name, attribute in known.items()
            if name in raw
        }
        missing = [name for name in ("run", "input_hash", "image") if name not in values]
        if missing or "name" not in values["image"]:
            raise ExchangeError(
                f"run.json lacks {', '.join(missing) or 'image.name'}. "
                "Score the image again with --force (run or predict)."
            )
        return cls(**values)


def _checked(name: str, annotation: str, value: object) -> Any:
    """Return `value` as the field's type, or raise ExchangeError."""
    # The only field whose entries are records of their own.
    if name == "quarantined" and isinstance(value, list):
        try:
            return tuple(QuarantinedFeature(**feature) for feature in value)
        except TypeError as error:
            raise ExchangeError(
                f"run.json: an entry of 'quarantined' lacks index, id or reason ({error}). "
                "Score the image again with --force (run or predict)."
            ) from error
    # JSON has no tuples, and annotations are text here because of the __future__ import.
    wanted: type = {"dict": dict, "tuple": list, "str": str, "int": int}[annotation.split("[")[0]]
    if not isinstance(value, wanted):
        raise ExchangeError(
            f"run.json: {name!r} is {value!r}, not a {annotation}. Score the image again with --force (run or predict)."
        )
    return tuple(value) if isinstance(value, list) else value
