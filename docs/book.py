"""A preprocessor of mdBook: adds the page of each cause, and makes links out of the book absolute.

Nothing is copied: the pages are read from src/cause/pages, where the binary has them, and the
repository's address is that of Cargo.toml.
"""

import json
import posixpath
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = "src/cause/pages"
LINK = re.compile(r"\]\(([^)\s#]+)((?:#[^)\s]*)?)\)")


def main():
    if sys.argv[1:2] == ["supports"]:
        return
    _, book = json.load(sys.stdin)
    repository = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["repository"]
    for chapter in chapters(book["items"]):
        if chapter["path"] == "causes.md":
            chapter["sub_items"] = cause_chapters(chapter)
        chapter["content"] = relink(chapter["content"], chapter["path"], repository)
    json.dump(book, sys.stdout)


def chapters(items):
    """Returns every chapter, also those below others."""
    for item in items:
        if "Chapter" in item and item["Chapter"]["path"]:
            yield item["Chapter"]
            yield from chapters(item["Chapter"]["sub_items"])


def cause_chapters(parent):
    """Returns a chapter for each cause, in the order of the table in `causes.md`."""
    codes = re.findall(rf"\]\(\.\./{PAGES}/([\w-]+)\.md\)", parent["content"])
    made = []
    for place, code in enumerate(codes, start=1):
        chapter = {
            "name": code,
            "content": (ROOT / PAGES / f"{code}.md").read_text(),
            "number": [*parent["number"], place],
            "sub_items": [],
            "path": f"causes/{code}.md",
            "source_path": None,
            "parent_names": [*parent["parent_names"], parent["name"]],
        }
        made.append({"Chapter": chapter})
    return made


def relink(text, path, repository):
    """Returns the text of a chapter with links that also work in the book."""
    folder = posixpath.dirname(f"docs/{path}")

    def link(match):
        target, anchor = match.groups()
        place = posixpath.normpath(posixpath.join(folder, target))
        if "://" in target or place.startswith("docs/"):
            return match[0]
        if place.startswith(f"{PAGES}/"):
            page = "docs/causes/" + posixpath.basename(place)
            return f"]({posixpath.relpath(page, folder)}{anchor})"
        return f"]({repository}/blob/main/{place}{anchor})"

    return LINK.sub(link, text)


if __name__ == "__main__":
    main()
