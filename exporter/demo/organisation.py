"""The made-up company's account: what it has named, each with an ID as the API gives them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

_WORKSPACES = {
    "Customers": ("support-chat", "checkout", "search", "mobile-app"),
    "Platform": ("data-platform", "docs-assistant", "code-review", "sandbox"),
    "Back office": ("fraud-review", "hr-portal", "marketing", "legal-intake"),
}
_KEYS = ("production", "staging", "batch", "ci", "developer")
_RETIRED_KEY = "production 2025"
_POLICIES = (
    "Personal data in prompts",
    'Secrets & "passwords" in prompts',
    "Prompt injection",
    "Card numbers",
    "Toxic language",
    "Source code to outsiders",
    "Legal advice",
)
# type, model, host, usual input and output tokens of a call, usual latency in ms
MODELS = (
    ("openai", "gpt-4o", "api.openai.com", 1900, 420, 1350),
    ("openai", "gpt-4o-mini", "api.openai.com", 1200, 260, 620),
    ("anthropic", "claude-sonnet-4-5", "api.anthropic.com", 2600, 610, 1700),
    ("anthropic", "claude-haiku-4-5", "api.anthropic.com", 1100, 240, 540),
    ("google", "gemini-2.5-pro", "generativelanguage.googleapis.com", 2200, 480, 1500),
    ("google", "gemini-2.5-flash", "generativelanguage.googleapis.com", 900, 210, 430),
    ("aws", "amazon.nova-pro-v1", "bedrock-runtime.eu-central-1.amazonaws.com", 1500, 330, 980),
    # The company's own, so that it has no price.
    ("other", "llama-3.3-70b", "llm.example.internal", 1000, 300, 2100),
)
_MODELS_A_REPOSITORY = 6

Model = tuple[str, str, str, int, int, int]


@dataclass(frozen=True, slots=True)
class Named:
    """Something with an ID and a name."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository, the keys to it, and the LLMs that it uses, each with its model.

    The retired key was deleted, and its name is still told.
    """

    id: str
    name: str
    workspace: Named
    keys: Sequence[Named]
    retired_key: Named
    llms: Mapping[Named, Model]


class Organisation:
    """Everything that has an ID, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        """Give everything its ID."""
        rng = Random(f"{seed}/organisation")
        self.id = new_id(rng)
        self.workspaces = {name: Named(new_id(rng), name) for name in _WORKSPACES}
        self.repositories = tuple(
            _repository(rng, name, self.workspaces[workspace])
            for workspace, names in _WORKSPACES.items()
            for name in names
        )
        self.policies = tuple(Named(new_id(rng), name) for name in _POLICIES)


def new_id(rng: Random) -> str:
    """Return a UUID (version 4) that a generator of random numbers gives."""
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"


def _repository(rng: Random, name: str, workspace: Named) -> Repository:
    models = rng.sample(MODELS, _MODELS_A_REPOSITORY)
    return Repository(
        new_id(rng),
        name,
        workspace,
        keys=[Named(new_id(rng), key) for key in _KEYS],
        retired_key=Named(new_id(rng), _RETIRED_KEY),
        llms={Named(new_id(rng), f"{model[1]} for {name}"): model for model in models},
    )
