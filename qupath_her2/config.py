"""Settings of all steps: the tables of ``her2.toml``, read and checked.

Each step keeps its settings in a frozen dataclass next to the function that uses them, each field with its range (see
`setting_ranges`). `Settings` collects them, one table of the file each. An unknown key is an error that names the most
similar one. Flags override the file.
"""

from __future__ import annotations

import difflib
import functools
import json
import sys
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import pydantic

from qupath_her2.cells.measure import CellSettings
from qupath_her2.cells.network_cells import NetworkCellSettings
from qupath_her2.cells.tumour.search import FindTumourSettings
from qupath_her2.errors import SettingsError
from qupath_her2.models.bag_settings import BagTrainSettings, CompareSettings, EmbedSettings
from qupath_her2.models.settings import CamSettings, PredictSettings, SegmentSettings, TrainSettings
from qupath_her2.patches.settings import PatchSettings
from qupath_her2.project.class_names import ClassNames
from qupath_her2.scoring.indicators.masks import IndicatorSettings
from qupath_her2.scoring.indicators.tissue import ControlSettings
from qupath_her2.scoring.indicators.tumour import TumourSettings
from qupath_her2.scoring.score_cells import ScoringSettings
from qupath_her2.scoring.votes import VoteSettings
from qupath_her2.setting_ranges import Text, check_settings, expected, shown
from qupath_her2.slides.readers.image_choice import ImageSettings
from qupath_her2.slides.stains.estimate import StainEstimateSettings
from qupath_her2.slides.stains.vectors import StainVectors
from qupath_her2.slides.tissue import TissueSettings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["SETTINGS_FILE", "Settings", "load_settings", "settings_as_dict"]

#: File looked for in the project's folder if ``--config`` is not given.
SETTINGS_FILE = "her2.toml"


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a run, one attribute per table of ``her2.toml``.

    Attributes
    ----------
    regions
        Annotation class names that mean tumour, stroma, ignore, in situ and control.
    images
        Which picture and plane is read of files that hold several.
    tissue
        Detection of tissue against glass.
    stains
        Estimation of stain vectors.
    stain_vectors
        The user's own stain vectors, for images whose stains are not set in QuPath; None estimates them.
    cells
        Cell detection and the cut-points of membrane staining.
    find_tumour
        Search for tumour where no tumour region was drawn, and the regions proposed for it.
    cell_source
        Where cells come from if ``--cells`` is not given: ``detect``, ``from-regions``, ``unet`` (that of the
        package for the image's pixel size), or another network, ``her2net:CHECKPOINT`` (path relative to this file).
    profile
        Cut-points if ``--profile`` is not given: the name of a profile of the project, a file (path relative to this
        file), ``auto``, or ``none``: those of `cells`.
    segment, network_cells
        Segmentation of a slide by a network, and detection of cells in its probability maps.
    scoring
        Guideline and limits.
    indicators, control, tumour
        ``--method indicators``: the indicators, the recognition of control tissue, and ``--tumour-from``.
    patches
        How patches are cut, labelled, dropped and split.
    train, predict, votes
        Training, prediction, and how patches decide the class of an image. A recipe replaces the defaults by its
        own values.
    cam
        Whether predictions come with Grad-CAM maps.
    embed
        Slide-level learning: encoder, scale and tissue of the patches whose features are learned from.
    bags
        Slide-level learning: training of the network on a slide's features.
    compare
        Networks and resolutions of the recipe compare-resolution.
    """

    regions: ClassNames = field(default_factory=ClassNames)
    images: ImageSettings = field(default_factory=ImageSettings)
    tissue: TissueSettings = field(default_factory=TissueSettings)
    stains: StainEstimateSettings = field(default_factory=StainEstimateSettings)
    stain_vectors: StainVectors | None = None
    cells: CellSettings = field(default_factory=CellSettings)
    find_tumour: FindTumourSettings = field(default_factory=FindTumourSettings)
    # Which networks there are is asked when cells are sought: other packages bring more.
    cell_source: Annotated[
        str, Text("detect, from-regions, unet or MODEL:CHECKPOINT", r"[^\x00-\x1f]{1,4000}")
    ] = "detect"
    profile: Annotated[str, Text("none, auto, or the name or file of a profile", r"[^\x00-\x1f]{1,4000}")] = (
        "none"
    )
    segment: SegmentSettings = field(default_factory=SegmentSettings)
    network_cells: NetworkCellSettings = field(default_factory=NetworkCellSettings)
    scoring: ScoringSettings = field(default_factory=ScoringSettings)
    indicators: IndicatorSettings = field(default_factory=IndicatorSettings)
    control: ControlSettings = field(default_factory=ControlSettings)
    tumour: TumourSettings = field(default_factory=TumourSettings)
    patches: PatchSettings = field(default_factory=PatchSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    predict: PredictSettings = field(default_factory=PredictSettings)
    votes: VoteSettings = field(default_factory=VoteSettings)
    cam: CamSettings = field(default_factory=CamSettings)
    embed: EmbedSettings = field(default_factory=EmbedSettings)
    bags: BagTrainSettings = field(default_factory=BagTrainSettings)
    compare: CompareSettings = field(default_factory=CompareSettings)

    def __post_init__(self) -> None:
        check_settings(self)

    def with_images(self, series: int | None, plane: int | None) -> Settings:
        """Return the settings with the flags ``--series`` and ``--plane``, where they were given."""
        return replace(self, images=self.images.with_flags(series, plane))


def load_settings(
    path: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    base: Mapping[str, Any] | None = None,
) -> Settings:
    """Read settings: defaults, overridden by the file, overridden by flags.

    Parameters
    ----------
    path
        A ``her2.toml`` file; None reads none.
    overrides
        Values of flags, nested like the file, e.g. ``{"scoring": {"min_cells": 50}}``; None values are skipped.
    base
        Values of a recipe, nested likewise, in place of the defaults.

    Returns
    -------
    Settings
        All settings, checked.

    Raises
    ------
    SettingsError
        If the file is missing or not TOML, a key is unknown, or a value has the wrong type or range.
    """
    values = {} if path is None else _read_toml(path)
    flags = _merge({}, overrides or {})
    # A wrong value of a flag must not be looked for in the file.
    where = "the flags" if path is None else f"'{path}'{' and the flags' if _has_value(flags) else ''}"
    merged = _merge(_merge(base or {}, values), flags)
    _check_keys(merged, Settings, (), where)
    return _validate(merged, where)


def settings_as_dict(settings: Settings) -> dict[str, Any]:
    """Return the settings as JSON values, for ``run.json`` and the input hash."""
    # Sets have no order; sorted, equal settings give equal hashes.
    plain: dict[str, Any] = json.loads(json.dumps(asdict(settings), default=sorted))
    return plain


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        # utf-8-sig: editors on Windows put a byte order mark before the text.
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SettingsError(
            f"Settings file '{path}' cannot be read: {error.strerror}. Check the path given to --config."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"Settings file '{path}' is not valid TOML: {error}. Correct it.") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(
            f"Settings file '{path}' cannot be read: it has a number of thousands of digits or thousands of nested "
            "brackets. Correct it."
        ) from error


def _has_value(values: Mapping[str, Any]) -> bool:
    return any(_has_value(value) if isinstance(value, dict) else True for value in values.values())


def _merge(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for key, value in overrides.items():
        below = merged.get(key)
        if isinstance(value, dict):
            merged[key] = _merge(below if isinstance(below, dict) else {}, value)
        elif value is not None:
            # None is a flag that was not given.
            merged[key] = value
    return merged


def _check_keys(values: Mapping[str, Any], kind: type, above: tuple[str, ...], where: str) -> None:
    """Refuse keys that `kind` lacks, which pydantic ignores in a standard dataclass, and values that JSON lacks."""
    hints = get_type_hints(kind)
    known = [f.name for f in fields(kind)]
    for key, value in values.items():
        dotted = ".".join((*above, key))
        if key not in known:
            # 0.4 still finds "scorin" or a British spelling; below that, the suggestion is a guess.
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
            near_text = (
                f"did you mean '{'.'.join((*above, near[0]))}'?"
                if near
                else f"known settings: {', '.join(known)}."
            )
            raise SettingsError(f"Unknown setting '{dotted}' in {where}; {near_text}")
        table = _table_of(hints[key])
        if isinstance(value, dict) and table is not None:
            _check_keys(value, table, (*above, key), where)
        elif not _is_json(value):
            raise SettingsError(
                f"Invalid settings in {where}: {dotted} is {shown(value)}; it must be {expected(kind, key)}."
            )


def _table_of(hint: Any) -> type | None:
    """Return the settings dataclass of a type hint, also where it may be None; None for other hints."""
    return next((one for one in (hint, *get_args(hint)) if isinstance(one, type) and is_dataclass(one)), None)


def _is_json(value: object) -> bool:
    """Return whether JSON can hold a value: no dates, no integers over 64 bits, no text that is not Unicode."""
    if isinstance(value, (list, tuple)):
        return all(map(_is_json, value))
    if isinstance(value, dict):
        return all(map(_is_json, value.values()))
    if isinstance(value, str):
        # Arguments of a command line that are not UTF-8 become lone surrogates.
        return not any("\ud800" <= one <= "\udfff" for one in value)
    if isinstance(value, int):
        return value.bit_length() < 64
    return value is None or isinstance(value, float)


def _validate(values: dict[str, Any], where: str) -> Settings:
    try:
        # Through JSON, where strict mode accepts a list for a tuple but still rejects "5" for a number.
        return _adapter().validate_json(json.dumps(values), strict=True)
    except pydantic.ValidationError as error:
        # A number where a union wants text or a list is wrong in both ways: one line for each key.
        lines = dict(map(_key_and_line, reversed(error.errors())))
        raise SettingsError(f"Invalid settings in {where}: {' '.join(reversed(lines.values()))}") from error


@functools.cache
def _adapter() -> pydantic.TypeAdapter[Settings]:
    return pydantic.TypeAdapter(Settings)


def _key_and_line(problem: Any) -> tuple[str, str]:
    """Return the dotted key of one of pydantic's problems, and the sentence about it."""
    above: type = Settings
    kind: type | None = Settings
    parts: list[str] = []
    for part in problem["loc"]:
        # Below the last setting, pydantic goes on with positions in lists and names of types.
        if kind is None or part not in (known := get_type_hints(kind)):
            break
        parts.append(part)
        above, kind = kind, _table_of(known[part])
    text = problem["msg"].removeprefix("Value error, ")
    # A table's own check begins with the key in it.
    first, _, rest = text.partition(" ")
    if problem["type"] == "value_error" and kind is not None and first.lower() in get_type_hints(kind):
        key = ".".join((*parts, first.lower()))
        return key, f"{key} {rest}"
    key = ".".join(parts)
    if problem["type"] == "value_error":
        return key, f"{key}: {text}" if key else text
    value = "missing" if problem["type"] == "missing" and part == parts[-1] else shown(problem["input"])
    return key, f"{key} is {value}; it must be {expected(above, parts[-1])}."
