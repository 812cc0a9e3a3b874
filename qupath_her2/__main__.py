"""``python -m qupath_her2``: the command line where its script is not on the path."""

from __future__ import annotations

from qupath_her2.cli import main

if __name__ == "__main__":
    main()
