from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from qupath_her2.server.discovery import RunningService, find_service

WAIT_S = 60

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")


def command(state: Path, *flags: str) -> list[str]:
    return [sys.executable, "-m", "qupath_her2", "serve", "--state", str(state), *flags]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], RunningService]]:
    process = subprocess.Popen(command(tmp_path), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    end = time.monotonic() + WAIT_S
    while (found := find_service(tmp_path)) is None:
        assert time.monotonic() < end, "did not start"
        time.sleep(0.1)
    with process:
        yield process, found
        process.kill()


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
    assert "--accept-risk-of-plain-http" in done.stderr
