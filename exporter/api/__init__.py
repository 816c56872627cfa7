"""The Flashback API, asked and understood.

`client` is the one that knows HTTP, sign-in, limits and time, and knows no endpoint: requests go
out in one of its two `lanes`, for statistics and for the account. Each endpoint is a module beside
it, as `daily` is: its path, its parameters and how its answer is read. What goes wrong leaves as
the project's own errors.
"""
