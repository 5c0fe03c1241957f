"""docs is an mdBook: it builds, has a page for every cause, and no link in it is broken."""

import html.parser
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from pullprobe_testing.binaries import ROOT


class Page(html.parser.HTMLParser):
    """The links of a page, and the places that a link can name."""

    def __init__(self, text):
        super().__init__()
        self.links, self.places = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.places.update({attributes[name] for name in ("id", "name") if attributes.get(name)})
        self.links += [attributes[name] for name in ("href", "src") if attributes.get(name)]


@pytest.fixture(scope="module")
def book(tool, tmp_path_factory):
    out = tmp_path_factory.mktemp("book")
    done = tool("mdbook", "build", "docs", "--dest-dir", out)
    assert done.returncode == 0, done
    for line in done.stderr.splitlines():
        assert " WARN " not in line and " ERROR " not in line, done.stderr
    return out


@pytest.fixture(scope="module")
def pages(book):
    """Every page but the one that joins them all, whose links are those of the others."""
    files = [file for file in book.rglob("*.html") if file.name not in ("print.html", "404.html")]
    return {file: Page(file.read_text()) for file in files}


def broken(pages, book):
    for file, page in pages.items():
        for link in page.links:
            address = urlsplit(link)
            if address.scheme or address.netloc:
                continue
            target = file
            if address.path:
                target = Path(*file.parent.parts, unquote(address.path)).resolve()
            if not target.is_file() or not target.is_relative_to(book):
                yield f"{file.relative_to(book)}: {link}"
                continue
            place = unquote(address.fragment)
            if place and target in pages and place not in pages[target].places:
                yield f"{file.relative_to(book)}: {link}"


def test_no_link_is_broken(pages, book):
    assert sum(len(page.links) for page in pages.values()) > 1000
    assert list(broken(pages, book)) == []


def test_broken_links_are_found(pages, book):
    page = Page('<a href="absent.html">, <a href="plan.html#absent">, <a href="plan.html">')

    found = list(broken({**pages, book / "new.html": page}, book))

    assert found == ["new.html: absent.html", "new.html: plan.html#absent"]


def test_every_cause_has_its_page(pages, book):
    codes = {file.stem for file in (ROOT / "src/cause/pages").glob("*.md")}

    assert {file.stem for file in pages if file.parent == book / "causes"} == codes
    assert len(codes) >= 70


def test_links_to_files_lead_to_the_repository(pages, book):
    repository = re.search(r'^repository = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    prefix = f"{repository}/blob/main/"
    files = {
        link.removeprefix(prefix).split("#")[0]
        for page in pages.values()
        for link in page.links
        if link.startswith(prefix)
    }

    assert "CONTRIBUTING.md" in files
    assert [file for file in files if not (ROOT / file).exists()] == []
