"""`GET /repo`: the repositories with their workspaces, and the names of their API keys.

The answer holds the keys themselves too, which are secret: no field here takes them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from exporter.api.account_answers import Question, check_number, decoded, read_list
from exporter.api.client import FlashbackClient
from exporter.api.lenient import text
from exporter.statistics.account import Repo

REPOSITORIES = "/repo"

# Of one repository: more would take long to go through at once.
_MAX_KEYS = 2000


class _Key(msgspec.Struct, frozen=True):
    id: Any = None
    name: Any = None


_Keys = Annotated[list[msgspec.Raw], msgspec.Meta(max_length=_MAX_KEYS)]
_key = msgspec.json.Decoder(_Key, strict=False)


class _Repo(msgspec.Struct, frozen=True):
    id: Any = None
    name: Any = None
    workspace_id: Any = msgspec.field(default=None, name="workspaceId")
    keys: _Keys | None = msgspec.field(default=None, name="aiApiKeys")


@dataclass(frozen=True, slots=True)
class Repositories:
    """The repositories by ID, and the names of their API keys by the keys' IDs."""

    repos: Mapping[str, Repo]
    keys: Mapping[str, str]


async def repositories(client: FlashbackClient, deadline: float) -> Repositories:
    """Return the repositories that the account may see, before `deadline` (monotonic).

    Raises PollError.
    """
    repos: dict[str, Repo] = {}
    keys: dict[str, str] = {}

    def take(entry: _Repo) -> None:
        if repo_id := text(entry.id):
            repos[repo_id] = Repo(text(entry.name), text(entry.workspace_id))
        for raw in entry.keys or ():
            key = decoded(raw, _key)
            if key and (key_id := text(key.id)):
                keys[key_id] = text(key.name)
        check_number(len(keys))

    await read_list(client, Question(REPOSITORIES, "repos"), _Repo, take, deadline)
    return Repositories(repos, keys)
