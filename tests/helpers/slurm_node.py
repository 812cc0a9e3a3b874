"""A real Slurm of one node on loopback: munged, slurmctld and slurmd with files of their own, ended afterwards.

The system's own Slurm, if one is configured, is left alone: every command reads ``SLURM_CONF``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

__all__ = ["missing_part", "slurm_commands", "slurm_node"]

_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
_START_S = 30.0
#: Daemons lie where an ordinary PATH does not look.
_PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])

_CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
SlurmctldPort={ctld_port}
SlurmdPort={slurmd_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=1,batch_sched_delay=0
KillWait=5
MinJobAge=300
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing_part() -> str:
    """Return why no Slurm can be started here; "" where one can."""
    missing = [name for name in _PROGRAMS if shutil.which(name, path=_PLACES) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (Debian: slurm-wlm, munge)"
    return "" if hasattr(os, "geteuid") and os.geteuid() == 0 else "slurmd needs root to start jobs"


@contextlib.contextmanager
def slurm_node(folder: Path, cpus: int = 2) -> Iterator[dict[str, str]]:
    """Start a Slurm of one node, and yield the environment in which its commands find it."""
    host = socket.gethostname().partition(".")[0]
    for name in ("munge", "state", "spool"):
        (folder / name).mkdir(mode=0o755)
    key = folder / "munge" / "key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    conf = folder / "slurm.conf"
    ports = dict(zip(("ctld_port", "slurmd_port"), _free_ports(2), strict=True))
    conf.write_text(_CONF.format(host=host, user="root", folder=folder, cpus=cpus, **ports))
    environment = {**os.environ, "SLURM_CONF": str(conf), "PATH": _PLACES}
    started: list[subprocess.Popen[bytes]] = []
    munged = ["munged", "--foreground", "--force", f"--key-file={key}"]
    munged += [
        f"--{what}={folder}/munge/{what.partition('-')[0]}" for what in ("socket", "pid-file", "log-file")
    ]
    munged += [f"--seed-file={folder}/munge/seed"]
    try:
        _begin(started, munged, environment, folder / "munge" / "socket")
        _begin(started, ["slurmctld", "-D"], environment, folder / "slurmctld.pid")
        _begin(started, ["slurmd", "-D", "-N", host], environment, folder / "slurmd.pid")
        _wait_for_node(environment, folder)
        yield environment
    finally:
        subprocess.run(
            ["scancel", "--user", "root"], env=environment, capture_output=True, check=False, timeout=20
        )
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15)
            process.kill()
            process.wait()


def _begin(
    started: list[subprocess.Popen[bytes]], words: list[str], environment: dict[str, str], sign: Path
) -> None:
    """Start a daemon and wait for the file by which it says that it is there."""
    program = shutil.which(words[0], path=_PLACES)
    assert program is not None
    with (sign.parent / f"{words[0]}.out").open("wb") as out:
        started.append(subprocess.Popen([program, *words[1:]], env=environment, stdout=out, stderr=out))
    end = time.monotonic() + _START_S
    while not sign.exists():
        said = (sign.parent / f"{words[0]}.out").read_text(errors="replace")
        assert started[-1].poll() is None, f"{words[0]} ended: {said}"
        assert time.monotonic() < end, f"{words[0]} did not start: {said}"
        time.sleep(0.1)


def _wait_for_node(environment: dict[str, str], folder: Path) -> None:
    end = time.monotonic() + _START_S
    state = ""
    while time.monotonic() < end:
        done = subprocess.run(
            ["sinfo", "--noheader", "--format=%T"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
        state = done.stdout.strip() or done.stderr.strip()
        if state == "idle":
            return
        time.sleep(0.3)
    logs = "\n".join(
        (folder / name).read_text(errors="replace")[-2000:] for name in ("slurmctld.log", "slurmd.log")
    )
    raise AssertionError(f"the node is '{state}', not idle: {logs}")


def _free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@contextlib.contextmanager
def slurm_commands(folder: Path) -> Iterator[None]:
    """Let Slurm's commands reach a node of their own within the block; skip the test where there is no Slurm."""
    why = missing_part()
    if why:
        pytest.skip(f"NOT TESTED: no Slurm: {why}")
    with slurm_node(folder) as environment, pytest.MonkeyPatch.context() as patch:
        for name in ("SLURM_CONF", "PATH"):
            patch.setenv(name, environment[name])
        yield
