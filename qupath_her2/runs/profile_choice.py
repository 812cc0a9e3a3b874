"""Choice of the cut-points of each image of a run: a named profile, the one for its place, or the built-in ones.

A profile is used only when it was asked for, by ``--profile`` or by ``profile`` in ``her2.toml``. ``auto`` takes the
profile of the same scanner, stain and laboratory whose stain vectors lie within `max_member_deviation_deg` of the
image's, the limit within which images share their vectors at all. The choice stands as a sentence in the score.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qupath_her2.cells.membrane.grading import GradingSettings
from qupath_her2.cells.profiles import Place, Profile, profile_path, read_profile, read_profiles
from qupath_her2.errors import ImageReadError, SettingsError
from qupath_her2.project.cases import metadata_column, read_case_column, value_of_image
from qupath_her2.project.exchange.images import exchange_root, read_metadata
from qupath_her2.project.folder import find_cases_file
from qupath_her2.runs.types import ChosenProfile
from qupath_her2.slides.readers.scanner import scanner_name
from qupath_her2.slides.readers.view import open_image
from qupath_her2.slides.stains.groups import deviation_deg
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB

if TYPE_CHECKING:
    from qupath_her2.records import SlideRef
    from qupath_her2.runs.options import ScoreJob
    from qupath_her2.slides.stains.vectors import StainVectors

__all__ = ["AUTO", "BUILT_IN", "image_place", "laboratories", "profile_chooser"]

AUTO = "auto"
#: Asks for the cut-points of the settings, whatever ``her2.toml`` says.
BUILT_IN = "none"
_LABORATORY = ("laboratory", "lab")


def laboratories(her2: Path, folder: Path) -> Callable[[SlideRef], str]:
    """Return a function that names the laboratory of an image, "" where nobody stated it.

    It is read from the column ``laboratory`` of ``cases.csv``, else from the image's metadata of that name.
    """
    path = find_cases_file(folder, her2)
    _, values = (None, {}) if path is None else read_case_column(path, _LABORATORY)
    metadata = read_metadata(her2)

    def of_image(ref: SlideRef) -> str:
        stated = value_of_image(values, ref.name) or metadata_column(metadata.get(ref.id, {}), _LABORATORY)
        return (stated or "").strip()

    return of_image


def image_place(
    ref: SlideRef,
    laboratory: str,
    stains: StainVectors,
    pixel_size_um: float | None = None,
    scanner: str | None = None,
) -> Place:
    """Return where an image comes from.

    Parameters
    ----------
    ref
        The image.
    laboratory
        From `laboratories`.
    stains
        Stain vectors in use.
    pixel_size_um
        µm per level-0 pixel; None takes that of QuPath, else of the file.
    scanner
        As a run recorded it; None reads it from the file.

    Returns
    -------
    Place
        Of files that name no scanner, their type and pixel size stand for it.

    Raises
    ------
    ImageReadError
        The file is gone, or cannot be opened where its pixel size is needed.
    """
    if scanner is None:
        if not ref.path.exists():
            raise ImageReadError(
                f"'{ref.path}' is gone, so that its scanner is not known. Bring the file back."
            )
        scanner = scanner_name(ref.path)
    if not scanner:
        size = pixel_size_um or ref.pixel_size_um
        if size is None:
            with open_image(ref) as slide:
                size = slide.pixel_size_um
        kind = ref.path.suffix.lower().lstrip(".")
        scanner = f"{kind} files, {'unknown size' if size is None else f'{size:.2f} µm'}"
    return Place(scanner, ref.case.stain, laboratory, stains.hematoxylin, stains.dab)


def profile_chooser(name: str, her2: Path, folder: Path) -> Callable[[ScoreJob], ScoreJob]:
    """Return a function that gives a job the cut-points that were asked for.

    Parameters
    ----------
    name
        Name of a profile of the project, path of a file, ``auto``, or ``none`` or "" for the cut-points of the
        settings.
    her2
        The exchange folder.
    folder
        The project's folder, for ``cases.csv``.

    Returns
    -------
    Callable[[ScoreJob], ScoreJob]
        Replaces ``settings.cells.grading`` and sets the job's profile.

    Raises
    ------
    SettingsError
        There is no such profile, or a file is damaged.
    """
    if name in ("", BUILT_IN):
        return lambda job: job
    her2 = exchange_root(her2)
    if name != AUTO:
        named = _named(name, her2)
        return lambda job: _with(job, named, f"Cut-points: profile {named.name}.")
    profiles, problems = read_profiles(her2)
    if problems:
        # One that cannot be read might be the right one: leaving it out would change scores silently.
        raise SettingsError(" ".join(problems))
    laboratory = laboratories(her2, folder)
    return lambda job: _by_place(job, profiles, laboratory(job.ref))


def _named(name: str, her2: Path) -> Profile:
    path = profile_path(her2, name)
    if path.parent == her2 / "profiles" and path.is_file():
        return read_profile(path)
    if Path(name).is_file():
        return read_profile(Path(name))
    there = ", ".join(one.stem for one in sorted(path.parent.glob("*.json")))
    known = f"There are: {there}." if there else f"There is none in '{her2 / 'profiles'}'."
    raise SettingsError(f"There is no profile '{name}', neither by name nor as a file. {known}")


def _with(job: ScoreJob, profile: Profile, sentence: str) -> ScoreJob:
    cells = replace(job.settings.cells, grading=profile.cut_points)
    chosen = ChosenProfile(profile.name, sentence, profile.digest, profile.classifier)
    return replace(job, profile=chosen, settings=replace(job.settings, cells=cells))


def _by_place(job: ScoreJob, profiles: list[Profile], laboratory: str) -> ScoreJob:
    if job.ref.refusal is not None:
        # It is never measured, and its file may not even be there.
        return job
    shared = job.stains or QUPATH_H_DAB
    place = image_place(job.ref, laboratory, shared, job.options.pixel_size_um)
    near = []
    for one in profiles:
        known = one.place
        if (known.scanner, known.stain, known.laboratory) != (place.scanner, place.stain, place.laboratory):
            continue
        own = 0.0 if job.own_stains is None else deviation_deg(job.own_stains, known.vectors)
        away = max(deviation_deg(shared, known.vectors), own)
        if away <= job.settings.stains.max_member_deviation_deg:
            near.append((away, one.name, one))
    if near:
        best = min(near)[2]
        return _with(job, best, f"Cut-points: profile {best.name}, chosen for {place.words}.")
    name = "built-in" if job.settings.cells.grading == GradingSettings() else "set by hand"
    sentence = f"Cut-points: {name}, since no profile is for {place.words} and these stain vectors."
    return replace(job, profile=ChosenProfile(name, sentence))
