"""What a token costs, as far as that is known: your own prices first, then those of the package.

Others make one `table.Prices` of a configuration, and ask it for the rows of the models that they
show. `built_in.json` is written by `make prices`; `clauses` says which names a model goes by.
"""
