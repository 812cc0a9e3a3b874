"""Draw this example again: ``python example_projects/01_score_cells/make.py [FOLDER]``.

Writes four HER2 fields (0, 1+, 2+, 3+) with Tumor regions as QuPath exports them, and ``cases.csv``. Everything is
drawn by `qupath_her2.synthetic` from fixed seeds; no patient stands behind it. A test remakes and compares it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from qupath_her2.synthetic.example_project import write_example

if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for file in write_example(folder):
        sys.stdout.write(f"{file}\n")
