"""The dashboards as code: `python -m grafana` writes them as JSON for Grafana to load."""

import warnings

# Every Grafana loads the classic format from files; the SDK would rather have the next one.
warnings.filterwarnings("ignore", "Prefer using dashboardv2", DeprecationWarning)
