"""What is published: snapshots become samples, samples become bytes, and a view swaps them at once.

Others change a `publication.Publication` and read its `View`. A `status.Status` says how the
exporter is doing; `telemetry` renders the metrics about it, whose table is `own_metrics`. `samples`
is where any other format than the text of `exposition` begins.
"""
