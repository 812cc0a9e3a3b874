"""``train --recipe tumour-finder --from-review``: what people corrected becomes a better tumour finder, or none."""

from __future__ import annotations

import functools
import hashlib
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from qupath_her2.cli.options import ProgressKind
from qupath_her2.cli.progress import say_json
from qupath_her2.recipes import TUMOUR_FINDER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from qupath_her2.cells.nuclei.trees import Trees
    from qupath_her2.cells.tumour.finder_file import TumourFinder
    from qupath_her2.config import Settings
    from qupath_her2.review.tumour_labels import Said
    from qupath_her2.runs.options import ScoreJob
    from qupath_her2.training.tumour_finder.retrain import KnownCells, Retrained, RetrainSettings

__all__ = ["train_tumour_finder"]

#: Flags of ``train`` that apply.
_OWN = frozenset(
    ("folder", "recipe", "images", "pixel_size_um", "weights", "from_review", "replay", "name", "out", "config",
     "progress", "debug")
)  # fmt: skip
#: Most images of cases that nobody reviewed: whole slides take minutes each.
_MOST_UNSEEN = 12


def train_tumour_finder(flags: Mapping[str, Any], defaults: Mapping[str, Any]) -> int:
    """Train the tumour finder on what people reviewed.

    Parameters
    ----------
    flags
        All flags of ``train`` by name.
    defaults
        What they are if not given.

    Returns
    -------
    int
        Exit code 0.

    Raises
    ------
    SettingsError
        A flag does not apply.
    TrainingError
        There are too few labels, or the new finder is no better.
    """
    from qupath_her2.cells.tumour.finder_file import finder_path, read_finder, write_finder
    from qupath_her2.models.optional import need
    from qupath_her2.review.tumour_labels import said_of_tumour
    from qupath_her2.runs.plan import exchange_folder, find_settings, select_images

    _check_flags(flags, defaults)
    need("sklearn")
    folder, progress = flags["folder"], flags["progress"]
    settings, her2 = find_settings(folder, flags["config"]), exchange_folder(folder, flags["out"])
    tell = _teller(progress)
    said = said_of_tumour(her2, select_images(folder, (), flags["out"]), settings.regions)
    for note in said.notes:
        tell(f"note    {note}")
    name = flags["name"] or TUMOUR_FINDER
    path = finder_path(her2, name)
    base = _finder_of(flags["weights"], her2)
    current = read_finder(path) if path.is_file() else None
    trained, cells = _train(flags, settings, her2, said, base, current, tell)
    finder = _finder(name, trained, cells, said, base)
    write_finder(path, finder)
    _say(path, finder, trained, progress)
    return 0


def _check_flags(flags: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    from qupath_her2.errors import SettingsError

    given = [
        f"--{n.replace('_', '-')}" for n, value in flags.items() if n not in _OWN and value != defaults[n]
    ]
    if given:
        raise SettingsError(f"--recipe {TUMOUR_FINDER} has no use for {', '.join(given)}. Leave them out.")
    if not flags["from_review"]:
        raise SettingsError(
            f"--recipe {TUMOUR_FINDER} learns from what people corrected (qupath-her2 review collect). Add "
            "--from-review."
        )


def _finder_of(weights: str, her2: Path) -> TumourFinder | None:
    """Return the finder that is gone on from; None for that of the package."""
    from qupath_her2.cells.tumour.finder_file import read_finder
    from qupath_her2.errors import SettingsError
    from qupath_her2.runs.finder_choice import find_finder

    if weights in ("pretrained", "shipped"):
        return None
    if weights == "random":
        raise SettingsError(
            f"--recipe {TUMOUR_FINDER} goes on from what a finder knows, and --weights random knows nothing. Leave it "
            "out."
        )
    return read_finder(find_finder(weights, [her2]) or Path(weights))


def _trees_of(base: TumourFinder | None) -> Mapping[str, Trees]:
    from qupath_her2.cells.tumour.finder import shipped_finder

    return shipped_finder() if base is None else base.trees


def _teller(progress: ProgressKind) -> Callable[[str], None]:
    if progress is ProgressKind.json:
        return lambda text: say_json(event="note", message=text)
    if progress is ProgressKind.off:
        return lambda text: None
    return lambda text: typer.echo(text, err=True)


def _train(
    flags: Mapping[str, Any],
    settings: Settings,
    her2: Path,
    said: Said,
    base: TumourFinder | None,
    current: TumourFinder | None,
    tell: Callable[[str], None],
) -> tuple[Retrained, list[KnownCells]]:
    from qupath_her2.errors import TrainingError
    from qupath_her2.project.exchange.images import PROPOSALS
    from qupath_her2.runs.methods.proposals import ProposalsMethod
    from qupath_her2.runs.options import RunOptions
    from qupath_her2.runs.plan import plan_jobs
    from qupath_her2.training.tumour_finder.retrain import RetrainSettings, retrain

    if not said.reviewed:
        raise TrainingError(
            f"Nobody has corrected anything in '{her2}' yet. Have tumour regions proposed (qupath-her2 propose), "
            "accept, edit or delete them in QuPath, and collect that (qupath-her2 review collect)."
        )
    limits = RetrainSettings(replay=flags["replay"])
    options = RunOptions(
        images=tuple(flags["images"] or ()),
        out=her2 / PROPOSALS,
        method=ProposalsMethod(),
        pixel_size_um=flags["pixel_size_um"],
    )
    jobs = plan_jobs(flags["folder"], options, settings, listen=tell).jobs
    cases = {_case(job) for job in jobs if job.image in said.reviewed}
    _check_new(base, cases)
    trees = _trees_of(base)
    pair = (trees, trees if current is None else current.trees)
    cells = _cells_of([job for job in jobs if _case(job) in cases], said, pair, tell)
    others = [job for job in jobs if _case(job) not in cases]
    unseen = _cells_of(others, said, pair, tell, most=_MOST_UNSEEN)
    replayed, judged = _drawn(settings, limits, pair, tell)
    cut_off = settings.find_tumour.proposals.min_probability
    return retrain(
        cells, replayed, judged, unseen, trees, cut_off=cut_off, settings=limits, listen=tell
    ), cells


def _case(job: ScoreJob) -> str:
    return job.ref.case.case or job.image


def _check_new(base: TumourFinder | None, cases: set[str]) -> None:
    """Refuse to judge a finder by cases that the one it goes on from has learned from."""
    from qupath_her2.errors import TrainingError

    known = sorted(cases & _earlier(base))
    if base is not None and known:
        raise TrainingError(
            f"Finder {base.name} has learned from {len(known)} of these cases already ({', '.join(known[:5])}), which "
            "could not judge what comes of it. All rounds count in each training: leave --weights out to go on from "
            "the finder of the package."
        )


def _cells_of(
    jobs: Sequence[ScoreJob],
    said: Said,
    finders: tuple[Mapping[str, Trees], Mapping[str, Trees]],
    tell: Callable[[str], None],
    most: int | None = None,
) -> list[KnownCells]:
    """Return the labelled cells of images, at most so many images."""
    from qupath_her2.cells.tumour.finder import tumour_probability
    from qupath_her2.errors import Her2Error
    from qupath_her2.review.tumour_labels import label_cells, labelled_places
    from qupath_her2.training.tumour_finder.retrain import known_cells
    from qupath_her2.training.tumour_finder.tissue import measure_tissue

    found: list[KnownCells] = []
    for job in jobs:
        if most is not None and len(found) >= most:
            break
        words = said.words.get(job.image)
        try:
            tissue, regions = measure_tissue(job, functools.partial(labelled_places, words))
        except Her2Error as error:
            # One image that cannot be measured must not hold back the others.
            tell(f"note    {job.name} is left out: {error}")
            continue
        if not len(tissue.centre_xy):
            continue
        before = tumour_probability(tissue.features, tissue.centre_xy * tissue.um_px, finders[0])
        label, learns = label_cells(tissue.centre_xy, tissue.um_px, before, regions, words)
        cells = known_cells(tissue, _case(job), label, *finders, learns)
        n = int(cells.label.sum())
        kind = "reviewed" if most is None else "not reviewed"
        tell(f"cells   {job.name} ({kind}): {n:,} of tumour, {len(cells) - n:,} of other tissue")
        found.append(cells)
    return found


def _drawn(
    settings: Settings,
    limits: RetrainSettings,
    finders: tuple[Mapping[str, Trees], Mapping[str, Trees]],
    tell: Callable[[str], None],
) -> tuple[list[KnownCells], list[KnownCells]]:
    """Draw tissue to replay, and other tissue to judge forgetting by."""
    from qupath_her2.training.tumour_finder.replay import drawn_tissue
    from qupath_her2.training.tumour_finder.retrain import known_cells

    n = limits.fields + limits.judged_fields
    tell(
        f"draws   {n} fields of tissue, {limits.fields} to be replayed and {limits.judged_fields} to judge by"
    )
    known = [
        known_cells(tissue, f"field {number}", label, *finders)
        for number, (tissue, label) in enumerate(drawn_tissue(n, settings, limits.seed))
    ]
    return known[: limits.fields], known[limits.fields :]


def _finder(
    name: str, trained: Retrained, cells: Sequence[KnownCells], said: Said, base: TumourFinder | None
) -> TumourFinder:
    import qupath_her2
    from qupath_her2.cells.tumour.finder_file import TumourFinder, trees_digest

    inputs = hashlib.sha256()
    for one in cells:
        inputs.update(one.case.encode() + one.rows.tobytes() + one.label.tobytes() + one.learns.tobytes())
    goes_on_from = {"name": "package" if base is None else base.name, "digest": trees_digest(_trees_of(base))}
    origin = {
        "goes_on_from": goes_on_from,
        "rounds": dict(said.rounds),
        "reviewers": dict(said.reviewers),
        "cases": sorted({one.case for one in cells if len(one)} | _earlier(base)),
        "cells": sum(map(len, cells)),
        "tumour_cells": int(sum(one.label.sum() for one in cells)),
        "version": qupath_her2.__version__,
        "time": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "inputs": inputs.hexdigest(),
    }
    figures = {
        "reviewed": trained.reviewed.json,
        "drawn": trained.replayed.json,
        "not_reviewed": None if trained.unseen is None else trained.unseen.json,
    }
    return TumourFinder(name, trained.trees, origin, figures)


def _earlier(base: TumourFinder | None) -> set[str]:
    return set() if base is None else set(base.origin.get("cases", ()))


def _say(path: Path, finder: TumourFinder, trained: Retrained, progress: ProgressKind) -> None:
    n = len(finder.origin["cases"])
    message = f"{finder.origin['cells']:,} labelled cells of {n} cases; finder {finder.name}"
    if progress is ProgressKind.json:
        say_json(
            event="done",
            exit=0,
            finder=str(path),
            digest=finder.digest,
            figures=finder.figures,
            message=message,
        )
        return
    unseen = trained.unseen
    typer.echo(f"reviewed cases, each unseen in turn  {trained.reviewed.words}")
    typer.echo(
        "cases that nobody reviewed           "
        + ("none with labels of both kinds" if unseen is None else unseen.words)
    )
    typer.echo(f"drawn tissue                         {trained.replayed.words}")
    typer.echo(f"finder   {path}")
    typer.echo(f'{message}. To use it, write find_tumour.finder = "{finder.name}" in her2.toml')
