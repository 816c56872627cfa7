"""All rules in their order, and the files that hold them."""

from mixin.account import account
from mixin.data import data
from mixin.health import health
from mixin.history import days, hours
from mixin.messages import messages
from mixin.policy import policy
from mixin.settings import Settings
from mixin.usage import usage
from mixin.written import group

HEAD = """\
# Rules for flashback-exporter, written by `make rules`: thresholds, addresses, selectors and
# severities are settings in mixin/settings.yml. What each alert means: docs/runbook.md. Increases
# are taken before `max`, which counts once what several exporters of one account report; labels of
# targets that `without` does not name live on.

groups:
"""
MESSAGES_HEAD = """\
# For the Prometheus that scrapes the Alertmanager beside it, as compose.yaml does; written by
# `make rules`.

groups:
"""


def files(settings: Settings) -> dict[str, str]:
    """Return the files that hold the rules, by name."""
    groups = (data, hours, days, policy, usage, account, health)
    rules = "\n".join(group(settings, make(settings)) for make in groups)
    return {
        "flashback.rules.yml": HEAD + rules,
        "messages.rules.yml": MESSAGES_HEAD + group(settings, messages(settings)),
    }
