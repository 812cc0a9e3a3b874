"""The files of the page: all there, of the right kind, nothing else, and no address outside this machine."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="NOT TESTED: pip install qupath-her2[serve]")

from fastapi import FastAPI
from fastapi.testclient import TestClient

from qupath_her2.server.page_files import page_router
from qupath_her2.server.problems import answer_problems

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "qupath_her2" / "server" / "page"
OURS = [path for path in sorted(PAGE.iterdir()) if not path.name.startswith("openseadragon")]


@pytest.fixture(scope="module")
def client() -> TestClient:
    app = FastAPI()
    answer_problems(app)
    app.include_router(page_router())
    return TestClient(app)


class Links(HTMLParser):
    """Addresses that a page loads, and the ids and references of its elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.inline: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.loaded += [given[name] for name in ("src", "href") if not given.get(name, "#").startswith("#")]
        self.ids += [given["id"]] if "id" in given else []
        for name in ("for", "aria-labelledby", "aria-describedby", "aria-controls"):
            self.references += given.get(name, "").split()
        self.inline += [name for name in given if name == "style" or name.startswith("on")]


def test_the_page_loads_what_the_service_has_and_nothing_else(client: TestClient) -> None:
    page = Links(client.get("/").text)
    assert page.loaded
    for address in page.loaded:
        assert client.get(address).status_code == 200, address
    # The content security policy of the service forbids both.
    assert page.inline == []


def test_labels_refer_to_elements_of_the_page(client: TestClient) -> None:
    page = Links(client.get("/").text)
    assert len(set(page.ids)) == len(page.ids)
    assert sorted(set(page.references) - set(page.ids)) == []


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_no_file_of_ours_names_another_address(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert re.findall(r"(?:https?:)?//[a-z][\w.-]+\.[a-z]{2,}", text) == []


@pytest.mark.parametrize("path", [p for p in OURS if p.suffix == ".js"], ids=lambda path: path.name)
def test_modules_import_what_there_is(path: Path) -> None:
    for names, module in re.findall(r'import \{([^}]*)\} from "\./(\w+\.js)"', path.read_text("utf-8")):
        source = (PAGE / module).read_text("utf-8")
        for name in (one.strip() for one in names.split(",")):
            assert re.search(rf"export (?:async )?(?:function|const|class) {name}\b", source), (module, name)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("main.js", "text/javascript"),
        ("openseadragon.min.js", "text/javascript"),
        ("style.css", "text/css"),
        ("icon.svg", "image/svg+xml"),
        ("openseadragon.LICENSE.txt", "text/plain"),
    ],
)
def test_files_are_sent_as_what_they_are(client: TestClient, name: str, kind: str) -> None:
    answer = client.get(f"/static/{name}")
    assert answer.headers["content-type"].split(";")[0] == kind
    assert answer.content == (PAGE / name).read_bytes()


@pytest.mark.parametrize("name", ["..%2Fpage_files.py", "page_files.py", "nothing.js", "%2Fetc%2Fpasswd"])
def test_nothing_else_can_be_asked_for(client: TestClient, name: str) -> None:
    assert client.get(f"/static/{name}").status_code == 404


def test_research_use_only_stands_on_the_page_itself() -> None:
    assert "Research use only." in (PAGE / "index.html").read_text("utf-8")
