"""What the API says about the end of an endpoint, and how plainly the exporter hands it on."""

import pytest
from servers import answer, connected, failure, fake_api, fetch, poll, surroundings

from exporter.api.daily import DAILY
from exporter.api.notices import Notice, notice

DATE = "Sat, 31 Dec 2033 23:59:59 GMT"


@pytest.fixture(autouse=True)
def logged():
    """Return a function that returns what was logged so far, at any level."""
    with surroundings() as lines:
        yield lines


@pytest.mark.parametrize(
    ("deprecation", "sunset", "words"),
    [
        ("@1688169599", "", "is deprecated since 2023-06-30"),
        ("true", "", "is deprecated"),
        ("Sun, 11 Nov 2018 23:59:59 GMT", DATE, "is deprecated since 2018-11-11 and ends on 2033"),
        ("", DATE, "is deprecated and ends on 2033-12-31"),
        ("@" + "9" * 3000, "", "is deprecated"),
        ("\xff\t{", "tomorrow", "is deprecated"),
        ("@999999999999", "", "is deprecated since 33658-09-27"),
    ],
)
def test_headers_are_read(deprecation, sunset, words):
    """Both headers are understood in every form that was ever specified, and harmless in others."""
    said = str(notice(deprecation, sunset))
    assert said.startswith(words)
    assert len(said) < 60


@pytest.mark.parametrize("deprecation", ["", " ", "false", "?0"])
def test_no_header_is_no_notice(deprecation):
    """Nothing is said where the headers are missing, or say no."""
    assert notice(deprecation, "") is None


async def test_a_notice_is_logged_once_until_it_changes(clock, logged):
    """A warning comes with the first answer, with a changed one, and when it is taken back."""
    first = {"Deprecation": "@1688169599"}
    second = {**first, "Sunset": DATE}
    api = fake_api(
        *[answer(headers=first)] * 3,
        answer(500),  # a gateway's, without headers
        *[answer(headers=second)] * 2,
        answer(),
    )
    async with connected(api, clock) as client:
        for _ in range(3):
            await fetch(client, clock)
        assert client.notices.about(DAILY) == Notice(1688169599)
        assert logged().count("level=warning") == 1
        await failure(client, clock)
        assert client.notices.about(DAILY) == Notice(1688169599)
        for _ in range(2):
            await fetch(client, clock)
        assert logged().count("level=warning") == 2
        await fetch(client, clock)
        assert client.notices.about(DAILY) is None
    assert "is deprecated since 2023-06-30 and ends on 2033-12-31" in logged()
    assert "no longer about to drop" in logged()


async def test_the_next_client_knows_what_was_said(clock, logged):
    """A reload does not bring the same warning again."""
    deprecated = answer(headers={"Deprecation": "true"})
    async with (
        connected(fake_api(deprecated), clock) as old,
        connected(fake_api(deprecated), clock) as new,
    ):
        await fetch(old, clock)
        new.take_over(old)
        await fetch(new, clock)
    assert logged().count("level=warning") == 1


@pytest.mark.parametrize("status", [404, 410])
async def test_statistics_that_are_gone_are_said_to_be(clock, status):
    """A 404 or 410 says in words that the endpoint may be gone for good."""
    async with connected(fake_api(answer(status, {"message": "nothing here"})), clock) as client:
        outcome = await poll(client, clock)
    assert f"HTTP {status} nothing here; " in outcome.message
    assert "the API has no /aistats/daily any more" in outcome.message
