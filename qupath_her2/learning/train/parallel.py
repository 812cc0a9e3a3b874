"""One training on several GPUs or processes, started by torch's own launcher.

``torchrun --nproc-per-node 4 -m qupath_her2 train …`` starts four processes that find each other through the
variables it sets; every process takes each fourth patch of a batch, and the gradients are averaged by torch's
DistributedDataParallel. Batch norm sees the patches of its own process only, as is usual there.
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
    """The processes of one training: this one is number `rank` of `size`, and works on `device`."""

    rank: int
    size: int
    device: torch.device

    def share(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows of a batch that are this process's."""
        return rows[self.rank :: self.size]

    def total(self, values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum over all processes, element by element."""
        own = np.asarray(values, np.float64)
        if self.size == 1:
            return own
        import torch
        from torch import distributed

        # NCCL knows tensors of GPUs alone.
        summed = torch.from_numpy(own.copy()).to(self.device)
        distributed.all_reduce(summed)
        all_of_them: NDArray[np.float64] = summed.cpu().numpy()
        return all_of_them

    def merged(self, found: dict[int, str]) -> dict[int, str]:
        """Return the entries of all processes."""
        if self.size == 1:
            return found
        from torch import distributed

        everyone: list[dict[int, str]] = [{} for _ in range(self.size)]
        distributed.all_gather_object(everyone, found)
        return {row: text for part in everyone for row, text in part.items()}

    def wrapped(self, model: Any) -> Any:
        """Return the model, its gradients averaged over the processes where there are several."""
        if self.size == 1:
            return model
        from torch.nn.parallel import DistributedDataParallel

        numbers = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=numbers)

    def apart(self, net: Any, is_apart: bool) -> contextlib.AbstractContextManager[None]:
        """Return the context in which gradients stay with their process, to be averaged with the next ones."""
        if self.size == 1 or not is_apart:
            return contextlib.nullcontext()
        context: contextlib.AbstractContextManager[None] = net.no_sync()
        return context

    def align(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the values of the first one, in place."""
        if self.size > 1:
            from torch import distributed

            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            from torch import distributed

            distributed.barrier()


@contextlib.contextmanager
def join_process_group(device: str) -> Iterator[ProcessGroup]:
    """Join the processes that ``torchrun`` started, or be alone; leave them at the end.

    Parameters
    ----------
    device
        As `choose_device` takes it; ``auto`` and ``cuda`` give each process its own GPU.
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
    is_ours = not distributed.is_initialized()
    if is_ours:
        distributed.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        yield ProcessGroup(distributed.get_rank(), distributed.get_world_size(), own)
    finally:
        if is_ours:
            distributed.destroy_process_group()
