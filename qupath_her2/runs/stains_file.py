"""The file ``stains.json`` of an exchange folder: the stain vectors in use, and the images that they come from."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from qupath_her2.errors import ExchangeError, SettingsError
from qupath_her2.project.exchange.writing import replace_file
from qupath_her2.slides.stains.estimate import StainDirections
from qupath_her2.slides.stains.vectors import StainVectors, Vector

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["STAINS_FILE", "KeptGroup", "StainsFile", "read_stains_file", "write_stains_file"]

STAINS_FILE = "stains.json"
_FORMAT = 2
_WAY_OUT = "Delete it to estimate the stains again."


@dataclass(frozen=True, slots=True)
class KeptGroup:
    """Vectors in use, and the images that they come from.

    Attributes
    ----------
    hematoxylin, dab
        Optical density of red, green and blue, as stored.
    source
        Origin of the vectors, in words.
    members
        {image id: fingerprint} of the images that they come from.
    """

    # As stored, not as normalised: scaled to unit length again, they could differ in the last bit from run to run, and
    # the input hash with them.
    hematoxylin: Vector
    dab: Vector
    source: str
    members: dict[str, str]

    @property
    def vectors(self) -> StainVectors:
        """The stain vectors."""
        return StainVectors(self.hematoxylin, self.dab, source=self.source)


@dataclass(frozen=True, slots=True)
class StainsFile:
    """Content of ``stains.json``.

    Attributes
    ----------
    recipe
        Settings of the estimate; other ones make the content void.
    groups
        {kind of image: its groups, the largest first}.
    images
        {image id: (fingerprint, directions found in that image alone)}.
    """

    recipe: str
    groups: dict[str, list[KeptGroup]] = field(default_factory=dict)
    images: dict[str, tuple[str, StainDirections]] = field(default_factory=dict)


def read_stains_file(path: Path, recipe: str) -> StainsFile:
    """Read ``stains.json``; empty where there is none, or one of other settings or of an earlier format.

    Parameters
    ----------
    path
        The file.
    recipe
        Settings of the estimate, as text.

    Returns
    -------
    StainsFile
        With that recipe.

    Raises
    ------
    ExchangeError
        The file is damaged.
    """
    try:
        content = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return StainsFile(recipe)
    except (OSError, orjson.JSONDecodeError) as error:
        raise ExchangeError(f"'{path}' cannot be read: {error}. {_WAY_OUT}") from error
    version = content.get("format") if isinstance(content, dict) else None
    # Format 1 kept vectors without the images that they came from; they cannot be checked, so they are estimated again.
    if version == 1:
        return StainsFile(recipe)
    if version != _FORMAT:
        raise ExchangeError(f"'{path}' is not of format {_FORMAT}. {_WAY_OUT}")
    try:
        if content["recipe"] != recipe:
            return StainsFile(recipe)
        groups = {kind: [_group(group) for group in groups] for kind, groups in content["groups"].items()}
        images = {
            name: (str(image["fingerprint"]), _directions(image["own"]))
            for name, image in content["images"].items()
        }
        if not all(groups.values()):
            raise ValueError("a kind without groups")
    except (KeyError, TypeError, AttributeError, ValueError, SettingsError) as error:
        raise ExchangeError(f"'{path}' is damaged ({error}). {_WAY_OUT}") from error
    return StainsFile(recipe, groups, images)


def write_stains_file(path: Path, content: StainsFile) -> None:
    """Replace ``stains.json``."""
    raw = {
        "format": _FORMAT,
        "recipe": content.recipe,
        "groups": {
            kind: [
                {
                    "hematoxylin": group.hematoxylin,
                    "dab": group.dab,
                    "source": group.source,
                    "members": group.members,
                }
                for group in groups
            ]
            for kind, groups in content.groups.items()
        },
        "images": {
            name: {"fingerprint": fingerprint, "own": asdict(own)}
            for name, (fingerprint, own) in content.images.items()
        },
    }
    replace_file(path, orjson.dumps(raw, option=orjson.OPT_INDENT_2) + b"\n")


def _group(raw: dict[str, Any]) -> KeptGroup:
    members = {str(name): str(mark) for name, mark in raw["members"].items()}
    group = KeptGroup(_vector(raw["hematoxylin"]), _vector(raw["dab"]), str(raw["source"]), members)
    # Vectors that cannot be unmixed are found now, with the file's name, and not in every job.
    _ = group.vectors
    return group


def _directions(raw: dict[str, Any]) -> StainDirections:
    hematoxylin, dab = (None if raw[name] is None else _vector(raw[name]) for name in ("hematoxylin", "dab"))
    return StainDirections(hematoxylin, dab, float(raw["dab_share"]), int(raw["n_pixels"]))


def _vector(raw: Any) -> Vector:
    x, y, z = map(float, raw)
    return (x, y, z)
