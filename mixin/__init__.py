"""The Prometheus rules as code: `python -m mixin` writes them, by its settings or by yours."""
