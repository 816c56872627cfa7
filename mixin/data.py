"""How old each query's data is, and which exporters' increases count."""

from textwrap import indent

from mixin.promql import REPLICA, metric, once
from mixin.settings import Settings
from mixin.written import Group, Record

AGE = "query:flashback_data:age_seconds"
_AGE = "instance:flashback_data:age_seconds"
_STEADY = "instance:flashback_data:steady1h"


def data(settings: Settings) -> Group:
    """Return what other rules ask before they believe a number."""
    success = metric(settings, "flashback_exporter_last_success_timestamp_seconds")
    loaded = metric(settings, "flashback_exporter_config_last_reload_success_timestamp_seconds")
    interval = metric(settings, "flashback_exporter_poll_interval_seconds")
    age = "\n".join(
        (
            f"{success} > 0",
            f"or {success} + ignoring (query) group_left () {loaded}",
            f"or last_over_time({success}[1d]) > 0 unless ignoring (query) {loaded}",
        )
    )
    steady = "\n".join(
        (
            f"max_over_time({_AGE}[1h]) < bool 3 * {interval} and {_AGE} offset 1h",
            f"or 0 * {_AGE}",
        )
    )
    return Group(
        "flashback_data",
        (
            Record(
                _AGE,
                f"time() - (\n{indent(age, '  ')}\n)",
                "Seconds since a good poll, or since the configuration came; remembered for two "
                "hours.",
            ),
            Record(AGE, f"min without ({REPLICA}) ({_AGE})"),
            Record(
                _STEADY,
                steady,
                "1 where an exporter polled well for the whole last hour. One that comes back "
                "counts at once what it missed, so its increases are asked only where none was "
                "steady: another told them long ago.",
            ),
            Record(
                "instance:flashback_data:counted1h",
                f"{_STEADY} == ignoring ({REPLICA}) group_left () {once(_STEADY)}",
            ),
        ),
    )
