"""Requests made from the description of the API, valid and not: none may break the service or what it promises."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.server.test_serve import client, start

#: All but "valid data are accepted": that a path lies in no allowed folder is not in the schema.
CHECKS = (
    *(
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
    ),
    *("response_headers_conformance", "negative_data_rejection", "ignored_auth", "unsupported_method"),
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("schemathesis") is None, reason="NOT TESTED: pip install qupath-her2[test]"
    ),
    pytest.mark.skipif(sys.platform == "win32", reason="the service is started as by a shell"),
]


def test_the_service_keeps_what_its_description_promises(tmp_path: Path) -> None:
    process, service = start(tmp_path / "state", "--root", str(tmp_path), "--max-upload-gb", "0.01")
    with process:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/openapi.json"),
                *("--header", f"Authorization: Bearer {service.token}", "--checks", ",".join(CHECKS)),
                *("--max-examples", "15", "--seed", "1", "--no-color"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-6000:]
        with client(service) as http:
            assert http.get("/healthz").json()["pid"] == process.pid
            described = http.get("/openapi.json").json()["paths"]
            # Whatever was sent, nothing lies about.
            known = {job["id"] for job in http.get("/api/v1/jobs").json()}
        assert len(described) > 15
        assert len(list((tmp_path / "state" / "uploads").glob("*"))) <= len(known)
        process.kill()
