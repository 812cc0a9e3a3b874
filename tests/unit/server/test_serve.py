from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from qupath_her2.server.discovery import RunningService, find_service
from qupath_her2.synthetic.example_project import write_field

WAIT_S = 60

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")


def command(state: Path, *flags: str) -> list[str]:
    return [sys.executable, "-m", "qupath_her2", "serve", "--state", str(state), *flags]


def start(state: Path, *flags: str) -> tuple[subprocess.Popen[str], RunningService]:
    process = subprocess.Popen(
        command(state, *flags), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    end = time.monotonic() + WAIT_S
    while (found := find_service(state)) is None or found.pid != process.pid:
        if time.monotonic() > end or process.poll() is not None:
            process.kill()
            raise AssertionError(f"did not start: {process.communicate()[0]}")
        time.sleep(0.1)
    return process, found


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], RunningService]]:
    process, found = start(tmp_path)
    with process:
        yield process, found
        process.kill()


def client(service: RunningService, **more: Any) -> httpx.Client:
    headers = {"Authorization": f"Bearer {service.token}"}
    return httpx.Client(base_url=service.url, headers=headers, timeout=WAIT_S, trust_env=False, **more)


def until_state(http: httpx.Client, job: str, *states: str) -> dict[str, Any]:
    end = time.monotonic() + 3 * WAIT_S
    while True:
        found: dict[str, Any] = http.get(f"/api/v1/jobs/{job}").json()
        if found["state"] in states:
            return found
        assert time.monotonic() < end, found
        time.sleep(0.05)


def test_it_listens_on_this_machine_alone_and_ends_in_order(
    started: tuple[subprocess.Popen[str], RunningService], tmp_path: Path
) -> None:
    process, service = started
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", service.url)
    port = int(service.url.rsplit(":", 1)[1])
    listening = Path("/proc/net/tcp")
    if listening.is_file():
        addresses = {
            line.split()[1] for line in listening.read_text().splitlines()[1:] if line.split()[3] == "0A"
        }
        assert [one for one in addresses if one.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]
    with urllib.request.urlopen(f"{service.url}/healthz", timeout=10) as answer:
        assert json.load(answer)["pid"] == service.pid == process.pid
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    assert "Traceback" not in said
    assert find_service(tmp_path) is None
    assert not (tmp_path / "service.json").exists()


def test_a_second_start_finds_the_first(
    started: tuple[subprocess.Popen[str], RunningService], tmp_path: Path
) -> None:
    _, service = started
    second = subprocess.run(command(tmp_path), capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert second.returncode == 0
    assert f"running already (process {service.pid}" in second.stdout
    assert service.url in second.stdout
    assert find_service(tmp_path) == service


def test_it_ends_by_itself_when_nobody_calls(tmp_path: Path) -> None:
    process, service = start(tmp_path, "--end-when-idle", "--idle-minutes", "0.05")
    with process:
        with client(service) as http:
            for _ in range(5):
                time.sleep(1)
                assert http.get("/api/v1/jobs").status_code == 200
        said, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    assert "Traceback" not in said
    assert not (tmp_path / "service.json").exists()


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            command(tmp_path, "--port", port), capture_output=True, text=True, timeout=WAIT_S, check=False
        )
    assert done.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_service_of_the_network_needs_a_decision(tmp_path: Path) -> None:
    done = subprocess.run(
        command(tmp_path, "--host", "0.0.0.0"), capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    assert done.returncode == 1
    assert "--accept-plain-http" in done.stderr


def test_an_open_stream_does_not_keep_it_and_the_token_stays_out_of_the_log(
    started: tuple[subprocess.Popen[str], RunningService], slides: Path
) -> None:
    process, service = started
    with client(service) as http:
        http.get("/api/v1/jobs", headers={"Authorization": "Bearer wrong"})
        http.get("/api/v1/nothing")
        slide = ("pale.ome.tif", (slides / "pale.ome.tif").read_bytes())
        job = http.post(
            "/api/v1/jobs", files={"slide": slide, "options": (None, '{"whole_tissue": true}')}
        ).json()
        with http.stream("GET", f"/api/v1/jobs/{job['id']}/events") as events:
            assert "data: " in next(events.iter_lines())
            begun = time.monotonic()
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=WAIT_S)
            assert time.monotonic() - begun < 20
    assert process.returncode == 0
    assert service.token not in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_job_of_a_killed_service_is_done_by_the_next(tmp_path: Path) -> None:
    drawn = tmp_path / "drawn"
    drawn.mkdir()
    write_field(drawn, "large", score="2+", seed=9, side_px=900, stroma=0.1, out_of_focus=0.0)
    state = tmp_path / "state"
    process, service = start(state)
    with process, client(service) as http:
        files = {
            name: (path.name, path.read_bytes())
            for name, path in {"slide": drawn / "large.ome.tif", "regions": drawn / "large.geojson"}.items()
        }
        job = http.post("/api/v1/jobs", files=files, data={"options": '{"pixel_size_um": 0.25}'}).json()
        until_state(http, job["id"], "running")
        time.sleep(1.0)
        assert until_state(http, job["id"], "running", "done")["state"] == "running"
        process.kill()
    assert (state / "service.json").is_file()
    process, again = start(state)
    with process, client(again) as http:
        ended = until_state(http, job["id"], "done", "failed", "refused", "cancelled")
        assert (ended["state"], ended["message"][:2]) == ("done", "2+")
        assert len(list((state / "jobs").glob("*/her2/results/*/*/run.json"))) == 1
        assert not list((state / "jobs").rglob("*.tmp"))
        process.send_signal(signal.SIGTERM)
        process.wait(WAIT_S)
    assert again.token != service.token


@pytest.mark.skipif(shutil.which("openssl") is None, reason="NOT TESTED: no openssl to make a certificate")
def test_it_speaks_https_with_a_certificate(tmp_path: Path) -> None:
    certificate, key, state = tmp_path / "c.pem", tmp_path / "k.pem", tmp_path / "state"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True, timeout=WAIT_S,
    )  # fmt: skip
    process, service = start(
        state, "--host", "0.0.0.0", "--name", "Pathology",
        "--tls-certificate", str(certificate), "--tls-key", str(key),
    )  # fmt: skip
    with process:
        assert service.url.startswith("https://127.0.0.1:")
        with client(service, verify=ssl.create_default_context(cafile=str(certificate))) as http:
            assert http.get("/api/v1/jobs").json() == []
            port = service.url.rsplit(":", 1)[1]
            assert http.get("/healthz", headers={"Host": f"pathology:{port}"}).status_code == 200
            assert http.get("/healthz", headers={"Host": f"elsewhere:{port}"}).status_code == 421
        process.send_signal(signal.SIGTERM)
        process.wait(WAIT_S)


def test_of_two_starts_at_once_one_serves(tmp_path: Path) -> None:
    both = [
        subprocess.Popen(command(tmp_path), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(2)
    ]
    end = time.monotonic() + WAIT_S
    while all(process.poll() is None for process in both):
        assert time.monotonic() < end, "both go on"
        time.sleep(0.1)
    (gone,) = (process for process in both if process.poll() is not None)
    (serving,) = (process for process in both if process is not gone)
    said, _ = gone.communicate()
    found = find_service(tmp_path)
    serving.terminate()
    serving.communicate(timeout=WAIT_S)
    assert (gone.returncode, found is not None and found.pid) == (0, serving.pid), said
    assert f"running already (process {serving.pid}" in said
