"""Makes what is shipped beside the code from what it is a copy of: `make shipped`.

Nothing is written twice by hand: the version, the chart's rules and dashboards, the manifests for
those who use no Helm, and the list of files that a package installs. Tests keep all of it equal.
"""
