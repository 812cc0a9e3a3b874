"""Segmentation of slides: without seams, in bounded memory, and correct for a network with known output."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from qupath_her2.errors import ModelError
from qupath_her2.learning.segmentation.pixel_network import PixelNetwork
from qupath_her2.learning.segmentation.slide_segmenter import SlideSegmenter, network_downsample
from qupath_her2.models.registry import build_model
from qupath_her2.models.settings import SegmentSettings
from qupath_her2.records import Box
from qupath_her2.slides.readers.base import BaseSlide
from tests.helpers.colour_net import CARD, COLOURS, colour_net
from tests.helpers.drawn_planes import ArraySlide


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Equal up to rounding: one of 256 levels, or, rarely, the other one of two equal maxima in a pooling."""
    off = np.abs(one.astype(int) - other)
    return bool((off > 1).mean() < 1e-3 and (off > 0).mean() < 0.02)


def network(
    name: str = "her2net", side_px: int = 48, settings: SegmentSettings | None = None
) -> PixelNetwork:
    """A network with random weights whose output depends on the whole window."""
    torch.manual_seed(3)
    net = build_model(name, 3, weights="random", width=2).eval()
    return PixelNetwork(net, replace(CARD, model=name, patch_size_px=side_px), settings, device="cpu")


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 256, (22, 26, 3)).astype(np.uint8)
    noise = rng.integers(0, 40, (176, 208, 3)).astype(np.uint8)
    return np.clip(np.kron(coarse, np.ones((8, 8, 1), np.uint8)).astype(int) + noise - 20, 0, 255).astype(
        np.uint8
    )


@pytest.mark.parametrize("pixel_size_um", [0.25, 0.125, 0.2])
def test_tiles_leave_no_seams(pixel_size_um: float, image: np.ndarray) -> None:
    seen = SlideSegmenter(network(), ArraySlide(image), pixel_size_um)
    size = [int(side / seen.downsample) for side in image.shape[1::-1]]
    whole = seen.segment(Box(0, 0, *size)).probabilities
    assert whole.shape == (size[1], size[0], 3)
    assert whole.std() > 2, "a network that says the same everywhere would prove nothing"
    for tile_px in (37, 64):
        joined = np.zeros_like(whole)
        for box, found in seen.tiles(tile_px):
            joined[box.y : box.y + box.height, box.x : box.x + box.width] = found.probabilities
        assert same(joined, whole)
    part = seen.segment(Box(-5, 11, 60, 30)).probabilities
    assert same(part[:, 5:], whole[11:41, :55])


def test_blending_hides_the_edges_of_windows(image: np.ndarray) -> None:
    """A network with artefacts at the edge of its window: only without blending do they show."""

    class Vignette(torch.nn.Module):
        def forward(self, seen: Any) -> Any:
            rim = torch.ones(seen.shape[2:])
            rim[8:-8, 8:-8] = 0
            return torch.stack([0 * seen[:, 0], 4 * rim.expand_as(seen[:, 0]), 0 * seen[:, 0]], 1)

    def seen(overlap: float, rim: float) -> np.ndarray:
        settings = SegmentSettings(overlap_share=overlap, rim_share=rim)
        one = PixelNetwork(Vignette(), replace(CARD, patch_size_px=48), settings, device="cpu")
        return SlideSegmenter(one, ArraySlide(image), 0.25).segment(Box(0, 0, 208, 176)).probabilities[..., 1]

    assert np.ptp(seen(0.0, 0.0)) > 100
    assert np.ptp(seen(0.5, 8 / 48)) <= 1


def test_every_pixel_is_assigned_to_the_nearest_colour() -> None:
    rng = np.random.default_rng(1)
    codes = np.kron(rng.integers(0, 3, (23, 31)), np.ones((5, 5), int))
    seen = SlideSegmenter(PixelNetwork(colour_net(), CARD, device="cpu"), ArraySlide(COLOURS[codes]), 0.25)
    found = seen.segment(Box(-7, -9, codes.shape[1] + 20, codes.shape[0] + 20)).probabilities
    inside = found[9 : 9 + codes.shape[0], 7 : 7 + codes.shape[1]]
    assert (inside.argmax(-1) == codes).all()
    assert inside.max(-1).min() > 245
    assert np.abs(inside.sum(-1, dtype=int) - 255).max() <= 1
    # Beyond the image there is nothing.
    assert (found[:9] == [255, 0, 0]).all()
    assert (found[:, 7 + codes.shape[1] :] == [255, 0, 0]).all()


class Crowded(torch.nn.Module):
    """Runs out of memory with more than `most` windows at once."""

    def __init__(self, net: Any, most: int) -> None:
        super().__init__()
        self.net, self.most = net, most
        self.batches: list[int] = []

    def forward(self, seen: Any) -> Any:
        if len(seen) > self.most:
            raise torch.cuda.OutOfMemoryError("out of memory")
        self.batches.append(len(seen))
        return self.net(seen)


def test_full_memory_halves_the_batch_and_changes_nothing(image: np.ndarray) -> None:
    box = Box(0, 0, 208, 176)
    expected = (
        SlideSegmenter(PixelNetwork(colour_net(), CARD, device="cpu"), ArraySlide(image), 0.25)
        .segment(box)
        .probabilities
    )
    net = Crowded(colour_net(), 1)
    one = PixelNetwork(net, CARD, SegmentSettings(batch_size=8), device="cpu")
    found = SlideSegmenter(one, ArraySlide(image), 0.25).segment(box).probabilities
    assert same(found, expected)
    assert one.at_once == 1
    assert set(net.batches) == {1}
    hopeless = PixelNetwork(Crowded(colour_net(), 0), CARD, device="cpu")
    with pytest.raises(ModelError, match=r"full with a single window of 96 px.*device = \"cpu\""):
        SlideSegmenter(hopeless, ArraySlide(image), 0.25).segment(box)


def test_the_uncertainty_of_a_bayesian_network_is_reproducible(image: np.ndarray) -> None:
    def seen(**settings: Any) -> Any:
        one = network("bayesian-segnet", 64, SegmentSettings(samples=4, **settings))
        return SlideSegmenter(one, ArraySlide(image), 0.25)

    box = Box(0, 0, 208, 176)
    found = seen().segment(box)
    assert found.uncertainty is not None
    assert found.uncertainty.shape == (176, 208)
    assert found.uncertainty.max() > found.uncertainty.min() >= 0
    assert found.uncertainty.mean() > 0.5
    for other in (seen(batch_size=1), seen(batch_size=3)):
        again = other.segment(box)
        assert same(again.probabilities, found.probabilities)
        assert same(again.uncertainty, found.uncertainty)
    part = seen().segment(Box(50, 60, 70, 80))
    assert same(part.uncertainty, found.uncertainty[60:140, 50:120])
    drawn_otherwise = seen(seed=100).segment(box)
    assert not same(drawn_otherwise.probabilities, found.probabilities)
    assert SlideSegmenter(network(), ArraySlide(image), 0.25).segment(box).uncertainty is None


class EndlessSlide(BaseSlide):
    """A slide larger than memory, whose pixels are computed when they are read."""

    reader = "endless"

    def __init__(self, width: int, height: int) -> None:
        super().__init__(Path("endless"), ((width, height),))
        self.largest_read = 0

    def _decode(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        self.largest_read = max(self.largest_read, width * height)
        codes = (np.arange(x, x + width)[None] // 40 + np.arange(y, y + height)[:, None] // 40) % 3
        return COLOURS[codes]


class Colours(torch.nn.Module):
    """The nearest colour, without the rest of the U-Net, for speed."""

    def __init__(self) -> None:
        super().__init__()
        net = colour_net()
        self.layer = net.classify

    def forward(self, seen: Any) -> Any:
        return self.layer(seen + 1)


@pytest.mark.slow
def test_memory_depends_on_the_tile_not_on_the_slide() -> None:
    def peak(width: int, height: int) -> tuple[int, int, int]:
        slide = EndlessSlide(width, height)
        one = PixelNetwork(Colours(), replace(CARD, patch_size_px=251), device="cpu")
        right = 0
        tracemalloc.start()
        for box, found in SlideSegmenter(one, slide, 0.25).tiles(512):
            x, y = box.x + box.width // 2, box.y + box.height // 2
            right += int(
                found.probabilities[box.height // 2, box.width // 2].argmax() == (x // 40 + y // 40) % 3
            )
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most, slide.largest_read, right

    small, small_read, _ = peak(4096, 4096)
    large, large_read, right = peak(8192, 4096)
    assert right == 128
    # Twice the slide, the same memory: a tile and the windows that reach beyond it.
    assert large < 1.1 * small
    assert large_read <= 1.1 * small_read
    ground = (512 + 2 * 251) ** 2
    assert large_read <= ground
    assert large < 15 * ground


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": "her2-4"}, "task 'her2-4'"),
        (
            {"class_names": ("Nucleus", "Membrane", "Background")},
            "needed is 'segmentation' with Background, Membrane",
        ),
        ({"stain": "macenko"}, "normalised by macenko"),
        ({"pixel_size_um": float("nan")}, "states no scale"),
    ],
)
def test_a_card_of_another_task_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        PixelNetwork(colour_net(), replace(CARD, **change), device="cpu")


@pytest.mark.parametrize(
    ("pixel_size_um", "downsample"),
    [(0.25, 1.0), (0.125, 2.0), (0.22, 1.125), (0.2527, 1.0), (0.0625, 4.0), (0.2425, 1.0), (0.266, 1.0)],
)
def test_slides_are_read_near_the_networks_scale(pixel_size_um: float, downsample: float) -> None:
    assert network_downsample(pixel_size_um, CARD) == downsample


def test_a_coarse_slide_is_an_error_with_the_remedy(image: np.ndarray) -> None:
    with pytest.raises(ModelError, match=r"pixels of 0\.5 µm, too coarse .* 0\.25 µm/px. Use a finer scan"):
        SlideSegmenter(PixelNetwork(colour_net(), CARD, device="cpu"), ArraySlide(image), 0.5)
