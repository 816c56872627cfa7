"""The statistics themselves: raw records become validated ones, records become sums, sums become snapshots.

Knows neither HTTP nor text.
"""
