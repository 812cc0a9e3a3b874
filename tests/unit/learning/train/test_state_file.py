from __future__ import annotations

from pathlib import Path

import pytest
import torch

from qupath_her2.errors import TrainingError
from qupath_her2.learning.train.state_file import load_state, optimiser_state, restore_optimiser, save_state


def test_tensors_and_values_round_trip(tmp_path: Path) -> None:
    tensors = {
        "a": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "b": torch.tensor(3, dtype=torch.int64),
    }
    values = {"epoch": 2, "history": [{"loss": 0.1 + 0.2}], "best": None}
    save_state(tmp_path / "state.safetensors", tensors, values)
    found, words = load_state(tmp_path / "state.safetensors")
    assert words == values
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize("content", [b"", b"not a state", b"\x00" * 64])
def test_another_file_is_refused_with_the_remedy(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "state.safetensors").write_bytes(content)
    with pytest.raises(TrainingError, match=r"is not a training state .* pass --restart"):
        load_state(tmp_path / "state.safetensors")


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW"])
def test_a_restored_optimiser_takes_the_same_steps(kind: str, tmp_path: Path) -> None:
    def parameter() -> torch.nn.Parameter:
        return torch.nn.Parameter(torch.linspace(-1, 1, 5))

    def step(optimiser: torch.optim.Optimizer, weights: torch.nn.Parameter) -> None:
        optimiser.zero_grad()
        (weights**3).sum().backward()
        optimiser.step()

    options = {"lr": 0.1, "weight_decay": 0.01, **({"momentum": 0.9} if kind == "SGD" else {})}
    weights = parameter()
    optimiser = getattr(torch.optim, kind)([weights], **options)
    for _ in range(3):
        step(optimiser, weights)
    again = torch.nn.Parameter(weights.detach().clone())
    other = getattr(torch.optim, kind)([again], **options)
    save_state(tmp_path / "state.safetensors", *optimiser_state(optimiser))
    restore_optimiser(other, *load_state(tmp_path / "state.safetensors"))
    for _ in range(3):
        step(optimiser, weights)
        step(other, again)
    assert torch.equal(weights, again)
