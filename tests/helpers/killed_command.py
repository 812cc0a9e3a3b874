"""Commands that kill themselves at a chosen change of the disk, in a process of their own.

A kill after some time may hit nothing: the command may be importing, or done. Python announces each change of the disk
to its audit hooks before it is made (PEP 578); the n-th below a folder kills the process, as `kill -9` does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["KILLED", "count_steps", "kill_at_step"]

#: Exit code of a process that was killed.
KILLED = -9
_CODE = """
import os, signal, sys
folder, at = sys.argv[1], int(sys.argv[2])
seen = 0
def hook(event, arguments):
    global seen
    if event == "open":
        changes = isinstance(arguments[1], str) and any(c in arguments[1] for c in "wax+")
        changes |= arguments[1] is None and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
    else:
        changes = event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate")
    if not changes or folder not in str(arguments[0]):
        return
    if seen == at:
        os.kill(os.getpid(), signal.SIGKILL)
    seen += 1
sys.addaudithook(hook)
from qupath_her2.cli import main
sys.argv = ["qupath-her2", *sys.argv[3:]]
try:
    code = main()
except SystemExit as end:
    code = end.code
print("STEPS", seen, file=sys.stderr)
sys.exit(code)
"""


def _run(folder: Path, at: int, *command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _CODE, str(folder), str(at), *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )


def count_steps(folder: Path, *command: object) -> int:
    """Run a command to its end and return how often it changed the disk below a folder."""
    done = _run(folder, -1, *command)
    assert done.returncode == 0, done.stdout + done.stderr
    return int(done.stderr.rsplit("STEPS", 1)[1])


def kill_at_step(folder: Path, step: int, *command: object) -> None:
    """Run a command that is killed before its change number `step` of the disk below a folder, from 0.

    Where the last one was killed while it took over a lock, the first attempt only clears that away.
    """
    done = _run(folder, step, *command)
    if done.returncode == 1 and "is being scored by" in done.stderr:
        done = _run(folder, step, *command)
    assert done.returncode == KILLED, done.stdout + done.stderr
