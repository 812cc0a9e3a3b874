"""Profiles: cut-points fitted to cells that people labelled, as files with their origin.

``her2/profiles/<name>.json``, format 1, UTF-8 with sorted keys; `qupath-her2 review calibrate` and the review window in
QuPath write it, `qupath-her2 run --profile` uses it:

- ``name``: the name in every score; letters, digits, ``.``, ``_`` and ``-``, and the name of the file.
- ``place``: ``scanner`` (as the file names it, else its type and pixel size), ``stain`` (as in ``cases.csv``),
  ``laboratory`` ("" where nobody stated it), and ``hematoxylin`` and ``dab``, the stain vectors (OD of red, green,
  blue) of the images that were labelled. ``auto`` takes a profile for images of the same place.
- ``cut_points``: the six numbers of `membrane.grading.GradingSettings`. These are what sliders move: a cell's *HER2:
  Membrane own DAB OD* is compared with ``faint_od`` < ``moderate_od`` < ``intense_od``, its *HER2: Membrane
  completeness* with ``min_completeness`` <= ``lateral_from`` <= ``complete_from``; intensity and pattern follow as in
  `membrane.grading.grade`, and the guideline's table gives the class.
- ``classifier``: `class_model.ClassModel` in place of the cut-points for the class of a cell, or null.
- ``origin``: who labelled how many cells (``labelled_by``), ``cells``, ``cases``, ``images``, ``version`` of the
  program, ``time`` (UTC), ``inputs`` (SHA-256 of the labelled cells). Cut-points that a person set by hand have the
  person in ``set_by`` instead of labels.
- ``figures``: accuracy before and after on cases that the fit had not seen, with intervals; empty for cut-points set
  by hand.

A profile is replaced as a whole, never edited in place.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import orjson

from qupath_her2.cells.membrane.class_model import ClassModel
from qupath_her2.cells.membrane.grading import GradingSettings
from qupath_her2.errors import Her2Error, SettingsError
from qupath_her2.project.exchange.writing import output_errors, replace_file
from qupath_her2.provenance import canonical_json
from qupath_her2.slides.stains.vectors import StainVectors, Vector

__all__ = [
    "PROFILE_FORMAT",
    "Place",
    "Profile",
    "profile_path",
    "read_profile",
    "read_profiles",
    "write_profile",
]

PROFILE_FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
#: A file larger than this is no profile: one takes about 2 kB.
_MOST_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where images come from, as far as their stain depends on it.

    Attributes
    ----------
    scanner
        As the file names it, else its type and pixel size.
    stain
        As ``cases.csv`` names it.
    laboratory
        As ``cases.csv`` or the image's metadata name it; "" where they do not.
    hematoxylin, dab
        Stain vectors in use, OD of red, green and blue.
    """

    scanner: str
    stain: str
    laboratory: str
    hematoxylin: Vector
    dab: Vector

    @property
    def words(self) -> str:
        """The place in words, without the vectors."""
        known = f"{self.scanner}, stain {self.stain}"
        return f"{known}, laboratory {self.laboratory}" if self.laboratory else known

    @property
    def vectors(self) -> StainVectors:
        """The stain vectors, to compare with others."""
        return StainVectors(self.hematoxylin, self.dab)


@dataclass(frozen=True, slots=True)
class Profile:
    """Cut-points with their origin; the fields are those of the file.

    Attributes
    ----------
    name
        Name in every score.
    place
        Scanner, stain and laboratory that the profile is for.
    cut_points
        Cut-points on a cell's own membrane.
    origin
        Who labelled, how many cells and cases, version, time, hash of the labels.
    figures
        Accuracy on cases that the fit had not seen.
    classifier
        Model of the class; None grades by the cut-points alone.
    """

    name: str
    place: Place
    cut_points: GradingSettings
    origin: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    classifier: ClassModel | None = None

    def __post_init__(self) -> None:
        # `auto` and `none` ask for no profile of that name.
        if _NAME.fullmatch(self.name) is None or self.name in ("auto", "none"):
            raise SettingsError(
                f"Profile name {self.name!r} is no name of a profile and its file. Use letters, digits, '.', '_' "
                "and '-', e.g. 'lab-a-2026'."
            )

    @property
    def digest(self) -> str:
        """SHA-256 of everything that grades a cell, and of the name; 64 hex digits."""
        return hashlib.sha256(canonical_json((self.name, self.cut_points, self.classifier))).hexdigest()


def profile_path(her2: Path, name: str) -> Path:
    """Return the file of a profile in an exchange folder."""
    return her2 / "profiles" / f"{name}.json"


def write_profile(path: Path, profile: Profile) -> Path:
    """Write a profile as a whole, in place of an older one.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    content = {"format": PROFILE_FORMAT, **asdict(profile)}
    options = orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY
    replace_file(path, orjson.dumps(content, option=options) + b"\n")
    return path


def read_profile(path: Path) -> Profile:
    """Return the profile in a file.

    Raises
    ------
    SettingsError
        The file is missing, damaged, of another format, or its values are out of range; the message names the file
        and the value.
    """
    rest = "Take it from a copy, or calibrate again."
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise SettingsError(f"Profile '{path}' is too large for a profile. {rest}")
        content = orjson.loads(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"Profile '{path}' cannot be read: {error.strerror}. {rest}") from error
    except orjson.JSONDecodeError as error:
        raise SettingsError(f"Profile '{path}' is no JSON ({error}). {rest}") from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != PROFILE_FORMAT:
        raise SettingsError(f"Profile '{path}' has format {found!r}, not {PROFILE_FORMAT}. {rest}")
    try:
        return _profile(content, path)
    except KeyError as error:
        raise SettingsError(f"Profile '{path}' lacks {error}. {rest}") from error
    except (TypeError, ValueError) as error:
        raise SettingsError(f"Profile '{path}' is damaged: {str(error).rstrip('.')}. {rest}") from error


def _profile(content: dict[str, Any], path: Path) -> Profile:
    cut_points, place, model = content["cut_points"], content["place"], content["classifier"]
    if not isinstance(place, dict) or not isinstance(cut_points, dict):
        raise ValueError("place and cut_points must be objects")
    names = {one.name for one in fields(GradingSettings)}
    # A cut-point left out would silently be the built-in one.
    if set(cut_points) != names:
        raise ValueError(
            f"cut_points must be {', '.join(sorted(names))}, and are {', '.join(sorted(cut_points))}"
        )
    if content["name"] != path.stem:
        raise ValueError(f"its name is {content['name']!r}, that of the file {path.stem!r}")
    for name in ("scanner", "stain", "laboratory"):
        if not isinstance(place[name], str):
            raise ValueError(f"place.{name} is {place[name]!r}, not a text")
    where = Place(**{**place, "hematoxylin": _vector(place["hematoxylin"]), "dab": _vector(place["dab"])})
    # Parallel or empty vectors are refused here, not when an image is compared with them.
    _ = where.vectors
    return Profile(
        content["name"],
        where,
        GradingSettings(**cut_points),
        dict(content["origin"]),
        dict(content["figures"]),
        None if model is None else ClassModel.from_json(model),
    )


def _vector(values: Any) -> Vector:
    red, green, blue = map(float, values)
    return red, green, blue


def read_profiles(her2: Path) -> tuple[list[Profile], list[str]]:
    """Return the profiles of an exchange folder by name, and a sentence for each that is damaged."""
    found, problems = [], []
    for path in sorted((her2 / "profiles").glob("*.json")):
        try:
            found.append(read_profile(path))
        except Her2Error as error:
            problems.append(str(error))
    return found, problems
