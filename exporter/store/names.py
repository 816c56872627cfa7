"""The account's names in the state file: found again at the start, written when they change."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.errors import StateDamagedError
from exporter.statistics.account import Names, Profile, Repo
from exporter.steps import in_runs, in_steps, let_go, one_a_step
from exporter.store import schema
from exporter.store.database import Database

_PROFILE = "profile"
_Row = tuple[str, ...]


@dataclass
class _Rows:
    """The names of one account while they are read."""

    repos: dict[str, Repo] = field(default_factory=dict)
    workspaces: dict[str, str] = field(default_factory=dict)
    llms: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    profile: Profile | None = None

    def add(self, kind: str, named_id: str, name: str, workspace_id: str) -> None:
        """Take a row."""
        kinds = {"workspaces": self.workspaces, "llms": self.llms, "keys": self.keys}
        if kind == "repos":
            self.repos[named_id] = Repo(name, workspace_id)
        elif kind == _PROFILE:
            self.profile = Profile(named_id, name)
        else:
            kinds[kind][named_id] = name

    @property
    def names(self) -> Names:
        """All of them."""
        return Names(self.repos, self.workspaces, self.llms, self.keys, self.profile)


async def read_names(database: Database) -> Mapping[str, Names]:
    """Return the names by account. Raises StateDamagedError where a row makes no sense."""
    found: dict[str, _Rows] = {}
    async for some in database.read(schema.NAMES):
        async for source, *row in in_steps(some):
            if not all(isinstance(value, str) for value in row):
                raise StateDamagedError("a name of it is no text")
            try:
                found.setdefault(source, _Rows()).add(*row)
            except KeyError as error:
                raise StateDamagedError("a name of it has no known kind") from error
    return {source: rows.names for source, rows in found.items()}


async def write_names(database: Database, source: str, before: Names, after: Names) -> None:
    """Write what is new, and forget other accounts. Belongs in a transaction. Raises StateError."""
    changed, gone = await _difference(source, before, after)
    await database.write(schema.NO_OTHER_NAMES, [(source,)])
    async for run in one_a_step(in_runs(gone)):
        await database.write(schema.NO_NAME, run)
    async for run in one_a_step(in_runs(changed)):
        await database.write(schema.NAME, run)
    await let_go(changed)
    await let_go(gone)


async def _difference(source: str, before: Names, after: Names) -> tuple[list[_Row], list[_Row]]:
    """Return the rows that changed, and the places of those that are gone."""
    changed: list[_Row] = []
    gone: list[_Row] = []
    old, new = _by_kind(before), _by_kind(after)
    for kind, things in new.items():
        known = old[kind]
        if things is known:
            continue
        async for named_id, thing in in_steps(things.items()):
            if known.get(named_id) != thing:
                changed.append((source, kind, named_id, *_said(thing)))
        gone += [(source, kind, one) async for one in in_steps(known) if one not in things]
    return changed, gone


def _by_kind(names: Names) -> Mapping[str, Mapping[str, Any]]:
    profile = names.profile
    return {
        "repos": names.repos,
        "workspaces": names.workspaces,
        "llms": names.llms,
        "keys": names.keys,
        _PROFILE: {profile.org_id: profile.role} if profile else {},
    }


def _said(thing: Repo | str) -> tuple[str, str]:
    """Return a thing's name and the ID of its workspace."""
    return (thing.name, thing.workspace_id) if isinstance(thing, Repo) else (thing, "")
