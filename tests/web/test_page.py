"""The page for people, as HTML and in a real browser."""

import asyncio
import re
import shutil
import zlib
from contextlib import asynccontextmanager
from html.parser import HTMLParser

import pytest
from chromium import Chromium
from clocks import HandClock
from loopback import configuration, polled, running, served
from starlette.responses import JSONResponse

from exporter import __version__
from exporter.api.daily import DAILY
from exporter.demo.company import Company
from exporter.demo.simulator import Simulator
from exporter.errors import ConfigError, Problem

HOSTILE_FILTER = '"><script>document.title="broken into"</script>'
HOSTILE_MESSAGE = "<img src=https://example.invalid/x.png onerror=alert(1)> & 'that' was \"all\""
REFUSED = {
    "name": "broken",
    "filters": {"repo_id": [HOSTILE_FILTER], "llm_model": ["<b>&amp;", "it's"]},
}
QUERIES = [
    {
        "name": "production",
        "interval": "2m",
        "filters": {"llm_type": ["openai", "aws"]},
        "labels": ["repo_id"],
    },
    REFUSED,
    {"name": "default", "max_groups": 20},
]


@pytest.fixture
def clock():
    """Return a clock that moves by hand alone, also for those who sleep."""
    return HandClock()


def refusing(app):
    """Answer a query that filters by repository with 400 and a message that nobody should trust;
    pass on the rest.
    """

    async def answer(scope, receive, send):
        refused = (
            scope["type"] == "http"
            and scope["path"] == DAILY
            and b"repoId=" in scope["query_string"]
        )
        content = {"success": False, "error_code": "INVALID_FILTER", "message": HOSTILE_MESSAGE}
        await (JSONResponse(content, 400) if refused else app)(scope, receive, send)

    return answer


@asynccontextmanager
async def exporting(clock, queries=QUERIES, **options):
    """Run an exporter until its queries have been polled once."""
    async with (
        served(refusing(Simulator(Company(), clock).app)) as (_, url),
        running(configuration(url, queries=queries), clock, **options) as (exporter, client),
    ):
        await polled(client)
        await clock.asleep()
        yield exporter, client


class Reader(HTMLParser):
    """Reads a page: its tags, the text of its table's rows, and where it points to."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.rows, self.links, self.text = set(), [], [], ""
        self._style = False
        self.feed(html)
        self.rows = [[" ".join(cell.split()) for cell in row] for row in self.rows]

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.links += [
            value for name, value in attributes if name in ("href", "src", "action", "srcset")
        ]
        self._style = tag == "style"
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        elif self.rows and self.rows[-1]:
            self.rows[-1][-1] += " "

    def handle_data(self, data):
        if self._style:
            return
        self.text += data
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data

    def handle_endtag(self, tag):
        self._style = False


async def read(client):
    """Return the page, read."""
    return Reader((await client.get("/")).text)


def row_of(page, query):
    """Return the row of a query, as header to text."""
    (cells,) = [cells for cells in page.rows if cells[0] == query]
    return dict(zip(page.rows[0], cells, strict=True))


async def test_a_row_for_every_query(clock):
    """Each query's row has filters, state, age of data, next poll, records, groups and series."""
    async with exporting(clock) as (exporter, client):
        clock.elapsed += 90
        page = await read(client)
        series = exporter.status().series["production"]
        records = exporter.status().states["production"].good.snapshot.records
    production = row_of(page, "production")
    assert production["State"] == "up"
    assert production["Age of data"] == "1 min 30 s"
    assert re.fullmatch(r"in (2 min|1 min( \d+ s)?|\d+ s) every 2 min", production["Next poll"])
    assert production["Records"] == f"{records:,}"
    assert production["Series"] == f"{series:,}"
    assert "llm_type=openai, aws" in production["Filters and labels"]
    assert "repo_id" in production["Filters and labels"]
    assert "no filters" in row_of(page, "default")["Filters and labels"]
    assert "folded into “other”" in row_of(page, "default")["Groups"]
    broken = row_of(page, "broken")
    assert broken["State"] == "failing"
    assert broken["Age of data"] == "no data yet"
    assert broken["Series"] == "0"
    assert "1 of 3 queries failing" in page.text
    assert __version__ in page.text
    assert "bad_request" in page.text
    assert "1 of 1 polls failed" in page.text


async def test_the_page_before_the_first_poll(clock):
    """Before any poll has finished the page says what it waits for."""
    async with served(Simulator(Company(), clock).app) as (_, url):
        config = configuration(url, queries=QUERIES[:1])
        async with running(config, clock) as (_, client):
            page = await read(client)
    assert row_of(page, "production")["State"] == "waiting"
    assert row_of(page, "production")["Next poll"].startswith("polling now")
    assert "Waiting for the first poll of 1 query" in page.text


async def test_data_that_is_too_old_is_called_so(clock):
    """Once data is older than max_data_age the row says it is not served, and the query fails."""
    queries = [{**QUERIES[0], "counters": False}]
    async with exporting(clock, queries) as (_, client):
        clock.elapsed += 3601
        page = await read(client)
    production = row_of(page, "production")
    assert re.fullmatch(r"1 h( 0 min)? too old, not served", production["Age of data"])
    assert production["State"] == "failing"
    assert production["Series"] == "0"


async def test_hostile_text_stays_text(clock):
    """Configured filters and messages of the API appear letter by letter, whatever they hold."""
    async with exporting(clock) as (_, client):
        response = await client.get("/")
    page = Reader(response.text)
    assert HOSTILE_FILTER in page.text
    assert HOSTILE_MESSAGE in page.text
    assert "<b>&amp;, it's" in page.text
    assert not {"script", "img"} & page.tags
    assert "default-src 'none'" in response.headers["content-security-policy"]


async def test_nothing_from_outside(clock):
    """The page loads no resource and points nowhere but to the exporter's own pages."""
    async with exporting(clock, telemetry_path="/telemetry") as (_, client):
        html = (await client.get("/")).text
        page = Reader(html)
        statuses = {path: (await client.get(path)).status_code for path in page.links}
    assert set(page.links) == {"/telemetry", "/-/healthy", "/-/ready"}
    assert set(statuses.values()) == {200}
    assert not {"link", "iframe", "object", "script", "img", "form"} & page.tags
    assert not re.search(
        r"url\(|@import|https?://", html.replace(HOSTILE_MESSAGE, "").partition("</style>")[0]
    )


async def test_the_notice_of_a_demo(clock):
    """What the operator of a demo has to know stands on top of the page, escaped."""
    async with exporting(clock, QUERIES[:1], notice="Made up <by> a simulator.") as (_, client):
        page = await read(client)
    assert "Made up <by> a simulator." in page.text


async def test_a_failed_reload_is_shown(clock):
    """After a reload that failed the page says that the configuration before is in use."""

    def load():
        raise ConfigError([Problem("file", "expected something else")])

    async with exporting(clock, QUERIES[:1], load=load, lifecycle=True) as (_, client):
        before = (await read(client)).text
        await client.post("/-/reload")
        after = (await read(client)).text
    assert "the last reload failed" not in before
    assert "the last reload failed" in after


# In a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Return a headless Chromium."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("needs Chromium: install the package `chromium`")
    with Chromium(path, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def brightness_of_corner(png):
    """Return the mean of red, green and blue of a PNG's first pixel, which no filter alters."""
    data, place = b"", 8
    while place < len(png):
        length, kind = int.from_bytes(png[place : place + 4], "big"), png[place + 4 : place + 8]
        if kind == b"IDAT":
            data += png[place + 8 : place + 8 + length]
        place += 12 + length
    return sum(zlib.decompressobj().decompress(data, 4)[1:4]) / 3


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 800)], ids=["desk", "phone"])
async def test_the_page_in_a_browser(clock, browser, tmp_path, width, height):
    """In light and dark, on a desk and on a phone: all is there,
    nothing is wider than the window or breaks in.
    """
    corners = {}
    async with exporting(clock) as (_, client):
        clock.elapsed += 90
        for scheme in ("light", "dark"):
            await asyncio.to_thread(browser.open, str(client.base_url), width, height, scheme)
            png = await asyncio.to_thread(browser.screenshot)
            (tmp_path / f"page-{width}-{scheme}.png").write_bytes(png)
            corners[scheme] = brightness_of_corner(png)
            text = browser.evaluate("document.body.innerText")
            assert all(query["name"] in text for query in QUERIES)
            assert HOSTILE_MESSAGE in text
            assert HOSTILE_FILTER in text
            assert "failing" in text
            assert browser.evaluate("document.documentElement.scrollWidth") <= width
            assert browser.evaluate("document.title").endswith("flashback-exporter")
            assert browser.requests == [str(client.base_url).rstrip("/") + "/"]
            assert browser.problems == []
    assert corners["light"] > 200
    assert corners["dark"] < 60


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 800)], ids=["desk", "phone"])
async def test_nothing_hides_beyond_the_edge(clock, browser, width, height):
    """The whole table, with the last error, can be read without scrolling sideways."""
    async with exporting(clock) as (_, client):
        await asyncio.to_thread(browser.open, str(client.base_url), width, height, "light")
        assert (
            browser.evaluate(
                "[...document.querySelectorAll('body *')]"
                ".filter(e => e.getBoundingClientRect().right > innerWidth + 1)"
                ".map(e => e.tagName + ' ' + e.textContent.slice(0, 30))"
            )
            == []
        )


async def test_text_has_enough_contrast(clock, browser):
    """Every text stands out from its ground by 4.5 to 1, as WCAG AA asks, in light and dark."""
    script = """(() => {
      const parts = c => c.match(/[\\d.]+/g).map(Number);
      const light = c => { const [r, g, b] = parts(c).map(v => v / 255).map(
        v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
        return .2126 * r + .7152 * g + .0722 * b; };
      const ground = e => { for (; e; e = e.parentElement) {
        const c = getComputedStyle(e).backgroundColor;
        if ((parts(c)[3] ?? 1) > 0) return c; } return 'rgb(255, 255, 255)'; };
      return [...document.querySelectorAll('body *')].filter(
        e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())).map(e => {
          const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
          return [e.textContent.slice(0, 40), (a + .05) / (b + .05)];
        }).filter(([, ratio]) => ratio < 4.5);
    })()"""
    async with exporting(clock, notice="Made up.") as (_, client):
        for scheme in ("light", "dark"):
            await asyncio.to_thread(browser.open, str(client.base_url), 1280, 800, scheme)
            assert browser.evaluate(script) == []
