"""Image ids: the folder names of images in the exchange folder, safe on every file system."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import Path

from qupath_her2.errors import ExchangeError

__all__ = ["folder_image_id", "image_folder", "image_id"]

#: Length limit of the readable part: with entry id and run id, paths stay below the 260 characters of Windows.
SLUG_CHARS = 40
_IMAGE_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_\-]{0,80}")


def image_id(entry_id: str, name: str | None) -> str:
    """Return ``<entry id>_<slug>``, the folder name of an image; the entry id alone if names are masked (None).

    The slug is the stem of the name in ASCII letters and digits, at most 40 characters. The leading id tells names
    apart that differ only in case, accents or punctuation, and avoids Windows' reserved names (``con``, ``nul``).

    Raises
    ------
    ExchangeError
        The entry id contains characters that are not allowed in a folder name.
    """
    slug = "" if name is None else _slug(name)
    identity = f"{entry_id}_{slug}" if slug else entry_id
    if not _IMAGE_ID.fullmatch(identity):
        raise ExchangeError(
            f"Entry id {entry_id!r} cannot name a folder: only letters, digits, - and _ are allowed."
        )
    return identity


def folder_image_id(relative: str) -> str:
    """Return the folder name of an image in a plain folder, from its path relative to that folder.

    Its id is the first 40 bits of the SHA-256 of the path, in NFC and with ``/``, so that it is the same on every
    system.
    """
    # Lone surrogates stand for undecodable bytes of a file name on Linux.
    path = unicodedata.normalize("NFC", relative.replace("\\", "/"))
    return image_id(
        hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()[:10], path.rpartition("/")[2]
    )


def _slug(name: str) -> str:
    stem = name.rpartition(".")[0] or name
    # NFKD separates letters from their accents, so that dropping what is not ASCII keeps the letters.
    ascii_text = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    return re.sub(r"[^0-9A-Za-z]+", "-", ascii_text)[:SLUG_CHARS].strip("-")


def image_folder(her2: Path, image: str) -> Path:
    """Return the results folder of an image in an exchange folder; ExchangeError if `image` is not an image id."""
    # Ids are also read from files that may be damaged or crafted: none may lead out of the folder.
    if not _IMAGE_ID.fullmatch(image):
        raise ExchangeError(f"{image!r} is not the id of an image in an exchange folder.")
    return her2 / "results" / image
