"""Files that are no slides, or claim to be huge ones: each a sentence and a status, and nothing left behind."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from qupath_her2.server.slide_look import in_known_names
from tests.unit.server.conftest import Caller


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(side: int = 60_000) -> bytes:
    """A small PNG that claims 10.8 GB of pixels."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(3_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def tiff_bomb(side: int = 1_000_000) -> bytes:
    """A TIFF of a few hundred bytes that claims a strip of 3 TB."""
    entries = [
        (256, 4, 1, side),  # width
        (257, 4, 1, side),  # height
        (258, 3, 1, 8),
        (259, 3, 1, 8),  # deflate
        (262, 3, 1, 2),
        (273, 4, 1, 200),
        (277, 3, 1, 3),
        (278, 4, 1, side),
        (279, 4, 1, 60),
    ]
    ifd = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHI", tag, kind, n)
        + (struct.pack("<I", value) if kind == 4 else struct.pack("<HH", value, 0))
        for tag, kind, n, value in entries
    )
    body = b"II*\x00" + struct.pack("<I", 8) + ifd + b"\0" * 4
    return body.ljust(200, b"\0") + zlib.compress(bytes(10_000)).ljust(60, b"\0")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.svs", b"This is a letter, not a slide.\n" * 20),
        ("cut.ome.tif", None),
        ("bomb.png", png_bomb()),
        ("bomb.tif", tiff_bomb()),
        ("noise.jpg", bytes(range(256)) * 40),
        ("half.png", png_bomb(100)[:60]),
    ],
)
def test_a_file_that_is_no_slide_is_refused_by_its_name(
    caller: Caller, slides: Path, name: str, content: bytes | None
) -> None:
    if content is None:
        content = (slides / "strong.ome.tif").read_bytes()[:3000]
    answer = caller.http.post("/api/v1/jobs", files={"slide": (name, content)})
    assert answer.status_code == 415, answer.text
    said = answer.json()
    assert name in said["error"]
    assert "Traceback" not in said["error"]
    # The service's own folders and names are no business of the caller.
    assert "slide." not in said["error"].replace(name, "")
    assert str(caller.service.settings.state) not in said["error"]
    assert list(caller.service.uploads.glob("*")) == []
    assert caller.http.get("/api/v1/jobs").json() == []


def test_a_slide_without_pixel_size_asks_for_it_and_goes_on_with_it(caller: Caller, tmp_path: Path) -> None:
    import numpy as np
    from PIL import Image

    # Grey noise is no stained tissue: the pixel size is asked for first, and then another reason is found.
    pixels = np.random.default_rng(5).integers(90, 250, (300, 300, 3), dtype=np.uint8)
    path = tmp_path / "plain.png"
    Image.fromarray(pixels).save(path)
    answer = caller.http.post(
        "/api/v1/jobs",
        files={"slide": (path.name, path.read_bytes()), "options": (None, '{"whole_tissue": true}')},
    )
    job = answer.json()
    ended = caller.until_ended(job["id"])
    assert (ended["state"], ended["needs"]) == ("refused", ["pixel_size_um"])
    again = caller.http.post(f"/api/v1/jobs/{job['id']}/retry", json={"pixel_size_um": 0.25}).json()
    assert again["options"] == {"whole_tissue": True, "pixel_size_um": 0.25}
    assert caller.until_ended(again["id"])["needs"] == []
    for one in (job, again):
        caller.http.delete(f"/api/v1/jobs/{one['id']}")
    assert list(caller.service.uploads.glob("*")) == []


def test_messages_know_the_senders_name() -> None:
    slide = Path("/state/uploads/0a1b/slide.svs")
    text = f"Image 'slide.svs' cannot be read ({slide}). See {slide}."
    assert in_known_names(text, slide, "case 7.svs") == "Image 'case 7.svs' cannot be read. See case 7.svs."
