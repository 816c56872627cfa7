"""What is known about the account, and how its endpoints fare: values that follow one another."""

from exporter.statistics.account import (
    MAX_KNOWN,
    AccountState,
    EndpointState,
    Names,
    Reading,
    Repo,
    learned,
)

NAMES = Names(
    repos={"r1": Repo("Shop", "w1"), "r2": Repo("", "w2")},
    workspaces={"w1": "Web"},
    llms={"l1": "Big"},
    keys={"k1": "live", "k2": ""},
)


def test_a_known_id_has_its_name():
    """A repository comes with its workspace, as far as that is known."""
    assert NAMES.repo("r1") == ("Shop", "w1", "Web")
    assert NAMES.repo("r2") == ("r2", "w2", "")
    assert (NAMES.llm("l1"), NAMES.key("k1")) == ("Big", "live")


def test_an_unknown_id_is_its_own_name():
    """Where no name is known the ID stands for it: `other` and nothing too."""
    for unknown in ("x", "other", ""):
        assert NAMES.repo(unknown) == (unknown, "", "")
        assert (NAMES.llm(unknown), NAMES.key(unknown)) == (unknown, unknown)
    assert NAMES.key("k2") == "k2"


async def test_names_stay_until_the_api_says_another():
    """What is renamed has its new name, what is gone or comes without a name keeps its old one."""
    known = {"a": "A", "b": "B", "c": "C"}
    said = {"b": "B2", "c": "", "d": "D"}
    after = await learned(known, said, lambda new, old: new or old)
    assert after == {"a": "A", "b": "B2", "c": "C", "d": "D"}
    assert known == {"a": "A", "b": "B", "c": "C"}


async def test_a_repository_without_a_name_keeps_what_is_known():
    """A repository moves to another workspace with the name that it has."""
    after = await learned({"r": Repo("Shop", "w1")}, {"r": Repo("", "w2")}, Repo.after)
    assert after == {"r": Repo("Shop", "w2")}


async def test_names_that_were_not_said_for_longest_go_first():
    """There is a bound for how many names are kept."""
    known = {f"old{number}": "x" for number in range(MAX_KNOWN)}
    after = await learned(known, {"old0": "y", "new": "z"}, lambda new, old: new or old)
    assert len(after) == MAX_KNOWN
    assert "old1" not in after
    assert (after["old0"], after["new"]) == ("y", "z")


def test_an_endpoint_that_was_never_good_and_is_refused_is_not_offered():
    """It is neither up nor down, and due again on the next day."""
    state = EndpointState().after_refusal("HTTP 404", today=10)
    assert (state.up, state.offered, state.message) == (None, False, "HTTP 404")
    assert [state.is_due(day) for day in (9, 10, 11)] == [True, False, True]


def test_an_endpoint_that_was_good_is_down_when_it_is_refused():
    """Once it has been there, a refusal is a failure like others."""
    state = EndpointState().after_good().after_refusal("HTTP 403", today=10)
    assert (state.up, state.offered) == (False, True)
    assert state.is_due(10)


def test_a_failure_is_down_whatever_came_before():
    """A failure says nothing about what is offered: it is asked again as ever."""
    for before in (EndpointState(), EndpointState().after_refusal("", 10)):
        state = before.after_failure("HTTP 500")
        assert (state.up, state.offered, state.ever_good) == (False, True, False)
    assert state.after_refusal("HTTP 404", 10).up is None
    assert EndpointState().after_good().after_failure("x").after_good().up


def test_up_tells_of_endpoints_that_were_heard():
    """An endpoint without an answer, or not offered, has no value."""
    state = AccountState()
    assert state.up == {}
    state = state.after("/repo", EndpointState().after_good())
    state = state.after("/workspace", EndpointState().after_failure(""))
    state = state.after("/ai/llm", EndpointState().after_refusal("", 10))
    assert state.up == {"/repo": True, "/workspace": False}
    assert state.endpoint("/credits/balance") == EndpointState()


def test_a_reading_goes_when_it_is_too_old():
    """What was read is shown until its time is over."""
    reading = Reading(5, good_until=100)
    assert (reading.at(100), reading.at(100.1)) == (5, None)
