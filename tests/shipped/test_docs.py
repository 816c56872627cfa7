"""The pages in `docs`: messages that they explain are the program's, and links lead somewhere."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from exporter import __version__
from exporter.errors import Reason

ROOT = Path(__file__).parents[2]
ERRORS = (ROOT / "docs/errors.md").read_text()
OWN = ERRORS.split("\n## In a container")[0]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
STATUSES = r"HTTP \d{3}"


@cache
def texts():
    """Return every text in the program, one a line."""
    nodes = (
        node
        for path in (ROOT / "exporter").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
    )
    constants = (node.value for node in nodes if isinstance(node, ast.Constant))
    return "\n".join(value for value in constants if isinstance(value, str))


def messages():
    """Return the messages that the page quotes."""
    rows = [
        line for line in OWN.splitlines() if line.startswith("| ") and not line.startswith("| m")
    ]
    cells = [row.split(" | ")[:-1] for row in rows]
    quoted = [text for cell in cells for text in re.findall(r"`([^`]+)`", cell[-1])]
    return [text for text in quoted if not re.match(STATUSES, text)]


@pytest.mark.parametrize("message", sorted(set(messages())))
def test_messages_are_the_programs(message):
    """What is fixed in a message that the page explains is what the program says."""
    said = texts()
    for part in re.split(r"[…;]", message):
        assert part.strip() in said


def test_every_reason_is_explained():
    """Each reason for a failed poll has a row."""
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| `", OWN, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"\w+", row)} == set(Reason)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page):
    """Files that a page links to are there, and so are the headings."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in link:
            continue
        name, _, heading = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if heading:
            text = re.sub(r"```.*?```", "", target.read_text(), flags=re.DOTALL)
            titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
            slugs = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
            assert heading in slugs, link


def test_the_changelog_ends_in_this_version():
    """The newest version in the changelog is the program's, once there is one."""
    versions = re.findall(r"^## \[(\d[^]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[:1] in ([], [__version__])
