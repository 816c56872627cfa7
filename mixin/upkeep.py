"""What the exporter and its rules need to go on: state, configuration, account, valid records."""

from mixin import texts
from mixin.data import AGE
from mixin.exporter_alert import ACCOUNT, exporter_alert
from mixin.history import KEY_TOKENS
from mixin.policy import FOUND
from mixin.promql import GROUP, REPLICA, REPO_KEY, metric
from mixin.settings import Settings
from mixin.written import Alert

# An exporter whose target has a label `endpoint` shows its own as `exported_endpoint`.
_BUT_ENDPOINT = REPLICA.replace("endpoint, ", "")
_ENDPOINT = "{{ or $labels.exported_endpoint $labels.endpoint }}"
_INSTANCE = ("job", "instance")
_QUERY = ("job", "query")
_ONCE = f"max without ({REPLICA})"


def upkeep(settings: Settings) -> tuple[Alert, ...]:
    """Return the alerts on what goes on for a while without it, but not for good."""
    return (
        *_kept(settings),
        *_account(settings),
        *_records(settings),
        _rules(settings),
    )


def _kept(settings: Settings) -> tuple[Alert, ...]:
    state = metric(settings, "flashback_exporter_state_write_failures_total")
    reload = metric(settings, "flashback_exporter_config_last_reload_successful")
    return (
        exporter_alert(
            settings,
            "FlashbackStateNotWritten",
            f"increase({state}[1h]) > 0",
            "flashback-exporter {{ $labels.instance }} cannot write its state",
            "{{ $labels.instance }} could not write its state file in the last hour. It serves "
            "from memory; what happens while it is down would be lost at a restart.",
            variables=_INSTANCE,
        ),
        exporter_alert(
            settings,
            "FlashbackReloadFailed",
            f"{reload} == 0",
            "flashback-exporter {{ $labels.instance }} could not reload its configuration",
            "The last reload of {{ $labels.instance }} failed; it goes on with the configuration "
            "it had. At its next restart it will not start with a broken file.",
            variables=_INSTANCE,
        ),
    )


def _account(settings: Settings) -> tuple[Alert, ...]:
    up = metric(settings, "flashback_exporter_account_up")
    info = metric(settings, "flashback_account_info")
    return (
        exporter_alert(
            settings,
            "FlashbackAccountFailing",
            f"max without ({_BUT_ENDPOINT}) ({up}) == 0",
            f"No answer from {_ENDPOINT} of the Flashback API",
            f"Requests to {_ENDPOINT} fail, which has given a good answer before ({ACCOUNT}). "
            "Names, credits or policies stay as they were and then vanish. The statistics are "
            "not concerned.",
        ),
        exporter_alert(
            settings,
            "FlashbackAccountsMixed",
            f"count without (org_id) (max without ({REPLICA}, role) ({info})) > 1",
            f"{texts.ABOUT} Flashback organisations in one job",
            f"Exporters of {texts.ABOUT} organisations cannot be told apart ({ACCOUNT}): of two "
            "equal series only the larger counts. Give each its own target label, such as "
            "account.",
        ),
    )


def _records(settings: Settings) -> tuple[Alert, ...]:
    rejected = metric(settings, "flashback_exporter_rejected_records_total")
    folded = metric(settings, "flashback_exporter_folded_groups")
    return (
        exporter_alert(
            settings,
            "FlashbackRecordsRejected",
            f"{_ONCE} (increase({rejected}[1h])) > 0",
            "Records of query {{ $labels.query }} are left out: {{ $labels.reason }}",
            f"About {texts.ABOUT} records of query {{{{ $labels.query }}}} were left out in the "
            "last hour, counted "
            "anew at each poll, because they are not valid: {{ $labels.reason }}. The totals are "
            "too low by that.",
            variables=_QUERY,
        ),
        exporter_alert(
            settings,
            "FlashbackGroupsFolded",
            f"{_ONCE} ({folded}) > 0",
            "{{ $value | humanize }} groups of query {{ $labels.query }} are folded",
            "Query {{ $labels.query }} has more groups than its max_groups; "
            "{{ $value | humanize }} of them are added up in the group other. Totals stay exact, "
            "but not everything can be told apart.",
            variables=_QUERY,
        ),
    )


def _rules(settings: Settings) -> Alert:
    up = metric(settings, "flashback_up")
    violations, tokens_in, tokens_out = (
        f"group without ({REPLICA}, {', '.join(GROUP)}) "
        f"({metric(settings, f'flashback_ai_{counter}_total')})"
        for counter in ("policy_violations", "input_tokens", "output_tokens")
    )
    places = f"group without ({', '.join(REPO_KEY)})"
    ours = 'prometheus_rule_evaluation_failures_total{rule_group=~".+;flashback_.+"}'
    failures = f"increase({ours}[15m]) > 0"
    return exporter_alert(
        settings,
        "FlashbackRulesFailing",
        "\nor ".join(
            (
                f"{_ONCE} ({up}) unless {AGE}",
                f"{violations} unless {places} ({FOUND})",
                f"{tokens_in} and {tokens_out} unless {places} ({KEY_TOKENS})",
                failures,
            )
        ),
        "The rules for flashback-exporter fail or stay empty",
        "The exporter is scraped, but what its rules should record is missing, or their "
        "evaluation fails{{ with $labels.query }}; query "
        "{{ . }}{{ end }}{{ with $labels.rule_group }}; {{ . }}{{ end }}. Other alerts may be "
        "silent.",
        variables=_QUERY,
    )
