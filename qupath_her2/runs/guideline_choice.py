"""Choice of the guideline for each image of a run, and where it came from.

The guideline decides the score, so that who decided on it stands beside it in every sentence and table. From the
strongest: a flag of this run, what was chosen for the image before (QuPath keeps it in the image's metadata),
``her2.toml``, the site and specimen of the case, the default.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qupath_her2.errors import SettingsError
from qupath_her2.records import CHOSEN_FOR_IMAGE, GUIDELINE_KEY
from qupath_her2.scoring.guidelines import guideline_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from qupath_her2.config import Settings
    from qupath_her2.records import CaseInfo, SlideRef
    from qupath_her2.runs.options import RunOptions
    from qupath_her2.scoring.rules import Guideline

__all__ = ["with_guideline", "with_guidelines"]

_DEFAULT = "default"
_OF_SETTINGS = "her2.toml"


def with_guidelines(
    refs: Iterable[SlideRef], options: RunOptions, settings: Settings
) -> Iterator[tuple[SlideRef, Settings]]:
    """Yield each image and its settings as `with_guideline` returns them; images of one guideline share settings.

    Parameters
    ----------
    refs
        The images.
    options, settings
        As for `with_guideline`.

    Yields
    ------
    tuple[SlideRef, Settings]
        In the order of `refs`.
    """
    # Settings are checked when they are made, which for ten thousand images takes longer than all the rest.
    named: dict[str, Settings] = {}
    for ref in refs:
        used, key = _choose(ref, options, settings)
        if key not in named:
            named[key] = _with_key(settings, key)
        yield used, named[key]


def with_guideline(ref: SlideRef, options: RunOptions, settings: Settings) -> tuple[SlideRef, Settings]:
    """Return an image and its settings with the guideline that is chosen for it.

    Parameters
    ----------
    ref
        The image with its case, and the guideline that was chosen for it before, if any.
    options
        Flags of the run: guideline, site, specimen.
    settings
        Settings of all rooms.

    Returns
    -------
    tuple[SlideRef, Settings]
        The case has site and specimen as used, and states who decided on the guideline; the settings name the
        guideline by its key.

    Raises
    ------
    SettingsError
        There is no guideline of that name.
    """
    used, key = _choose(ref, options, settings)
    return used, _with_key(settings, key)


def _choose(ref: SlideRef, options: RunOptions, settings: Settings) -> tuple[SlideRef, str]:
    """Return an image with its case as used, and the key of its guideline."""
    case = _with_flags(ref.case, options)
    has_flags = options.site is not None or options.specimen is not None
    named = settings.scoring.guideline
    # "auto" asks for that of the case, whatever was chosen or set before.
    is_auto = options.guideline is not None and options.guideline.lower() == "auto"
    if options.guideline is not None and not is_auto:
        table, origin = guideline_for(case, options.guideline), CHOSEN_FOR_IMAGE
    elif ref.chosen_guideline is not None and not has_flags and not is_auto:
        table, origin = _chosen_before(ref), CHOSEN_FOR_IMAGE
    elif named.lower() != "auto" and not is_auto:
        table, origin = guideline_for(case, named), _OF_SETTINGS
    else:
        table, origin = guideline_for(case), case.guideline_origin or _DEFAULT
        if options.site is not None or (options.specimen is not None and case.site == "gastric"):
            origin = CHOSEN_FOR_IMAGE
    if not ref.case.guideline_origin and options.site is None:
        # Nobody stated the site: it is that of the guideline, no contradiction to warn of.
        case = _of_guideline(case, table, options)
    return replace(ref, case=replace(case, guideline_origin=origin)), table.key


def _with_key(settings: Settings, key: str) -> Settings:
    return replace(settings, scoring=replace(settings.scoring, guideline=key))


def _with_flags(case: CaseInfo, options: RunOptions) -> CaseInfo:
    if options.site is not None:
        case = replace(case, site=options.site)
    if options.specimen is not None:
        case = replace(case, specimen=options.specimen)
    return case


def _chosen_before(ref: SlideRef) -> Guideline:
    try:
        return guideline_for(ref.case, ref.chosen_guideline)
    except SettingsError as error:
        raise SettingsError(
            f"Metadata '{GUIDELINE_KEY}' of image '{ref.name}': {error} Correct or delete it in QuPath "
            "(right-click the image in the project list), then pull again."
        ) from error


def _of_guideline(case: CaseInfo, table: Guideline, options: RunOptions) -> CaseInfo:
    case = replace(case, site=table.site)
    if table.site != "gastric" or options.specimen is not None:
        return case
    return replace(case, specimen="biopsy" if table.by_cluster else "resection")
