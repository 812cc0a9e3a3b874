"""Plan of a run: from a folder and its options to one job per image."""

from __future__ import annotations

import fnmatch
import functools
import tempfile
import unicodedata
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qupath_her2.config import SETTINGS_FILE, Settings, load_settings
from qupath_her2.errors import Her2Error, SettingsError
from qupath_her2.project.cases import read_cases, unmatched_cases
from qupath_her2.project.exchange.images import exchange_root, field_folder
from qupath_her2.project.exchange.writing import output_errors
from qupath_her2.project.folder import (
    OUTPUT_NAME,
    find_cases_file,
    find_images,
    folder_notes,
    not_exported_message,
    project_folder,
    pulled_images,
)
from qupath_her2.records import CaseInfo
from qupath_her2.runs.cell_sources import split_source
from qupath_her2.runs.finder_choice import with_chosen_finder, with_finder_file
from qupath_her2.runs.guideline_choice import with_guidelines
from qupath_her2.runs.options import RunOptions, ScoreJob
from qupath_her2.runs.planned_stains import planned_stains, with_known_type
from qupath_her2.runs.profile_choice import BUILT_IN, profile_chooser
from qupath_her2.scoring.guidelines import guideline_for
from qupath_her2.slides.readers.base import checked_pixel_size
from qupath_her2.slides.readers.image_choice import chosen_image, unmatched_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from qupath_her2.recipes.recipe import BagRecipe, Recipe
    from qupath_her2.records import SlideRef
    from qupath_her2.runs.planned_stains import Prober
    from qupath_her2.slides.readers.image_choice import ImageSettings

__all__ = [
    "Plan",
    "exchange_folder",
    "find_settings",
    "plan_jobs",
    "planned_images",
    "select_images",
]


#: Tables of the settings whose defaults a recipe replaces.
_OF_RECIPES = ("patches", "train", "predict", "votes", "embed", "bags")


@dataclass(frozen=True, slots=True)
class Plan:
    """The jobs of a run.

    Attributes
    ----------
    out
        The exchange folder.
    jobs
        One per image, in the order of their names.
    notes
        Sentences on the folder as a whole.
    """

    out: Path
    jobs: tuple[ScoreJob, ...]
    notes: tuple[str, ...] = field(default=())


def exchange_folder(folder: Path, out: Path | None = None) -> Path:
    """Return the exchange folder of `folder`: `out`, or ``her2`` inside it."""
    return out or project_folder(folder) / OUTPUT_NAME


def find_settings(
    folder: Path,
    config: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    recipe: Recipe | BagRecipe | None = None,
) -> Settings:
    """Return the settings of a folder.

    Parameters
    ----------
    folder
        Its ``her2.toml`` is read where there is one and `config` is None.
    config
        A settings file.
    overrides
        Nested like the file; win over it. Values of None are left out.
    recipe
        Its settings take the place of the defaults.

    Returns
    -------
    Settings
        Of all rooms.

    Raises
    ------
    SettingsError
        An unknown key, or a value of the wrong type or range.
    """
    # Lowest to highest priority: defaults, recipe, file, flags.
    beside = project_folder(folder) / SETTINGS_FILE
    # A recipe has only the tables of its kind.
    tables = [name for name in _OF_RECIPES if hasattr(recipe, name)]
    base = None if recipe is None else {name: asdict(getattr(recipe, name)) for name in tables}
    path = config or (beside if beside.is_file() else None)
    settings = load_settings(path, overrides, base=base)
    name, checkpoint = split_source(settings.cell_source)
    if path is None:
        return settings
    # A relative path in the file is relative to that file, wherever the command is typed.
    there = path.absolute().parent
    if checkpoint:
        settings = replace(settings, cell_source=f"{name}:{there / checkpoint}")
    if (there / settings.profile).is_file():
        settings = replace(settings, profile=str(there / settings.profile))
    return with_finder_file(settings, there)


def select_images(
    folder: Path,
    patterns: Sequence[str] = (),
    out: Path | None = None,
    *,
    choice: ImageSettings | None = None,
) -> list[SlideRef]:
    """Return the images of a folder whose names match any of `patterns`.

    Parameters
    ----------
    folder
        Folder of images, or a pulled project.
    patterns
        Names or patterns such as ``case0*.svs``; empty takes all.
    out
        The exchange folder; None takes ``her2`` in `folder`.
    choice
        Pictures and planes of files with several; None leaves them to the reader.

    Returns
    -------
    list[SlideRef]
        In the order of their names.

    Raises
    ------
    Her2Error
        The folder holds no image, or a pattern matches none.
    SettingsError
        `choice` is for an image of a QuPath project.
    """
    found = _matching_images(folder, patterns, exchange_folder(folder, out))
    return found if choice is None else [chosen_image(ref, choice) for ref in found]


def _matching_images(folder: Path, patterns: Sequence[str], her2: Path) -> list[SlideRef]:
    # Plain names need no search of the whole folder, which may hold thousands of slides.
    names = [pattern for pattern in patterns if not any(sign in pattern for sign in "*?[")]
    if names and len(names) == len(patterns):
        return _all_images(folder, her2, names)
    found = _all_images(folder, her2)
    return _matching(found, patterns, folder) if patterns else found


def _matching(found: list[SlideRef], patterns: Sequence[str], folder: Path) -> list[SlideRef]:
    """Return the images that match any pattern; Her2Error where one matches none."""
    chosen: set[str] = set()
    for pattern in patterns:
        # macOS stores decomposed umlauts; a name typed in a shell is composed.
        wanted = unicodedata.normalize("NFC", pattern)
        ids = {ref.id for ref in found if fnmatch.fnmatch(ref.name, wanted) or Path(ref.name).stem == wanted}
        if not ids:
            some = ", ".join(ref.name for ref in found[:8])
            raise Her2Error(f"No image in '{folder}' matches '{pattern}'. Available: {some}.")
        chosen |= ids
    return [ref for ref in found if ref.id in chosen]


def _all_images(folder: Path, her2: Path, names: Sequence[str] | None = None) -> list[SlideRef]:
    """Return the images of a pulled QuPath project, or those of a plain folder."""
    pulled = pulled_images(her2, names)
    if pulled is not None:
        return pulled
    # Someone who names a project file means its images: scoring the folder around it would be another set.
    if project_folder(folder) != folder:
        raise Her2Error(not_exported_message(folder, "score it"))
    return find_images(folder, her2=her2, names=names)


def plan_jobs(
    folder: Path,
    options: RunOptions | None = None,
    settings: Settings | None = None,
    *,
    listen: Callable[[str], None] | None = None,
    refs: Sequence[SlideRef] | None = None,
    probe: Prober | None = None,
) -> Plan:
    """Find the images of a folder and plan one job for each.

    Parameters
    ----------
    folder
        Folder of images, or a pulled project.
    options
        Options of the run.
    settings
        Of all rooms; the folder's own ``her2.toml`` where None.
    listen
        Called with a line of text before a step that takes time.
    refs, probe
        The images of a list, and a look at all; None for those of the folder, and as far as needed.

    Returns
    -------
    Plan
        Jobs in the order of the images' names.

    Raises
    ------
    Her2Error
        No image, ambiguous region files, an invalid ``cases.csv``, or a folder that cannot be written.
    """
    options = options or RunOptions()
    settings = settings or find_settings(folder)
    checked_pixel_size(options.pixel_size_um)
    options.check_search()
    method = options.method
    method.check()
    out = _results_folder(folder, options)
    # A classifier may be trained on any stain; the other methods need haematoxylin and DAB.
    known = with_known_type if method.is_ihc_only else _as_it_is
    choice = settings.images.with_flags(options.series, options.plane)
    chosen = [known(ref) for ref in planned_images(folder, options, choice, refs)]

    @functools.cache
    def everything() -> list[SlideRef]:
        # Not needed: no search of thousands twice, and none for a region: its vectors are known, or its slide's own.
        if not options.images or options.region is not None:
            return chosen
        # The flags choose for the images of this run; others keep what the settings say.
        own = {ref.id: ref for ref in chosen}
        all_images = planned_images(folder, replace(options, images=()), settings.images, refs)
        return [own.get(ref.id) or known(ref) for ref in all_images]

    # Mistakes that concern all images stop the run now, not after an hour at the first result.
    check_guideline(options, settings)
    _check_writable(out)
    used = _with_finder(folder, out, options, settings)
    pooled = planned_stains(chosen, everything, out, options, settings, listen, probe)
    notes = [*pooled.notes, *_unknown_choices(settings.images, everything)]
    if refs is None:
        notes += _unknown_cases(folder, options.out, everything)
        notes += folder_notes(project_folder(folder), out)
    choose = profile_chooser(_profile_name(options, settings), out, project_folder(folder))
    jobs = tuple(
        choose(
            ScoreJob(
                ref=ref,
                out=out,
                settings=of_image,
                stains=pooled.stains.get(ref.id),
                options=options,
                own_stains=pooled.own.get(ref.id),
            )
        )
        for ref, of_image in with_guidelines(chosen, options, used)
    )
    return Plan(out, jobs, tuple(notes))


def planned_images(
    folder: Path, options: RunOptions, choice: ImageSettings, listed: Sequence[SlideRef] | None
) -> list[SlideRef]:
    """Return the images of a run with their pictures chosen, from a list or else from the folder.

    Parameters
    ----------
    folder
        Folder of images, or a pulled project.
    options
        Its `images` and `out`.
    choice
        Pictures and planes of files with several.
    listed
        The images of a list; None for those of the folder.

    Returns
    -------
    list[SlideRef]
        In the order of their names.
    """
    if listed is None:
        return select_images(folder, options.images, options.out, choice=choice)
    found = _matching(list(listed), options.images, folder) if options.images else list(listed)
    return [chosen_image(ref, choice) for ref in found]


def _profile_name(options: RunOptions, settings: Settings) -> str:
    """Return the profile that was asked for; a setting for cells does not concern methods that count none."""
    if options.method.counts_cells:
        return options.profile or settings.profile
    if options.profile not in (None, BUILT_IN):
        raise SettingsError(
            f"--profile {options.profile} does not go with the method '{options.method.name}', which counts no cells. "
            "Leave --profile out."
        )
    return BUILT_IN


def _with_finder(folder: Path, out: Path, options: RunOptions, settings: Settings) -> Settings:
    """Return settings that name the tumour finder by its file, where tumour is searched for."""
    if not options.searches_tumour(settings):
        return settings
    return with_chosen_finder(settings, (exchange_root(out), exchange_folder(folder)))


def _unknown_cases(folder: Path, out: Path | None, everything: Callable[[], list[SlideRef]]) -> list[str]:
    """Return a note on entries of ``cases.csv`` that match no image: a typo there would silently lose a case."""
    path = find_cases_file(project_folder(folder), exchange_folder(folder, out))
    if path is None:
        return []
    unknown = unmatched_cases(read_cases(path), [ref.name for ref in everything()])
    if not unknown:
        return []
    more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
    return [f"'{path}' names images that do not exist: {', '.join(unknown[:5])}{more}."]


def _unknown_choices(choice: ImageSettings, everything: Callable[[], list[SlideRef]]) -> list[str]:
    """Return a note on names in ``images.named`` that no image has: a typo there would leave the choice unmade."""
    unknown = unmatched_names(everything(), choice) if choice.named else []
    return [f"Setting images.named names images that do not exist: {', '.join(unknown)}."] if unknown else []


def check_guideline(options: RunOptions, settings: Settings) -> None:
    """Raise SettingsError for an unknown guideline, once instead of for each image."""
    guideline_for(CaseInfo(), options.guideline or settings.scoring.guideline)


def _results_folder(folder: Path, options: RunOptions) -> Path:
    out = exchange_folder(folder, options.out)
    # Wherever it is asked for: the score of a region must never become the current score of its image.
    return out if options.region is None else field_folder(exchange_root(out), options.region)


def _check_writable(out: Path) -> None:
    """Raise OutputError before the first slide if results cannot be written.

    A file is really created: permission bits do not tell of read-only mounts, quotas or Windows.
    """
    with output_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=out, suffix=".tmp"):
            pass


def _as_it_is(ref: SlideRef) -> SlideRef:
    return ref
