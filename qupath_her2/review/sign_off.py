"""Sign-off of a case: draft, reviewed, final, amended, as an append-only trail in which every line fixes those above.

``her2/review/signed/<case>.jsonl``, a line for each step with sorted keys: ``format`` 1, ``step`` from 1, ``case``,
``state``, ``by``, ``time`` (UTC), ``version`` of the program, ``score`` (the person's own; the program never fills it
in), ``note``, ``images`` {image id: name, run, SHA-256 of its ``run.json``, the machine's score, the typed score and
comment}, ``rounds`` {name: SHA-256}, and ``previous``, the SHA-256 of the line above ("" for the first).

A line that was changed, taken out or put in breaks the chain at that place, and is named. What the chain cannot show
is that its last lines, or the whole file, were taken away: the page of the case prints the hash of its last line, which
fixes all of them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import orjson

from qupath_her2.errors import ReviewError
from qupath_her2.project.cases import metadata_column
from qupath_her2.project.exchange.appending import append_lines, read_lines
from qupath_her2.project.exchange.images import read_metadata
from qupath_her2.project.exchange.locks import lock_image
from qupath_her2.project.exchange.runs import current_run, stored_score
from qupath_her2.provenance import sha256_file
from qupath_her2.review.collect import READER_COMMENT, READER_SCORE
from qupath_her2.review.round_files import read_rounds
from qupath_her2.scoring.rules import SCORES

if TYPE_CHECKING:
    from qupath_her2.records import SlideRef

__all__ = ["SIGNED_FORMAT", "State", "Step", "Trail", "read_trail", "sign", "signed_path"]

SIGNED_FORMAT = 1
State: TypeAlias = Literal["draft", "reviewed", "final", "amended"]
#: {state: the states that may follow}; "" before the first step.
_NEXT: Mapping[str, tuple[State, ...]] = {
    "": ("draft", "reviewed"),
    "draft": ("draft", "reviewed"),
    "reviewed": ("draft", "reviewed", "final"),
    "final": ("amended",),
    "amended": ("amended",),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a trail; the fields are those of its line.

    Attributes
    ----------
    step
        Number, from 1.
    case, state, by, time, version, score, note
        As in the module's docstring.
    images
        {image id: what the person saw of it}.
    rounds
        {round: its SHA-256}.
    previous
        SHA-256 of the line above.
    format
        `SIGNED_FORMAT`.
    """

    step: int
    case: str
    state: str
    by: str
    time: str
    version: str
    score: str
    note: str
    images: Mapping[str, Mapping[str, str]]
    rounds: Mapping[str, str]
    previous: str
    format: int = SIGNED_FORMAT

    @property
    def line(self) -> bytes:
        """The line in the file, without its end."""
        return orjson.dumps(asdict(self), option=orjson.OPT_SORT_KEYS)


@dataclass(frozen=True, slots=True)
class Trail:
    """The trail of a case.

    Attributes
    ----------
    steps
        In the order of the file.
    problems
        Sentences about lines that are damaged or do not follow those above.
    digest
        SHA-256 of the last line; "" for an empty trail.
    """

    steps: tuple[Step, ...] = ()
    problems: tuple[str, ...] = ()
    digest: str = ""

    @property
    def state(self) -> str:
        """State of the case; "" before the first step."""
        return self.steps[-1].state if self.steps else ""


def signed_path(her2: Path, case: str) -> Path:
    """Return the file of a case; its name ends in a hash, since two names may have the same plain letters."""
    slug = re.sub(r"[^0-9a-z]+", "-", case.casefold()).strip("-")[:40] or "case"
    return her2 / "review" / "signed" / f"{slug}-{hashlib.sha256(case.encode()).hexdigest()[:8]}.jsonl"


def read_trail(path: Path) -> Trail:
    """Return a trail; lines that are damaged or out of the chain are named, and the others kept.

    Raises
    ------
    ExchangeError
        The file cannot be read.
    """
    steps: list[Step] = []
    problems: list[str] = []
    previous = ""
    for number, line in enumerate(read_lines(path), 1):
        try:
            content = orjson.loads(line)
            one = Step(**content)
        except (orjson.JSONDecodeError, TypeError) as error:
            # Half a line, of a process that was killed, was never a step: the chain goes on after it.
            problems.append(f"'{path.name}', line {number} is damaged ({error}); it is no step")
            continue
        if one.previous != previous or one.step != len(steps) + 1:
            problems.append(
                f"'{path.name}', line {number} ({one.state} by {one.by}, {one.time}) does not follow the line above: "
                "a line was changed, taken out or put in"
            )
        steps.append(one)
        previous = hashlib.sha256(line).hexdigest()
    return Trail(tuple(steps), tuple(problems), previous)


def sign(
    her2: Path,
    case: str,
    images: Sequence[SlideRef],
    state: State,
    by: str,
    *,
    version: str,
    score: str = "",
    note: str = "",
    now: datetime | None = None,
) -> Step:
    """Take a case to a state.

    Parameters
    ----------
    her2
        The exchange folder.
    case
        Case id.
    images
        The images of the case, at least one.
    state
        The new state.
    by
        Who signs.
    version
        Of the program.
    score
        The person's score of the case; "" takes the one typed for its images, if it is one.
    note
        Why; an amendment needs it.
    now
        Time; None takes the clock.

    Returns
    -------
    Step
        As it was appended.

    Raises
    ------
    ReviewError
        The state may not follow the present one, the trail is broken, or a score or note is missing.
    ImageBusyError
        Somebody else signs the case, or its first image is being scored.
    """
    path = signed_path(her2, case)
    # One at a time for each case: two lines after the same one would break the chain.
    with lock_image(her2, images[0].id):
        trail = read_trail(path)
        if any("does not follow" in problem for problem in trail.problems):
            raise ReviewError(
                f"The trail of case '{case}' was changed: {trail.problems[0]}. Restore '{path}' from a copy."
            )
        seen = _seen(her2, images)
        score = score or _typed(seen)
        _check(case, trail, state, score, note)
        moment = (now or datetime.now(timezone.utc)).astimezone(timezone.utc)
        one = Step(
            step=len(trail.steps) + 1,
            case=case,
            state=state,
            by=by,
            time=moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            version=version,
            score=score,
            note=note,
            images=seen,
            rounds={found.name: found.digest for found in read_rounds(her2)[0]},
            previous=trail.digest,
        )
        append_lines(path, [one.line])
    return one


def _check(case: str, trail: Trail, state: State, score: str, note: str) -> None:
    allowed = _NEXT[trail.state]
    if state not in allowed:
        raise ReviewError(
            f"Case '{case}' is {trail.state or 'not signed yet'}, and cannot become {state}; next may be "
            f"{' or '.join(allowed)}. States: {', '.join(get_args(State))}."
        )
    if score and score not in SCORES:
        raise ReviewError(f"'{score}' is no HER2 score. Write one of {', '.join(SCORES)}.")
    if state in ("final", "amended") and not score:
        raise ReviewError(
            f"Case '{case}' has no score of yours, or several. Type it into the image's metadata in QuPath "
            f"('{READER_SCORE}'), or pass --score 2+; the program never fills it in."
        )
    if state == "amended" and not note.strip():
        raise ReviewError(f"An amendment of case '{case}' needs its reason. Pass --note 'reason'.")


def _typed(seen: Mapping[str, Mapping[str, str]]) -> str:
    """Return the one score that was typed for the images of a case; "" for none or several."""
    typed = {one["typed"] for one in seen.values() if one["typed"]}
    return typed.pop() if len(typed) == 1 else ""


def _seen(her2: Path, images: Sequence[SlideRef]) -> dict[str, dict[str, str]]:
    """Return what there is of each image now."""
    metadata = read_metadata(her2)
    seen = {}
    for ref in images:
        run = current_run(her2, ref.id)
        has_run = run is not None and (run / "run.json").is_file()
        found: dict[str, Any] = metadata.get(ref.id, {})
        seen[ref.id] = {
            "name": ref.name,
            "run": run.name if run is not None and has_run else "",
            "record": sha256_file(run / "run.json") if run is not None and has_run else "",
            "machine": stored_score(run).answer if run is not None and (run / "score.json").is_file() else "",
            "typed": metadata_column(found, (READER_SCORE,)) or "",
            "comment": metadata_column(found, (READER_COMMENT,)) or "",
        }
    return seen
