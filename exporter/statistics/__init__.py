"""The statistics themselves: raw records become validated ones, their sums become snapshots.

Others put records into a `groups.Grouping`: together where they are `rows.Row`s, as most are, else
one by one through `records.parse_record`. They read the frozen `groups.Snapshot` that comes of it,
and keep what is known of a query in a `state.QueryState`.
Nothing here knows HTTP or text.
"""
