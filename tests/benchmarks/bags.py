"""Slide-level learning beside its peers, in one run: training beside torchmil, memory of a large bag, embedding.

Run: ``python -m tests.benchmarks.bags [training] [memory] [embedding]``; all three without arguments. The same bags,
the same network (gated attention) and one bag a step on both sides of the training; the same patches and weights, with
equal features (checked), on both sides of the embedding. Rates are given by wall time and by
CPU time of all processes, which does not depend on other load. Needs torchmil for the training.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qupath_her2.learning.bags.embed import Embedder, embed_slide
from qupath_her2.learning.bags.feature_files import read_features
from qupath_her2.learning.bags.train_bags import train_bags
from qupath_her2.models.bag_networks import build_bag_network
from qupath_her2.models.bag_settings import BagNetworkSettings, BagTrainSettings
from qupath_her2.models.encoders import load_encoder
from qupath_her2.models.settings import PredictSettings, ReadSettings
from qupath_her2.patches.pixels.patch_pixels import PatchPixels
from tests.benchmarks.predict import BATCH, SlidePatches, draw_slide, manifest_of, timed

FEATURES, HIDDEN, ATTENTION = 1280, 512, 128


def drawn_bags(n: int, low: int, high: int) -> tuple[list[torch.Tensor], np.ndarray]:
    """Return bags of `low` to `high` patches, and their labels."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(low, high + 1, n)
    return [
        torch.from_numpy(rng.normal(size=(size, FEATURES)).astype(np.float32)) for size in sizes
    ], np.arange(n) % 2


def torchmil_training(bags: list[torch.Tensor], labels: np.ndarray, epochs: int) -> Callable[[], Any]:
    """Return a training by torchmil's trainer, its collation and its network, as its examples have it."""
    from torchmil.data import collate_fn
    from torchmil.models import ABMIL
    from torchmil.utils.trainer import Trainer

    encoder = torch.nn.Sequential(torch.nn.Linear(FEATURES, HIDDEN), torch.nn.ReLU())
    net = ABMIL(in_shape=(FEATURES,), att_dim=ATTENTION, gated=True, feat_ext=encoder)
    rows = [
        {"X": bag, "Y": torch.tensor(float(label))} for bag, label in zip(bags, labels.tolist(), strict=True)
    ]
    loader = torch.utils.data.DataLoader(rows, batch_size=1, shuffle=True, collate_fn=collate_fn)
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-4)
    trainer = Trainer(net, optimiser, device="cpu", disable_pbar=True, verbose=False)
    return lambda: trainer.train(max_epochs=epochs, train_dataloader=loader)


def our_training(
    bags: list[torch.Tensor], labels: np.ndarray, epochs: int, precision: Any = "fp32"
) -> Callable[[], Any]:
    """Return a training of the same network by this package; like torchmil's it validates on the training bags."""
    network = BagNetworkSettings(hidden=HIDDEN, attention=ATTENTION, dropout=0.0)
    settings = BagTrainSettings(
        network, epochs=epochs, least_epochs=epochs, is_balanced=False, precision=precision
    )
    rows = np.arange(len(bags))

    def run() -> Any:
        net = build_bag_network("abmil", FEATURES, 2, network)
        return train_bags(net, bags, labels, rows, rows, settings, device="cpu")

    return run


def bench_training(n: int, epochs: int) -> None:
    """Print both rates for small and for large bags."""
    for low, high in ((50, 150), (1000, 3000)):
        bags, labels = drawn_bags(n, low, high)
        torchmil_training(bags[:4], labels[:4], 1)()
        steps = n * epochs
        print(
            f"training, {n} bags of {low} to {high} patches, {epochs} epochs, {torch.get_num_threads()} threads"
        )
        peer_wall, peer_cpu, _ = timed(torchmil_training(bags, labels, epochs))
        print(
            f"  torchmil                 {steps / peer_wall:7.1f} bags/s   {steps / peer_cpu:7.1f} per CPU second"
        )
        for precision in ("fp32", "bf16"):
            our_training(bags[:4], labels[:4], 1, precision)()
            wall, cpu, _ = timed(our_training(bags, labels, epochs, precision))
            print(
                f"  train_bags, {precision}         {steps / wall:7.1f} bags/s   {steps / cpu:7.1f} per CPU second"
            )
            print(
                f"  ratio                    {peer_wall / wall:7.2f}x         {peer_cpu / cpu:7.2f}x",
                flush=True,
            )


_STEP = """
import resource, torch
from qupath_her2.models.bag_networks import build_bag_network
net = build_bag_network("{name}", {width}, 3)
bag = torch.randn({n}, {width})
optimiser = torch.optim.Adam(net.parameters())
loss, _ = net.loss(bag, torch.tensor(1))
loss.backward()
optimiser.step()
with torch.inference_mode():
    net(bag)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def bench_memory(sizes: list[int]) -> None:
    """Print the largest memory of a process that takes one training step on a bag, and predicts it."""
    for n in sizes:
        for name in ("clam-sb", "clam-mb", "dtfd-afs", "abmil"):
            code = _STEP.format(name=name, width=FEATURES, n=n)
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            # Linux counts in KiB, macOS in bytes.
            peak = int(done.stdout) * (1 if sys.platform == "darwin" else 1024)
            print(
                f"memory, {name}, a bag of {n:,} patches of {FEATURES} numbers: {peak / 1e9:.2f} GB",
                flush=True,
            )


def plain_features(encoder: Any, manifest: Any, workers: int) -> np.ndarray:
    """Embed in a plain loop of timm, DataLoader, OpenSlide, PIL and torchvision."""
    data = SlidePatches(manifest.images[0].path, manifest.box_xywh, encoder.mean, encoder.std)
    found = []
    with torch.inference_mode():
        for pictures in torch.utils.data.DataLoader(data, BATCH, num_workers=workers):
            found.append(encoder.net(pictures).numpy())
    return np.concatenate(found)


def bench_embedding(n: int, workers: int) -> None:
    """Print both rates for EfficientNet-lite0 on a drawn slide."""
    with tempfile.TemporaryDirectory() as folder:
        manifest = manifest_of(draw_slide(Path(folder) / "drawn.tif", 4096), n)
        plain = load_encoder("efficientnet-lite0")
        embedder = Embedder(
            load_encoder("efficientnet-lite0"),
            PredictSettings(batch_size=BATCH, device="cpu", read=ReadSettings(threads=workers)),
            manifest.patch_size_px,
        )
        path = Path(folder) / "features.h5"

        def ours() -> Any:
            with PatchPixels(manifest) as pixels:
                return embed_slide(embedder, manifest, pixels, path, "0" * 64)

        peer_wall, peer_cpu, expected = timed(lambda: plain_features(plain, manifest, workers))
        wall, cpu, _ = timed(ours)
        most_off = float(np.abs(read_features(path).features - expected).max())
        assert most_off < 0.01, f"features differ by {most_off}"
        print(
            f"embedding, {n} patches of {manifest.patch_size_px} px, EfficientNet-lite0, equal to {most_off:.0e}"
        )
        print(
            f"  timm + DataLoader + PIL  {n / peer_wall:7.1f} patches/s   {n / peer_cpu:7.1f} per CPU second"
        )
        print(f"  embed                    {n / wall:7.1f} patches/s   {n / cpu:7.1f} per CPU second")
        print(
            f"  ratio                    {peer_wall / wall:7.2f}x           {peer_cpu / cpu:7.2f}x",
            flush=True,
        )


def main() -> None:
    """Run the benchmarks asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help="training, memory, embedding; all by default"
    )
    parser.add_argument("--bags", type=int, default=24, help="bags of the training")
    parser.add_argument("--epochs", type=int, default=3, help="epochs of the training")
    parser.add_argument("--patches", type=int, default=192, help="patches of the embedding")
    parser.add_argument("--sizes", type=int, nargs="*", default=[50_000], help="bag sizes of the memory")
    asked = parser.parse_args()
    parts = asked.parts or ["training", "memory", "embedding"]
    if "training" in parts:
        bench_training(asked.bags, asked.epochs)
    if "memory" in parts:
        bench_memory(asked.sizes)
    if "embedding" in parts:
        bench_embedding(asked.patches, 2)


if __name__ == "__main__":
    main()
