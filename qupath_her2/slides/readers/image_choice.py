"""Choice of a picture and a plane for images that hold several: settings ``images`` and flags.

In ``her2.toml``, for all images of a folder or for one of them::

    [images]
    plane = 3
    named = ["case07.ome.tif --series 1 --plane 0"]
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from qupath_her2.errors import SettingsError
from qupath_her2.setting_ranges import Range, Text, check_settings

if TYPE_CHECKING:
    from qupath_her2.records import SlideRef

__all__ = ["ImageSettings", "chosen_image", "unmatched_names"]

_NAMED = r"(?P<name>[^\x00-\x1f\x7f]{1,200}?)(?P<choice>(\s+--(series|plane)[ =]\d{1,6})+)"
_Number = Annotated[int | None, Range(0, 999_999)]


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """Which picture of a file with several, and which plane of a stack.

    Attributes
    ----------
    series
        Number of the picture, from 0 in the order of the file, as Bio-Formats and QuPath count. None takes the largest
        colour picture that is no label or macro photograph.
    plane
        Number of the z-plane, time point or page of equal size, from 0; None if images have one plane.
    named
        Choices for single images, which win over those for all: ``case07.ome.tif --series 1 --plane 0``.
    """

    series: _Number = None
    plane: _Number = None
    named: Annotated[
        tuple[str, ...], Text("an image with its choice, 'case07.ome.tif --series 1 --plane 0'", _NAMED)
    ] = ()

    def __post_init__(self) -> None:
        check_settings(self)

    def with_flags(self, series: int | None, plane: int | None) -> ImageSettings:
        """Return the settings with the flags in place of what they override, also for named images."""
        if series is None and plane is None:
            return self
        kept = []
        for one in self.named:
            name, choice = _parsed(one)
            left = [
                f"--{key} {n}" for key, n in choice.items() if (series if key == "series" else plane) is None
            ]
            kept += [" ".join((name, *left))] if left else []
        return ImageSettings(
            self.series if series is None else series, self.plane if plane is None else plane, tuple(kept)
        )


def _parsed(entry: str) -> tuple[str, dict[str, int]]:
    found = re.fullmatch(_NAMED, entry)
    if found is None:
        raise SettingsError(f"images.named has {entry!r}, which is no image with --series or --plane.")
    numbers = re.findall(r"--(series|plane)[ =](\d+)", found["choice"])
    return found["name"], {key: int(number) for key, number in numbers}


def chosen_image(ref: SlideRef, settings: ImageSettings) -> SlideRef:
    """Return the image with the choice that holds for it as the first step of its chain.

    Parameters
    ----------
    ref
        An image of a folder.
    settings
        Choices for all images and for named ones.

    Returns
    -------
    SlideRef
        Unchanged where nothing is chosen.

    Raises
    ------
    SettingsError
        The image belongs to a QuPath project, in which QuPath has chosen.
    """
    choice = {"series": settings.series, "plane": settings.plane}
    for entry in settings.named:
        name, own = _parsed(entry)
        if name in _names(ref):
            choice |= own
    step = {key: n for key, n in choice.items() if n is not None}
    if not step:
        return ref
    if ref.entry_id is not None:
        raise SettingsError(
            f"Image '{ref.name}' belongs to a QuPath project, which shows one picture and plane of its file; "
            "--series and --plane choose in folders of images. Leave them out, or run the folder of the image file."
        )
    return replace(ref, chain=(step, *ref.chain))


def unmatched_names(refs: Sequence[SlideRef], settings: ImageSettings) -> list[str]:
    """Return the names in ``images.named`` that no image has."""
    known = {name for ref in refs for name in _names(ref)}
    return [name for name, _ in map(_parsed, settings.named) if name not in known]


def _names(ref: SlideRef) -> tuple[str, str]:
    """Return the path relative to the folder, and the file name alone."""
    return ref.name, ref.name.rpartition("/")[2]
