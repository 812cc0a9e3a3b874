"""Plan of a batch: one cheap pass over all slides, from which every worker takes its jobs.

``OUT/plan`` holds ``manifest.csv`` (a line per slide, those that cannot be read first, then by falling work),
``unreadable.csv``, ``plan.json`` and ``jobs.pickle``. Stain groups are decided here, so that no worker waits for
another's estimate. A second plan looks only at slides that changed.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import io
import pickle
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import orjson

from qupath_her2.batch.expected import SECONDS_PER_MM2, SECONDS_PER_SLIDE
from qupath_her2.batch.manifest import ManifestRow, manifest_csv, read_manifest
from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.writing import output_errors, replace_file
from qupath_her2.project.spreadsheet import csv_bytes
from qupath_her2.provenance import canonical_json, versions
from qupath_her2.runs.options import ScoreJob
from qupath_her2.runs.probe import Probe, probe_image, regions_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from qupath_her2.config import Settings
    from qupath_her2.records import SlideRef
    from qupath_her2.runs.types import Job

__all__ = [
    "PLAN",
    "BatchPlan",
    "SlideLook",
    "expected_hours",
    "key_parts",
    "load_plan",
    "measured_seconds",
    "order_rows",
    "planned_rows",
    "save_plan",
    "stain_group",
]

#: Folder of the plan in the output folder.
PLAN = "plan"

#: Slides that must have ended before their own times are believed.
_ENOUGH_SLIDES = 5


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """Jobs of a batch, and what is known of their slides.

    Attributes
    ----------
    out
        The output folder: results, plan, events.
    what
        ``score``, ``predict`` or ``embed``.
    jobs
        By falling expected work, without slides that cannot be read.
    rows
        Of all slides: unreadable ones first, then in the order of the jobs.
    notes
        Sentences on the slides as a whole.
    planned_at
        Seconds since 1970.
    """

    out: Path
    what: str
    jobs: tuple[Job, ...]
    rows: tuple[ManifestRow, ...]
    notes: tuple[str, ...] = ()
    planned_at: float = 0.0

    @property
    def keys(self) -> dict[str, str]:
        """{image: key of its job}."""
        return {row.ref.id: row.key for row in self.rows}

    @property
    def unreadable(self) -> dict[str, tuple[str, str]]:
        """{image: (name, message)} of the slides that cannot be read."""
        return {row.ref.id: (row.ref.name, row.probe.problem) for row in self.rows if row.is_unreadable}


class SlideLook:
    """Looks at slides, with several threads; those that a former plan knows and that did not change are not opened.

    Parameters
    ----------
    out
        The output folder, whose former manifest is read.
    said
        {image: (scanner, date)} where a list states them.
    threads
        Slides looked at in parallel.
    anew
        Look at all slides.
    listen
        Called with a line of text before slides are opened.
    """

    def __init__(
        self,
        out: Path,
        said: Mapping[str, tuple[str, str]] | None = None,
        *,
        threads: int = 1,
        anew: bool = False,
        listen: Callable[[str], None] | None = None,
    ) -> None:
        self._former = {} if anew else read_manifest(out / PLAN / "manifest.csv")
        self._said, self._threads, self._listen = said or {}, threads, listen
        self.rows: dict[str, ManifestRow] = {}

    def __call__(
        self, refs: Sequence[SlideRef], settings: Settings, whole_tissue: bool
    ) -> Mapping[str, Probe]:
        """Return what a look at each slide found; see `runs.planned_stains.Prober`."""
        used = {"regions": settings.regions, "tissue": settings.tissue, "whole_tissue": whole_tissue}
        recipe = canonical_json(used)
        self.rows = {ref.id: self._stat(ref, recipe) for ref in refs}
        left = [row for row in self.rows.values() if not self._is_known(row)]
        if left and self._listen is not None:
            self._listen(f"plan    looking at {len(left):,} slides")
        # Decoders release the GIL; a process for each slide would cost more than the look.
        with ThreadPoolExecutor(self._threads) as pool:
            looks = pool.map(lambda row: probe_image(row.ref, settings, whole_tissue=whole_tissue), left)
            found = {row.ref.id: look for row, look in zip(left, looks, strict=True)}
        self.rows = {
            image: self._with(row, found.get(image) or self._former[image].probe)
            for image, row in self.rows.items()
        }
        return {image: row.probe for image, row in self.rows.items()}

    def _stat(self, ref: SlideRef, recipe: bytes) -> ManifestRow:
        try:
            stat = ref.path.stat()
            size, mtime_ns = stat.st_size, stat.st_mtime_ns
        except OSError:
            size = mtime_ns = -1
        own = canonical_json([ref.pixel_size_um, ref.chain, ref.case.stain, ref.path])
        marks = hashlib.sha256(recipe + own + regions_digest(ref).encode()).hexdigest()
        return ManifestRow(ref, Probe(), marks, size, mtime_ns)

    def _is_known(self, row: ManifestRow) -> bool:
        known = self._former.get(row.ref.id)
        # What a network drive could not give then, it may give now.
        return (
            known is not None
            and row.n_bytes >= 0
            and known.probe.failure in ("", "unreadable")
            and (known.n_bytes, known.mtime_ns, known.regions_hash)
            == (row.n_bytes, row.mtime_ns, row.regions_hash)
        )

    def _with(self, row: ManifestRow, probe: Probe) -> ManifestRow:
        scanner, date = self._said.get(row.ref.id, ("", ""))
        said = replace(probe, scanner=scanner or probe.scanner, scanned=date or probe.scanned)
        return replace(row, probe=said)


def planned_rows(
    jobs: Sequence[Job],
    refs: Mapping[str, SlideRef],
    looks: Mapping[str, ManifestRow],
    *,
    seconds: tuple[float, float] | None = None,
) -> list[ManifestRow]:
    """Return the rows of the slides that have a job, with key, stain group and expected time.

    Parameters
    ----------
    jobs
        The jobs.
    refs
        {image: the slide of its job}.
    looks
        Rows as `SlideLook` made them; a refused image of a QuPath project has none.
    seconds
        Seconds per slide and per mm², where measured.

    Returns
    -------
    list[ManifestRow]
        In the order of the jobs.
    """
    per_slide, per_mm2 = seconds or (SECONDS_PER_SLIDE, SECONDS_PER_MM2)
    digest = _digests()
    return [
        replace(
            row,
            ref=refs[job.image],
            expected_s=per_slide + per_mm2 * row.probe.area_mm2,
            stain_group=stain_group(job),
            key=_key(job, row, digest),
        )
        for job in jobs
        for row in (looks.get(job.image) or ManifestRow(refs[job.image], Probe()),)
    ]


def _digests() -> Callable[[Any], str]:
    """Return a function that hashes settings, each object once: ten thousand jobs share a few."""
    known: dict[int, tuple[Any, str]] = {}

    def digest(value: Any) -> str:
        if id(value) not in known:
            known[id(value)] = (value, hashlib.sha256(canonical_json(value)).hexdigest())
        return known[id(value)][1]

    return digest


def _key(job: Job, row: ManifestRow, digest: Callable[[Any], str]) -> str:
    """Return a hash of all that a result depends on, without opening the slide."""
    parts = [versions()["qupath-her2"], row.probe.fingerprint, row.regions_hash, *key_parts(job, digest)]
    return hashlib.sha256(canonical_json(parts)).hexdigest()[:16]


@functools.singledispatch
def stain_group(job: Job) -> str:
    """Return the origin of a job's stain vectors, in words; "" where it needs none."""
    return ""


@stain_group.register(ScoreJob)
def _(job: ScoreJob) -> str:
    return "" if job.stains is None else job.stains.source


@functools.singledispatch
def key_parts(job: Job, digest: Callable[[Any], str]) -> list[Any]:
    """Return all that the result of a job depends on besides its files, as plain values.

    Parameters
    ----------
    job
        The job.
    digest
        Hashes settings that jobs share.

    Returns
    -------
    list[Any]
        With the time where everything is to be done again: what was done before counts no longer.
    """
    raise TypeError(f"no job: {job!r}")


@key_parts.register(ScoreJob)
def _score_parts(job: ScoreJob, digest: Callable[[Any], str]) -> list[Any]:
    options = job.options
    parts: list[Any] = [
        digest(job.settings),
        job.stains,
        [type(options.method).__name__, digest(options.method), options.whole_tissue, options.find_tumour],
        [options.pixel_size_um, options.guideline, options.geojson, options.site, options.specimen],
        job.profile and job.profile.digest,
        [job.ref.case, job.ref.refusal, job.ref.chosen_guideline],
    ]
    return [*parts, time.time_ns()] if options.force else parts


def order_rows(rows: Iterable[ManifestRow]) -> list[ManifestRow]:
    """Return rows as they are worked on: unreadable slides first, then by falling work, equal ones by name."""
    return sorted(rows, key=lambda row: (not row.is_unreadable, -row.expected_s, row.ref.name))


def expected_hours(rows: Sequence[ManifestRow], workers: int) -> float:
    """Return how long workers will take for slides, hours: no less than the longest slide, no less than their share."""
    seconds = [row.expected_s for row in rows if not row.is_unreadable]
    return max([*seconds, sum(seconds) / max(1, workers)], default=0.0) / 3600


def measured_seconds(rows: Iterable[ManifestRow], ended: Mapping[str, float]) -> tuple[float, float] | None:
    """Return seconds per slide and per mm² of slides that ended.

    Parameters
    ----------
    rows
        Slides of the plan.
    ended
        {image: seconds it took}.

    Returns
    -------
    tuple[float, float] | None
        None where too few have ended.
    """
    pairs = [
        (row.probe.area_mm2, ended[row.ref.id])
        for row in rows
        if row.ref.id in ended and row.probe.area_mm2 > 0
    ]
    if len(pairs) < _ENOUGH_SLIDES:
        return None
    per_mm2 = statistics.median(max(0.0, took - SECONDS_PER_SLIDE) / area for area, took in pairs)
    return (SECONDS_PER_SLIDE, per_mm2) if per_mm2 > 0 else None


def save_plan(plan: BatchPlan) -> None:
    """Write a plan into its output folder; a running worker keeps the plan that it read."""
    folder = plan.out / PLAN
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    unreadable = [("image", "path", "problem")]
    unreadable += [
        (row.ref.name, str(row.ref.path), row.probe.problem) for row in plan.rows if row.is_unreadable
    ]
    replace_file(folder / "manifest.csv", manifest_csv(plan.rows))
    replace_file(folder / "unreadable.csv", csv_bytes(unreadable))
    jobs = pickle.dumps(plan, protocol=pickle.HIGHEST_PROTOCOL)
    replace_file(folder / "jobs.pickle", jobs)
    # Written last: a plan without it is not finished.
    about = {
        "version": versions()["qupath-her2"],
        "what": plan.what,
        "planned_at": plan.planned_at,
        "slides": len(plan.rows),
        "jobs": len(plan.jobs),
        "jobs_sha256": hashlib.sha256(jobs).hexdigest(),
        "notes": plan.notes,
    }
    replace_file(folder / "plan.json", orjson.dumps(about, option=orjson.OPT_INDENT_2) + b"\n")


def load_plan(out: Path) -> BatchPlan:
    """Return the plan of an output folder.

    Raises
    ------
    ExchangeError
        There is none, or it is damaged, or made by another version.
    """
    folder = out / PLAN
    try:
        about = orjson.loads((folder / "plan.json").read_bytes())
        data = (folder / "jobs.pickle").read_bytes()
    except (OSError, orjson.JSONDecodeError) as error:
        raise ExchangeError(
            f"'{out}' has no plan of a batch ({error}). Plan first: qupath-her2 batch FOLDER --dry-run."
        ) from error
    # The jobs are records of this package: only what this very version wrote is read back.
    if about.get("version") != versions()["qupath-her2"]:
        raise ExchangeError(
            f"The plan in '{folder}' is of version {about.get('version')}. Plan again with this one: qupath-her2 batch "
            "FOLDER --dry-run."
        )
    if about.get("jobs_sha256") != hashlib.sha256(data).hexdigest():
        raise ExchangeError(
            f"The plan in '{folder}' is damaged. Plan again: qupath-her2 batch FOLDER --dry-run."
        )
    plan: BatchPlan = _Records(io.BytesIO(data)).load()
    return plan


class _Records(pickle.Unpickler):
    """Reads records, choices and paths, and calls nothing else: whoever can write the folder must not run code here."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a class that a plan may hold; ExchangeError for anything else."""
        if module.partition(".")[0] in ("qupath_her2", "pathlib"):
            found = super().find_class(module, name)
            is_record = isinstance(found, type) and (
                dataclasses.is_dataclass(found) or issubclass(found, enum.Enum)
            )
            if is_record or (isinstance(found, type) and issubclass(found, PurePath)):
                return found
        raise ExchangeError(
            f"The plan holds '{module}.{name}', which no plan is made of. Plan again: qupath-her2 batch FOLDER "
            "--dry-run."
        )
