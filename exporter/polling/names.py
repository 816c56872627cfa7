"""Asks for names: what each endpoint adds to those that are known."""

from dataclasses import replace

from exporter.api.client import FlashbackClient
from exporter.api.llms import LLMS, llms
from exporter.api.profile import PROFILE, profile
from exporter.api.repositories import REPOSITORIES, repositories
from exporter.api.workspaces import WORKSPACES, workspaces
from exporter.statistics.account import Names, Repo, learned


async def _with_repositories(client: FlashbackClient, names: Names, deadline: float) -> Names:
    said = await repositories(client, deadline)
    repos = await learned(names.repos, said.repos, Repo.after)
    return replace(names, repos=repos, keys=await learned(names.keys, said.keys, _said_last))


async def _with_workspaces(client: FlashbackClient, names: Names, deadline: float) -> Names:
    said = await workspaces(client, deadline)
    return replace(names, workspaces=await learned(names.workspaces, said, _said_last))


async def _with_llms(client: FlashbackClient, names: Names, deadline: float) -> Names:
    said = await llms(client, deadline)
    return replace(names, llms=await learned(names.llms, said, _said_last))


async def _with_profile(client: FlashbackClient, names: Names, deadline: float) -> Names:
    return replace(names, profile=await profile(client, deadline))


def _said_last(name: str, before: str) -> str:
    return name or before


NAMES = {
    REPOSITORIES: _with_repositories,
    WORKSPACES: _with_workspaces,
    LLMS: _with_llms,
    PROFILE: _with_profile,
}
"""How each endpoint is asked: by a client, with the names known so far, before a deadline."""
