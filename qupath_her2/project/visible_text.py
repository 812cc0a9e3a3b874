"""Names made safe to show: characters that hide, reorder or end text become visible escapes, and nothing is lost.

A file or region name may hold control characters and direction overrides of Unicode, which show ``gpj.exe`` as
``exe.jpg`` (Unicode TR 36, section 3.2), and one that is not UTF-8 holds lone surrogates, which cannot be written.
"""

from __future__ import annotations

import re

__all__ = ["visible_name", "visible_text"]

#: Control characters but for tab and line ends, embeddings, overrides and isolates of direction, and lone surrogates.
_HIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible_text(text: str) -> str:
    r"""Return `text` with each hidden character in Python's notation, ``\x1b`` or ``\u202e``."""
    return _HIDDEN.sub(_escape, text)


def visible_name(name: str) -> str:
    r"""Return `name` as `visible_text` does, on one line: tabs and line ends become ``\t``, ``\n`` and ``\r`` too."""
    return visible_text(name).translate({9: r"\t", 10: r"\n", 13: r"\r"})


def _escape(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
