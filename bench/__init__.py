"""The benchmark behind the bars: ratios within one run on this machine, see `python -m bench --help`."""
