from __future__ import annotations

from pathlib import Path

import pytest

from qupath_her2.server.uploads import plain_name
from tests.unit.server.conftest import Caller

PNG = b"\x89PNG\r\n\x1a\n"


def left_behind(caller: Caller) -> list[Path]:
    return list(caller.service.uploads.glob("*"))


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("case07.svs", "case07.svs"),
        ("C:\\slides\\case 07.svs", "case 07.svs"),
        ("../../etc/passwd", "passwd"),
        ("..", "slide"),
        ("", "slide"),
        ("a\x00b\u202egpj.svs", "a_b_gpj.svs"),
        ("M\u00fcller.svs", "M\u00fcller.svs"),
        ("x" * 300 + ".svs", "x" * 116 + ".svs"),
    ],
)
def test_names_lose_folders_and_hidden_characters(sent: str, name: str) -> None:
    assert plain_name(sent) == name


def test_files_are_named_by_the_service(idle_caller: Caller) -> None:
    answer = idle_caller.http.post("/api/v1/jobs", files={"slide": ("../../x.png", PNG)})
    assert answer.status_code == 201
    assert answer.json()["name"] == "x.png"
    (folder,) = left_behind(idle_caller)
    assert [path.name for path in folder.iterdir()] == ["slide.png"]
    assert (folder / "slide.png").read_bytes() == PNG


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"--x\r\nnonsense", 400),
        (b"--y--\r\n", 400),
        (b"", 400),
        (b"--x\r\n" + b"A" * 20_000 + b": b\r\n\r\n", 400),
        (b'--x\r\nContent-Disposition: form-data; name="slide"; filename="a.png"\r\n\r\n' + PNG, 400),
        (b'--x\r\nContent-Disposition: form-data; name="other"\r\n\r\nz\r\n--x--\r\n', 422),
        (b'--x\r\nContent-Disposition: form-data; name="options"\r\n\r\n\xff\r\n--x--\r\n', 400),
        (b'--x\r\nContent-Disposition: form-data; name="options"\r\n\r\n{}\r\n--x--\r\n', 422),
    ],
)
def test_malformed_forms_leave_nothing_behind(idle_caller: Caller, body: bytes, status: int) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = idle_caller.http.post("/api/v1/jobs", content=body, headers=headers)
    assert (answer.status_code, set(answer.json())) == (status, {"error", "advice"})
    assert left_behind(idle_caller) == []
    assert idle_caller.http.get("/api/v1/jobs").json() == []


def test_another_kind_of_request_is_said(idle_caller: Caller) -> None:
    assert idle_caller.http.post("/api/v1/jobs", json={}).status_code == 415


@pytest.mark.parametrize("announced", [True, False])
def test_too_large_an_upload_is_refused_and_removed(idle_caller: Caller, announced: bool) -> None:
    whole = (
        b'--x\r\nContent-Disposition: form-data; name="slide"; filename="a.png"\r\n\r\n' + b"0" * 11_000_000
    )
    content = whole if announced else (whole[at : at + 100_000] for at in range(0, len(whole), 100_000))
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = idle_caller.http.post("/api/v1/jobs", content=content, headers=headers)
    assert answer.status_code == 413
    assert "0.01 GB" in answer.json()["error"]
    assert left_behind(idle_caller) == []
