"""What outlives a poll's end: counters, marks and the last good data, with a state file or without.

`keeper.Keeper` is the way in. `state_file` finds the file again and writes what polls changed.
`schema` says what it holds, `copy` turns what is kept into rows, `reading` turns rows back, `names`
does both for the account's names, and `database` opens, locks, reads and writes.
"""
