"""What is published: snapshots become samples, samples become bytes, and a view swaps them at once.

Others change a `publication.Publication` and read its `View`. `telemetry` has the exporter's
metrics about itself, whose table is `own_metrics`. `samples` is where any other format than the
text of `exposition` begins.
"""
