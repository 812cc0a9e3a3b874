"""Fifty callers at once, for a minute: slides, fields, lists and pictures, and no error but "come again"."""

from __future__ import annotations

import logging
import os
import random
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import psutil
import pytest

from qupath_her2.server.discovery import RunningService
from qupath_her2.synthetic.example_project import write_field
from tests.unit.server.test_serve import start

#: Seconds of load, and callers.
LOAD_S = float(os.environ.get("HER2_LOAD_S", "60"))
CALLERS = 50
#: What the service itself may grow by under load; the workers' memory is theirs for one slide at a time.
MOST_GROWTH_MB = 300

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="the service is started as by a shell"),
]


class Load:
    """What all callers met."""

    def __init__(self, service: RunningService, slide: Path) -> None:
        self.service, self.slide = service, slide
        self.content = slide.read_bytes()
        self.codes: Counter[tuple[str, int]] = Counter()
        self.faults: list[str] = []
        self.end = time.monotonic() + LOAD_S
        self._lock = threading.Lock()

    def call(self, seed: int) -> None:
        chance = random.Random(seed)
        headers = {"Authorization": f"Bearer {self.service.token}"}
        with httpx.Client(base_url=self.service.url, headers=headers, timeout=120, trust_env=False) as http:
            while time.monotonic() < self.end:
                name = chance.choice(["list", "list", "health", "post", "post", "field", "page", "delete"])
                try:
                    answer = self._request(http, name, chance)
                except httpx.HTTPError as error:
                    self._note(name, 0, repr(error))
                    continue
                fault = "" if answer.status_code < 400 or answer.status_code in (404, 429) else answer.text
                if answer.status_code == 429 and "Retry-After" not in answer.headers:
                    fault = "429 without Retry-After"
                self._note(name, answer.status_code, fault)
                time.sleep(chance.uniform(0.0, 0.2))

    def _request(self, http: httpx.Client, name: str, chance: random.Random) -> httpx.Response:
        if name == "post":
            return http.post("/api/v1/jobs", files={"slide": (self.slide.name, self.content)})
        if name == "field":
            rectangle = {
                "x": chance.randint(0, 150),
                "y": chance.randint(0, 150),
                "width": 200,
                "height": 200,
            }
            return http.post("/api/v1/fields", json={"path": str(self.slide), "rectangle": rectangle})
        if name == "delete":
            # Another caller may have deleted it first: 404.
            jobs = http.get("/api/v1/jobs").json()
            job = chance.choice(jobs)["id"] if jobs else "none"
            return http.delete(f"/api/v1/jobs/{job}")
        return http.get({"list": "/api/v1/jobs", "health": "/healthz", "page": "/"}[name])

    def _note(self, name: str, code: int, fault: str) -> None:
        with self._lock:
            self.codes[name, code] += 1
            if fault:
                self.faults.append(f"{name}: {code} {fault[:200]}")


def test_fifty_callers_meet_no_error_and_memory_stays_bounded(tmp_path: Path) -> None:
    write_field(tmp_path, "small", score="3+", seed=8, side_px=420, stroma=0.1, out_of_focus=0.0)
    process, service = start(tmp_path / "state", "--root", str(tmp_path), "--max-waiting", "10")
    with process:
        watched = psutil.Process(process.pid)
        load = Load(service, tmp_path / "small.ome.tif")
        load_s = time.monotonic()
        before_mb = watched.memory_info().rss / 1e6
        callers = [threading.Thread(target=load.call, args=(seed,)) for seed in range(CALLERS)]
        for one in callers:
            one.start()
        most_mb = before_mb
        while any(one.is_alive() for one in callers):
            most_mb = max(most_mb, watched.memory_info().rss / 1e6)
            time.sleep(0.2)
        load_s = time.monotonic() - load_s
        n_children = len(watched.children(recursive=True))
        process.terminate()
        process.wait(60)
    calls = sum(load.codes.values())
    said = ", ".join(f"{name} {code}: {n}" for (name, code), n in sorted(load.codes.items()))
    # Shown by --log-cli-level=INFO.
    logging.getLogger(__name__).info(
        "%s calls in %.0f s, %.0f to %.0f MB: %s", calls, load_s, before_mb, most_mb, said
    )
    assert load.faults == []
    assert calls > CALLERS
    assert load.codes["field", 200] > 0
    assert load.codes["post", 201] > 0
    assert most_mb - before_mb < MOST_GROWTH_MB, f"{before_mb:.0f} MB before, {most_mb:.0f} MB under load"
    # One process for jobs, one for fields, and the helper of multiprocessing.
    assert n_children <= 3
