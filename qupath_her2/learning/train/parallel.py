"""Training on several GPUs or processes, started by torch's own launcher.

``torchrun --nproc-per-node 4 -m qupath_her2 train …`` starts four processes that find each other through environment
variables. Each process takes every fourth patch of a batch, and torch's DistributedDataParallel averages the gradients.
As usual there, batch norm sees only the patches of its own process.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qupath_her2.learning.device import choose_device
from qupath_her2.models.optional import need

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["ProcessGroup", "join_process_group"]


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """The processes of one training, as seen by one of them: number `rank` of `size`, computing on `device`."""

    rank: int
    size: int
    device: torch.device

    def shard(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return this process's part of the rows of a batch."""
        # Interleaved rather than in blocks, so that shares differ by one patch at most.
        return rows[self.rank :: self.size]

    def sum(self, values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum over all processes, element by element, float64 (n,)."""
        own = np.asarray(values, np.float64)
        if self.size == 1:
            return own
        import torch
        from torch import distributed

        # NCCL accepts tensors on GPUs only.
        summed = torch.from_numpy(own.copy()).to(self.device)
        distributed.all_reduce(summed)
        total: NDArray[np.float64] = summed.cpu().numpy()
        return total

    def gather(self, found: dict[int, str]) -> dict[int, str]:
        """Return the entries of all processes."""
        if self.size == 1:
            return found
        from torch import distributed

        # Python objects are pickled, but only between processes that this launcher started.
        everyone: list[dict[int, str]] = [{} for _ in range(self.size)]
        distributed.all_gather_object(everyone, found)
        return {row: text for part in everyone for row, text in part.items()}

    def wrap(self, model: Any) -> Any:
        """Return the model, wrapped so that gradients are averaged where there are several processes."""
        if self.size == 1:
            return model
        from torch.nn.parallel import DistributedDataParallel

        numbers = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=numbers)

    def accumulate(self, net: Any, *, is_last: bool) -> contextlib.AbstractContextManager[None]:
        """Return the context of one part of a batch.

        Parameters
        ----------
        net
            From `wrap`.
        is_last
            The last part: only here are the gradients, accumulated over all parts, averaged over the processes.

        Returns
        -------
        AbstractContextManager
            Wraps forward and backward pass of the part.
        """
        if self.size == 1 or is_last:
            return contextlib.nullcontext()
        context: contextlib.AbstractContextManager[None] = net.no_sync()
        return context

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with the values of the first process, in place."""
        if self.size > 1:
            from torch import distributed

            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def barrier(self) -> None:
        """Wait until all processes have arrived here."""
        if self.size > 1:
            from torch import distributed

            distributed.barrier()


@contextlib.contextmanager
def join_process_group(device: str) -> Iterator[ProcessGroup]:
    """Join the processes started by ``torchrun``, and leave them at the end; without it, be a group of one.

    Parameters
    ----------
    device
        As for `choose_device`; ``auto`` and ``cuda`` give each process its own GPU.

    Yields
    ------
    ProcessGroup
        The group, as seen by this process.
    """
    need("torch")
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "RANK" not in os.environ:
        yield ProcessGroup(0, 1, choose_device(device))
        return
    import torch
    from torch import distributed

    kind = choose_device(device).type
    own = choose_device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if kind == "cuda" else kind)
    if kind == "cuda":
        torch.cuda.set_device(own)
    # A caller that set up the group itself, such as a notebook's launcher, also ends it.
    is_ours = not distributed.is_initialized()
    if is_ours:
        distributed.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        yield ProcessGroup(distributed.get_rank(), distributed.get_world_size(), own)
    finally:
        if is_ours:
            distributed.destroy_process_group()
