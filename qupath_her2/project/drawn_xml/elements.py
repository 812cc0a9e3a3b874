"""XML of unknown origin, parsed by expat element by element: nothing is expanded, fetched or nested in memory.

Document types and entities are refused, since no annotation program writes them: an entity may expand to gigabytes or
name a file of this machine.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.parsers import expat

from qupath_her2.errors import RegionFileError
from qupath_her2.project.json_files import read_limited

__all__ = ["parse_elements", "root_element"]

#: 256 MiB is about 4 million vertices, and takes some 2 GB of memory as Python objects.
MAX_BYTES = 256 << 20
#: The root element follows the XML declaration and comments at most.
_HEAD_BYTES = 64 << 10
#: Longest text of one element that is kept: titles and coordinates are far shorter.
_MAX_TEXT = 10_000


class _RootFoundError(Exception):
    """Stops the parser at the first element, whose name is the message."""


def parse_elements(
    path: Path,
    start: Callable[[str, dict[str, str]], None],
    end: Callable[[str, str], None],
    *,
    program: str,
) -> None:
    """Parse an XML file and report its elements.

    Parameters
    ----------
    path
        The file, at most 256 MiB.
    start
        Called with name and attributes of each element, without namespace prefix.
    end
        Called with name and stripped text of each element; of elements with children, only the text after the last
        child.
    program
        The program that writes such files, for the way out in error messages.

    Raises
    ------
    RegionFileError
        The file cannot be read, is too large, is not XML, or declares a document type or entities.
    """
    data = read_limited(path)
    if len(data) > MAX_BYTES:
        raise RegionFileError(
            f"Region file '{path.name}' holds {len(data) / 2**20:,.0f} MiB, over the limit of "
            f"{MAX_BYTES >> 20} MiB. Delete the annotations of single cells in {program}."
        )
    text = ""

    def on_start(name: str, attributes: dict[str, str]) -> None:
        nonlocal text
        text = ""
        start(_local(name), attributes)

    def on_text(piece: str) -> None:
        nonlocal text
        if len(text) < _MAX_TEXT:
            text = (text + piece)[:_MAX_TEXT]

    def on_end(name: str) -> None:
        nonlocal text
        end(_local(name), text.strip())
        text = ""

    parser = _parser(path, program)
    parser.StartElementHandler, parser.EndElementHandler = on_start, on_end
    parser.CharacterDataHandler = on_text
    _run(parser, data, path, program)


def root_element(path: Path) -> str | None:
    """Return the name of an XML file's root element; None if the file is no XML or cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        # The caller asks what a file beside the images is; whoever reads its regions reports that it cannot.
        return None
    parser = expat.ParserCreate()

    def stop(name: str, _: dict[str, str]) -> None:
        raise _RootFoundError(_local(name))

    parser.StartElementHandler = stop
    try:
        parser.Parse(head, False)
    except _RootFoundError as found:
        return str(found)
    except (expat.ExpatError, ValueError, LookupError):
        return None
    return None


def _parser(path: Path, program: str) -> Any:
    parser = expat.ParserCreate()

    def refuse(*_: Any) -> None:
        raise RegionFileError(
            f"Region file '{path.name}' declares a document type or entities, which {program} never writes. "
            f"Save it again from {program}."
        )

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    return parser


def _run(parser: Any, data: bytes, path: Path, program: str) -> None:
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        if isinstance(error, RegionFileError):
            raise
        raise RegionFileError(
            f"Region file '{path.name}' is not XML ({error}). Save it again from {program}."
        ) from error


def _local(name: str) -> str:
    return name.rpartition(":")[2]
