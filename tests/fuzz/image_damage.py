"""Damage to image files: bytes cut, flipped and moved, and headers that claim what is not there."""

from __future__ import annotations

import os
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from tests.fuzz.image_files import png_chunk

__all__ = ["BYTE_DAMAGE", "JPEG_DAMAGE", "ODD_FILES", "PNG_DAMAGE", "TIFF_DAMAGE", "Damage"]

#: Numbers at which parsers go wrong.
NUMBERS = (0, 1, 2, 3, 255, 4097, 65_535, 40_000, 200_000, 2**31 - 1, 2**31, 2**32 - 1)
#: Tags whose value decides what is read, TIFF 6.0; the others are drawn less often.
IMAGE_WIDTH, IMAGE_LENGTH, TILE_WIDTH, TILE_LENGTH = 256, 257, 322, 323
OFFSETS, COUNTS, TABLES = (273, 324), (279, 325), 347

Damage = Callable[[random.Random, bytearray], bytearray]


def _truncate(rng: random.Random, data: bytearray) -> bytearray:
    return data[: rng.randrange(1, len(data))]


def _flip_header(rng: random.Random, data: bytearray) -> bytearray:
    for _ in range(rng.randint(1, 6)):
        data[rng.randrange(min(len(data), rng.choice((32, 300))))] ^= 1 << rng.randrange(8)
    return data


def _flip_anywhere(rng: random.Random, data: bytearray) -> bytearray:
    for _ in range(rng.randint(1, 20)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return data


def _cut_out(rng: random.Random, data: bytearray) -> bytearray:
    start = rng.randrange(8, len(data))
    del data[start : start + rng.randint(1, 200)]
    return data


def _insert(rng: random.Random, data: bytearray) -> bytearray:
    start = rng.randrange(8, len(data))
    data[start:start] = rng.randbytes(rng.randint(1, 200))
    return data


def _noise(rng: random.Random, data: bytearray) -> bytearray:
    return data[: rng.randint(4, 40)] + rng.randbytes(rng.randint(0, 3000))


BYTE_DAMAGE: dict[str, Damage] = {
    "truncated": _truncate,
    "header flipped": _flip_header,
    "flipped": _flip_anywhere,
    "bytes cut out": _cut_out,
    "bytes inserted": _insert,
    "noise behind the header": _noise,
}


class _Directory:
    """The first directory of a TIFF file, classic or big, in either byte order, with its entries by code."""

    def __init__(self, data: bytearray) -> None:
        self.data, self.order = data, "<" if data[:2] == b"II" else ">"
        is_big = struct.unpack_from(self.order + "H", data, 2)[0] == 43
        self.number, self.count = ("Q", "Q") if is_big else ("I", "H")
        self.width = struct.calcsize(self.number)
        (start,) = struct.unpack_from(self.order + self.number, data, 8 if is_big else 4)
        (n,) = struct.unpack_from(self.order + self.count, data, start)
        entry = 4 + 2 * self.width
        first = start + struct.calcsize(self.count)
        at = [first + index * entry for index in range(n)]
        self.start, self.next_at = start, first + n * entry
        self.entries = {struct.unpack_from(self.order + "H", data, place)[0]: place for place in at}

    def put(self, place: int, form: str, value: int) -> None:
        """Write a number, as far as it fits."""
        bits = 8 * struct.calcsize(form)
        struct.pack_into(self.order + form, self.data, place, value % (1 << bits))

    def set_value(self, code: int, value: int) -> None:
        """Give a tag one number as its value."""
        place = self.entries[code]
        self.put(place + 2, "H", 16 if self.number == "Q" else 4)
        self.put(place + 4, self.number, 1)
        self.put(place + 4 + self.width, self.number, value)


def _any_tag(rng: random.Random, data: bytearray) -> bytearray:
    found = _Directory(data)
    for _ in range(rng.randint(1, 3)):
        place = rng.choice(list(found.entries.values()))
        part = rng.randrange(4)
        if part == 0:
            found.put(place, "H", rng.choice((*found.entries, 330, 347, 34_377, 65_000, 0)))
        elif part == 1:
            found.put(place + 2, "H", rng.choice((0, 1, 2, 3, 4, 5, 7, 11, 12, 13, 16, 18, 99)))
        elif part == 2:
            found.put(place + 4, found.number, rng.choice(NUMBERS))
        else:
            found.put(place + 4 + found.width, found.number, rng.choice(NUMBERS))
    return data


def _claimed_size(rng: random.Random, data: bytearray) -> bytearray:
    found = _Directory(data)
    for code in rng.choice(((IMAGE_WIDTH,), (IMAGE_LENGTH,), (IMAGE_WIDTH, IMAGE_LENGTH))):
        found.set_value(code, rng.choice(NUMBERS))
    return data


def _claimed_tile(rng: random.Random, data: bytearray) -> bytearray:
    found = _Directory(data)
    codes = [code for code in (TILE_WIDTH, TILE_LENGTH, 278) if code in found.entries]
    for code in rng.sample(codes, rng.randint(1, len(codes))):
        found.set_value(code, rng.choice((0, 1, 8192, 60_000, 2**31 - 1, 2**32 - 1)))
    return data


def _offsets_beyond(rng: random.Random, data: bytearray) -> bytearray:
    found = _Directory(data)
    place = next(found.entries[code] for code in rng.choice((OFFSETS, COUNTS)) if code in found.entries)
    found.put(
        place + 4 + found.width, found.number, rng.choice((len(data) - 1, len(data) + 10, 2**31, 2**62))
    )
    return data


def _loop(rng: random.Random, data: bytearray) -> bytearray:
    found = _Directory(data)
    found.put(
        found.next_at, found.number, rng.choice((found.start, 8, rng.randrange(len(data)), len(data) + 5))
    )
    return data


def _long_loop(rng: random.Random, data: bytearray) -> bytearray:
    """Append hundreds of copies of the first directory, the last of which leads back to one of them."""
    found = _Directory(data)
    copy = bytes(data[found.start : found.next_at])
    n, following = rng.randint(101, 400), found.next_at
    starts = []
    for _ in range(n):
        data.extend(bytes(len(data) % 2))
        starts.append(len(data))
        found.put(following, found.number, len(data))
        data.extend(copy + bytes(found.width))
        following = len(data) - found.width
    found.put(following, found.number, rng.choice(starts))
    return data


def _no_tables(rng: random.Random, data: bytearray) -> bytearray:
    found = _Directory(data)
    # Without JPEG tables in the file another codec is claimed for the pixels.
    if TABLES in found.entries:
        found.put(found.entries[TABLES], "H", 65_001)
    else:
        found.set_value(259, rng.choice((1, 2, 3, 4, 5, 6, 7, 8, 32_773, 33_003, 34_712, 50_000, 50_001, 99)))
    return data


TIFF_DAMAGE: dict[str, Damage] = {
    "tags": _any_tag,
    "claimed size": _claimed_size,
    "claimed tile": _claimed_tile,
    "tiles beyond the end": _offsets_beyond,
    "next image": _loop,
    "long loop": _long_loop,
    "JPEG tables or codec": _no_tables,
}


def _png_header(rng: random.Random, data: bytearray) -> bytearray:
    """Change size, depth, colour type or interlacing, with a checksum that fits."""
    width, height, depth, colour, codec, filtering, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    part = rng.randrange(5)
    width = rng.choice(NUMBERS) if part in (0, 2) else width
    height = rng.choice(NUMBERS) if part in (1, 2) else height
    depth = rng.choice((0, 1, 2, 3, 8, 16, 255)) if part == 3 else depth
    colour, interlaced = (rng.randrange(8), rng.randrange(3)) if part == 4 else (colour, interlaced)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, codec, filtering, interlaced)
    data[8:33] = png_chunk(b"IHDR", header)
    return data


def _png_chunks(rng: random.Random, data: bytearray) -> bytearray:
    """Drop, repeat, swap, empty or add chunks."""
    chunks, place = [], 8
    while place < len(data):
        (n,) = struct.unpack_from(">I", data, place)
        chunks.append(bytes(data[place : place + 12 + n]))
        place += 12 + n
    index = rng.randrange(len(chunks))
    part = rng.randrange(5)
    if part == 0:
        del chunks[index]
    elif part == 1:
        chunks.insert(index, chunks[index])
    elif part == 2:
        rng.shuffle(chunks)
    elif part == 3:
        chunks[index] = png_chunk(chunks[index][4:8], b"")
    else:
        bomb = zlib.compress(bytes(30_000_000))
        name, head = rng.choice(
            ((b"zTXt", b"key\0\0"), (b"iCCP", b"profile\0\0"), (b"tRNS", b""), (b"PLTE", b""))
        )
        chunks.insert(1, png_chunk(name, head + (bomb if head else rng.randbytes(rng.randint(0, 900)))))
    return data[:8] + b"".join(chunks)


PNG_DAMAGE: dict[str, Damage] = {"PNG header": _png_header, "PNG chunks": _png_chunks}


def _jpeg_frame(rng: random.Random, data: bytearray) -> bytearray:
    """Change height, width, number of components or sampling in the frame header."""
    frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    part = rng.randrange(4)
    if part < 2:
        struct.pack_into(">H", data, frame + 5 + 2 * part, rng.choice((0, 1, 9000, 30_000, 65_535)))
    else:
        data[frame + (9 if part == 2 else 11)] = rng.randrange(256)
    return data


def _jpeg_scans(rng: random.Random, data: bytearray) -> bytearray:
    """Repeat the last scan many times."""
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * rng.randint(2, 3000) + data[-2:]


def _jpeg_tables(rng: random.Random, data: bytearray) -> bytearray:
    """Remove the quantisation or the Huffman tables."""
    marker = rng.choice((b"\xff\xdb", b"\xff\xc4"))
    place = data.find(marker)
    while place >= 0:
        (n,) = struct.unpack_from(">H", data, place + 2)
        del data[place : place + 2 + n]
        place = data.find(marker)
    return data


JPEG_DAMAGE: dict[str, Damage] = {
    "JPEG frame": _jpeg_frame,
    "JPEG scans": _jpeg_scans,
    "JPEG tables": _jpeg_tables,
}


def _text(rng: random.Random, path: Path) -> None:
    path.write_text(
        rng.choice(("not an image\n", "<!DOCTYPE html><html></html>", "<OME></OME>", '{"type": 1}')) * 50
    )


def _empty(rng: random.Random, path: Path) -> None:
    path.write_bytes(b"")


def _folder(rng: random.Random, path: Path) -> None:
    path.mkdir()


def _pipe(rng: random.Random, path: Path) -> None:
    os.mkfifo(path)


def _links_in_a_circle(rng: random.Random, path: Path) -> None:
    other = path.with_name("other" + path.suffix)
    path.symlink_to(other.name)
    other.symlink_to(path.name)


def _link_to_nothing(rng: random.Random, path: Path) -> None:
    path.symlink_to(rng.choice(("gone.png", "../../gone.png", ".", "..")))


def _link_to_device(rng: random.Random, path: Path) -> None:
    path.symlink_to(rng.choice(("/dev/zero", "/dev/null", "/dev/random")))


def _gif(rng: random.Random, path: Path) -> None:
    from PIL import Image

    frames = [Image.new("P", (40, 30), n) for n in range(3)]
    frames[0].save(path, "GIF", save_all=True, append_images=frames[1:])


def _webp(rng: random.Random, path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (40, 30)).save(path, "WEBP")


def _bytes(rng: random.Random, path: Path) -> None:
    magic = rng.choice(
        (b"", b"II*\0", b"MM\0+", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"PK\3\4", b"\x1f\x8b")
    )
    path.write_bytes(magic + rng.randbytes(rng.randint(0, 2000)))


#: Writes what is no image under the name of one.
ODD_FILES: dict[str, Callable[[random.Random, Path], None]] = {
    "text": _text,
    "empty": _empty,
    "folder": _folder,
    "pipe": _pipe,
    "circle of links": _links_in_a_circle,
    "link to nothing": _link_to_nothing,
    "link to a device": _link_to_device,
    "GIF": _gif,
    "WebP": _webp,
    "random bytes": _bytes,
}
