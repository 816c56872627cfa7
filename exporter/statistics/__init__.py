"""The statistics themselves: raw records become validated ones, their sums become snapshots.

Others put raw records through `records.parse_record` into a `groups.Grouping`, read the frozen
`groups.Snapshot` that comes of it, and keep what is known of a query in a `state.QueryState`.
Nothing here knows HTTP or text.
"""
