from __future__ import annotations

import os
from pathlib import Path

from tests.check import drop_stale_kernels


def test_kernels_are_dropped_once_any_source_is_newer(tmp_path: Path) -> None:
    (tmp_path / "cells" / "__pycache__").mkdir(parents=True)
    called, kernel = tmp_path / "called.py", tmp_path / "cells" / "__pycache__" / "caller.k-1.py311.nbi"
    called.write_text("")
    kernel.write_bytes(b"")
    os.utime(called, (1000, 1000))
    os.utime(kernel, (2000, 2000))
    assert drop_stale_kernels(tmp_path) == 0
    assert kernel.exists()
    os.utime(called, (3000, 3000))
    assert drop_stale_kernels(tmp_path) == 1
    assert not kernel.exists()
