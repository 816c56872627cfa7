"""A month of made-up history in a Prometheus, as if it had scraped the exporter all the time.

The exporter's own code turns the simulator's company into series, poll by poll; a Prometheus takes
them by remote write. That is six times as fast as blocks made of OpenMetrics text, and it knows
staleness markers.

To look at dashboards, `make history FOLDER=…` makes a data directory and says how to serve it.
"""
