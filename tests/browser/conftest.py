"""A running service and its page in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.helpers.chromium import missing_browser
from tests.helpers.served_page import WAIT_S, Served, open_browser, start_service

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests here as slow, and skip them with the reason where there is no browser."""
    missing = missing_browser()
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
            if missing:
                item.add_marker(pytest.mark.skip(reason=f"NOT TESTED: {missing}"))


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network that tells the ER status: untrained, so that only how it is shown can be tested."""
    torch = pytest.importorskip("torch")
    from qupath_her2.models.card import ModelCard
    from qupath_her2.models.checkpoint import save_checkpoint
    from qupath_her2.models.registry import build_model

    folder = tmp_path_factory.mktemp("networks")
    torch.manual_seed(1)
    card = ModelCard("convoher2", ("negative", "positive"), "er", 0.5, 224, (0.5,) * 3, (0.5,) * 3)
    save_checkpoint(folder / "er-test", build_model("convoher2", 2, weights="random"), card)
    return folder


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, networks: Path) -> Iterator[Served]:
    with start_service(tmp_path_factory.mktemp("state"), "--models", str(networks)) as served:
        yield served


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@dataclass
class Watched:
    """What a page did besides what is seen: addresses it asked for, and faults it wrote to the console."""

    addresses: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.fixture
def page(browser: Browser, served: Served, watched: Watched) -> Iterator[Page]:
    """The page as a person opens it; whatever a test does, it asks nobody else and has no fault in its scripts."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(1000 * WAIT_S)
    page.on("request", lambda request: watched.addresses.append(request.url))
    page.on("pageerror", lambda error: watched.faults.append(str(error)))
    page.on("console", lambda message: message.type == "error" and watched.faults.append(message.text))
    page.goto(served.page)
    page.wait_for_selector("#method option:nth-child(2)", state="attached")
    yield page
    context.close()
    assert [one for one in watched.addresses if not one.startswith((f"{served.url}/", "blob:"))] == []
    # What a refused request makes the browser write is expected where a test sends bad input.
    assert [one for one in watched.faults if "Failed to load resource" not in one] == []
