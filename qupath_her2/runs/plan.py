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
from qupath_her2.records import CaseInfo, Refusal
from qupath_her2.runs.cell_sources import split_source
from qupath_her2.runs.guideline_choice import with_guideline
from qupath_her2.runs.options import RunOptions, ScoreJob
from qupath_her2.runs.profile_choice import BUILT_IN, profile_chooser
from qupath_her2.runs.stain_groups import PooledStains, pooled_stains
from qupath_her2.scoring.guidelines import guideline_for
from qupath_her2.slides.readers.base import checked_pixel_size
from qupath_her2.slides.readers.image_choice import chosen_image, unmatched_names
from qupath_her2.slides.stains.qupath_stains import parse_qupath_stains
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from qupath_her2.recipes.recipe import BagRecipe, Recipe
    from qupath_her2.records import SlideRef
    from qupath_her2.slides.readers.image_choice import ImageSettings

__all__ = [
    "Plan",
    "exchange_folder",
    "find_settings",
    "plan_jobs",
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
    return settings


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
    if not patterns:
        return found
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
    out = exchange_folder(folder, options.out)
    # A classifier may be trained on any stain; the other methods need haematoxylin and DAB.
    is_ihc_only = method.is_ihc_only
    known = _with_known_type if is_ihc_only else _as_it_is
    choice = settings.images.with_flags(options.series, options.plane)
    refs = [known(ref) for ref in select_images(folder, options.images, options.out, choice=choice)]

    @functools.cache
    def everything() -> list[SlideRef]:
        # A folder of thousands is not searched twice, and not at all where it is not needed.
        if not options.images:
            return refs
        # The flags choose for the images of this run; others keep what the settings say.
        own = {ref.id: ref for ref in refs}
        found = select_images(folder, (), options.out, choice=settings.images)
        return [own.get(ref.id) or known(ref) for ref in found]

    # Mistakes that concern all images stop the run now, not after an hour at the first result.
    check_guideline(options, settings)
    _check_writable(out)
    pooled = _stains(refs, everything, out, options, settings, listen)
    notes = list(pooled.notes)
    notes += _unknown_cases(folder, options.out, everything)
    notes += _unknown_choices(settings.images, everything)
    notes += folder_notes(project_folder(folder), out)
    choose = profile_chooser(_profile_name(options, settings), out, project_folder(folder))
    jobs = tuple(
        choose(
            ScoreJob(
                ref=chosen,
                out=out,
                settings=of_image,
                stains=pooled.stains.get(chosen.id),
                options=options,
                own_stains=pooled.own.get(chosen.id),
            )
        )
        for chosen, of_image in (with_guideline(ref, options, settings) for ref in refs)
    )
    return Plan(out, jobs, tuple(notes))


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


def _stains(
    refs: Sequence[SlideRef],
    everything: Callable[[], list[SlideRef]],
    out: Path,
    options: RunOptions,
    settings: Settings,
    listen: Callable[[str], None] | None,
) -> PooledStains:
    """Return the stain vectors of the images of a run: those that were set, else those of their groups."""
    method = options.method
    known = {ref.id: _known_stains(ref, settings) for ref in refs} if method.is_ihc_only else {}
    known = {image: stains for image, stains in known.items() if stains is not None}
    if not method.pools_stains or len(known) == len(refs):
        return PooledStains(known)
    # Estimated over the whole folder even if one image is run: a subset must get the same vectors.
    usable = [
        ref if options.pixel_size_um is None else replace(ref, pixel_size_um=options.pixel_size_um)
        for ref in everything()
        if ref.refusal is None
    ]
    # A network that finds the tumour itself scores images without a drawn one.
    card = method.card()
    pooled = pooled_stains(
        usable,
        out,
        settings,
        whole_tissue=options.whole_tissue
        or options.searches_tumour(settings)
        or (card is not None and card.task == "tumour"),
        anew=options.force and not options.images,
        listen=listen,
    )
    return replace(pooled, stains=pooled.stains | known)


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


def _check_writable(out: Path) -> None:
    """Raise OutputError before the first slide if results cannot be written.

    A file is really created: permission bits do not tell of read-only mounts, quotas or Windows.
    """
    with output_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=out, suffix=".tmp"):
            pass


def _with_known_type(ref: SlideRef) -> SlideRef:
    """Return the image, with a refusal if QuPath's stains for it are not haematoxylin and DAB."""
    if ref.refusal is not None or ref.stains is None:
        return ref
    try:
        parse_qupath_stains(ref.stains)
    except SettingsError as error:
        return replace(ref, refusal=Refusal("not_ihc", f"image '{ref.name}' is not HER2 IHC: {error}"))
    return ref


def _as_it_is(ref: SlideRef) -> SlideRef:
    return ref


def _known_stains(ref: SlideRef, settings: Settings) -> Any:
    """Return QuPath's stain vectors, else those of the settings, else None; QuPath's were set for this very image."""
    # A refused image is never measured; any vectors keep it from triggering an estimate.
    if ref.refusal is not None:
        return QUPATH_H_DAB
    if ref.stains is not None:
        return parse_qupath_stains(ref.stains)
    return settings.stain_vectors
