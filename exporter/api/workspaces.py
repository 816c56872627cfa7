"""`GET /workspace`: the names of the workspaces."""

from collections.abc import Mapping

from exporter.api.account_answers import Question, read_names
from exporter.api.client import FlashbackClient

WORKSPACES = "/workspace"


async def workspaces(client: FlashbackClient, deadline: float) -> Mapping[str, str]:
    """Return the workspaces' names by ID, before `deadline` (monotonic). Raises PollError."""
    return await read_names(client, Question(WORKSPACES, "workspaces"), deadline)
