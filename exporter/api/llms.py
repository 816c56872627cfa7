"""`GET /ai/llm`: the names of the LLM configurations. Documented for test environments only."""

from collections.abc import Mapping

from exporter.api.account_answers import Question, read_names
from exporter.api.client import FlashbackClient

LLMS = "/ai/llm"


async def llms(client: FlashbackClient, deadline: float) -> Mapping[str, str]:
    """Return the LLM configurations' names by ID, before `deadline` (monotonic).

    Raises PollError.
    """
    return await read_names(client, Question(LLMS, "aiLlms"), deadline)
