"""The benchmark behind the bars: ratios within one run here, see `python -m bench --help`."""
