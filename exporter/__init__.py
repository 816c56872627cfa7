"""Prometheus exporter for the daily AI statistics of the Flashback platform."""

__version__ = "0.1.0"
