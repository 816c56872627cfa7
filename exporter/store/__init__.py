"""What outlives a poll's end: counters, marks and the last good data, with a state file or without.

`keeper.Keeper` is the way in. `schema` says what the file holds, `database` opens, locks and
writes it, and `rows` turns what is kept into rows and back.
"""
