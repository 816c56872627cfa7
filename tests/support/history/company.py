"""The made-up company in any size, with names that change."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from exporter.demo.company import Company, Stream, _streams
from exporter.demo.organisation import Organisation, Repository, _repository
from exporter.statistics.account import Names, Profile, Repo

RENAMED = 12 * 86_400  # seconds before the end
_LONG_NAME = "customer-onboarding-and-identity-verification-assistant"


@dataclass(frozen=True)
class Size:
    """How much of the company there is (repositories, keys and models of each), in which detail."""

    repositories: int
    keys: int
    models: int
    polls_every: int
    """Before the last two days, every so many polls find something new."""
    scrapes_every: int
    """Before the last two days, every so many scrapes bring something new."""
    rules_every: int
    """Before the last seven hours, rules are evaluated at every so many scrapes."""


SIZES = {
    "small": Size(2, 2, 3, polls_every=12, scrapes_every=2, rules_every=8),
    "1": Size(1, 2, 4, polls_every=4, scrapes_every=1, rules_every=2),
    "20": Size(20, 2, 4, polls_every=6, scrapes_every=1, rules_every=2),
    "500": Size(500, 1, 2, polls_every=36, scrapes_every=1, rules_every=8),
}


class SizedCompany(Company):
    """The made-up company with so many repositories, keys and models."""

    def __init__(self, size: Size, seed: int = 1) -> None:
        super().__init__(seed)
        organisation = Organisation(seed)
        organisation.repositories = tuple(_repositories(organisation, size, seed))
        self.organisation = organisation
        streams = _streams(Random(f"{seed}"), organisation)
        users = None if size.repositories < 100 else 1
        self._streams = tuple(_of_few_users(streams, users))

    def names(self, before_end: float) -> Names:
        """Return the names so many seconds before the end: one repository has got another since."""
        every = self.organisation.repositories
        old = {every[0].id: f"{every[0].name}-beta"} if before_end > RENAMED else {}
        return Names(
            repos={one.id: Repo(old.get(one.id, one.name), one.workspace.id) for one in every},
            workspaces={one.id: one.name for one in self.organisation.workspaces.values()},
            llms={llm.id: llm.name for one in every for llm in one.llms},
            keys={key.id: key.name for one in every for key in one.keys},
            profile=Profile(self.organisation.id, "owner"),
        )


def _repositories(organisation: Organisation, size: Size, seed: int) -> Iterator[Repository]:
    rng = Random(f"{seed}/more repositories")
    known: Sequence[Repository] = organisation.repositories
    for number in range(size.repositories):
        one = known[number % len(known)]
        if number >= len(known):
            name = _LONG_NAME if number == len(known) else f"{one.name}-{number // len(known)}"
            one = _repository(rng, name, one.workspace)
        llms = dict(list(one.llms.items())[: size.models])
        yield replace(one, keys=one.keys[: size.keys], llms=llms)


def _of_few_users(streams: Iterator[Stream], users: int | None) -> Iterator[Stream]:
    seen: dict[tuple[str, ...], int] = {}
    for stream in streams:
        group = tuple(stream.dimensions[name] for name in ("repoAiApiKeyId", "aiLlmId"))
        seen[group] = seen.get(group, 0) + 1
        if users is None or seen[group] <= users:
            yield stream
