"""The simulator's answers about the account: names, credits, policies."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from exporter.api.credits import BALANCE
from exporter.api.llms import LLMS
from exporter.api.policies import POLICIES
from exporter.api.profile import PROFILE
from exporter.api.repositories import REPOSITORIES
from exporter.api.workspaces import WORKSPACES
from exporter.clock import SECONDS_A_DAY, Clock, iso_instant
from exporter.demo.billing import Billing
from exporter.demo.company import Company
from exporter.demo.governance import last_24h
from exporter.demo.organisation import Named, Organisation, Repository

_OWNER = 0xFF
_CREATED = "2026-01-02T09:30:00.000Z"
_RETIRED = "2026-01-31T16:00:00.000Z"

Parameters = Mapping[str, str]
Answer = Callable[[Parameters], Awaitable[dict[str, Any]]]


class AccountAnswers:
    """What the API answers about the account of a company: `by_endpoint`, a function for each."""

    def __init__(self, company: Company, clock: Clock, email: str) -> None:
        """Prepare to answer, for a user with an e-mail address."""
        self._company = company
        self._organisation = company.organisation
        self._billing = Billing(company)
        self._clock = clock
        self._email = email
        self.by_endpoint: Mapping[str, Answer] = {
            REPOSITORIES: self._repositories,
            WORKSPACES: self._workspaces,
            LLMS: self._llms,
            PROFILE: self._profile,
            BALANCE: self._balance,
            POLICIES: self._policies,
        }

    async def _repositories(self, _: Parameters) -> dict[str, Any]:
        return {"success": True, "repos": list(map(_repo, self._organisation.repositories))}

    async def _workspaces(self, _: Parameters) -> dict[str, Any]:
        workspaces = [
            {"id": workspace.id, "name": workspace.name, "orgId": self._organisation.id}
            for workspace in self._organisation.workspaces.values()
        ]
        return {"success": True, "workspaces": workspaces}

    async def _llms(self, _: Parameters) -> dict[str, Any]:
        return {"success": True, "aiLlms": _llms(self._organisation)}

    async def _profile(self, _: Parameters) -> dict[str, Any]:
        data = {
            "id": "demo",
            "email": self._email,
            "orgId": self._organisation.id,
            "orgRole": _OWNER,
            "orgRoleDescription": "Owner",
            "mfaRequired": False,
        }
        return {"success": True, "data": data}

    async def _balance(self, _: Parameters) -> dict[str, Any]:
        return {"success": True, "data": await self._billing.balance(self._clock.time())}

    async def _policies(self, parameters: Parameters) -> dict[str, Any]:
        """Return a page of the policies that found something in the last 24 hours."""
        now = self._clock.time()
        found = last_24h(self._company, now)
        entities = [
            {"entityId": policy.id, "entityName": policy.name, "totals": totals}
            for number, policy in enumerate(self._organisation.policies)
            if (totals := found.of(number))["violations"]
        ]
        first = int(parameters.get("offset", 0))
        page = entities[first : first + int(parameters.get("limit", 100))]
        meta = {
            "scope": "org",
            "window": "24h",
            "from": iso_instant(now - SECONDS_A_DAY),
            "to": iso_instant(now),
        }
        return {"success": True, "meta": meta, "entities": page, "totalEntities": len(entities)}


def _repo(repository: Repository) -> dict[str, Any]:
    keys = [_key(repository, key, None) for key in repository.keys]
    return {
        "id": repository.id,
        "name": repository.name,
        "workspaceId": repository.workspace.id,
        "disabled": False,
        "aiApiKeys": [*keys, _key(repository, repository.retired_key, _RETIRED)],
    }


def _key(repository: Repository, key: Named, deleted_at: str | None) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "repoId": repository.id,
        "key": f"made-up-key-{key.id}",
        "aiType": "OPENAI",
        "createdAt": _CREATED,
        "deletedAt": deleted_at,
    }


def _llms(organisation: Organisation) -> Sequence[dict[str, Any]]:
    return [
        {
            "id": llm.id,
            "name": llm.name,
            "aiType": model[0].upper(),
            "endpoint": f"https://{model[2]}",
            "workspaceId": repository.workspace.id,
            "key": f"made-up-key-{llm.id}",
        }
        for repository in organisation.repositories
        for llm, model in repository.llms.items()
    ]
