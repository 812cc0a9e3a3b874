"""Runs ``python -m qupath_her2 …`` as given, and stops after the first tiles of the second image until it may go on.

So a test can look at a run in the middle, however fast or slow the machine is: the run goes on when the file named by
``HER2_GO_ON`` exists.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from qupath_her2.cli import main, scoring_progress

_TELL = scoring_progress.say_json


def _tell(**fields: Any) -> None:
    _TELL(**fields)
    go_on = Path(os.environ["HER2_GO_ON"])
    while fields["event"] == "tiles" and fields["images_done"] == 1 and not go_on.exists():
        time.sleep(0.1)


if __name__ == "__main__":
    # What QuPath starts is `-m qupath_her2 VERB …`.
    assert sys.argv[1:3] == ["-m", "qupath_her2"]
    del sys.argv[1:3]
    # One image after the other, whatever this machine could do at once: the second must not start beside the first.
    sys.argv = ["1" if word == "auto" else word for word in sys.argv]
    scoring_progress.say_json = _tell
    main()
