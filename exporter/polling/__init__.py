"""Polls: when to ask, how often to try again, and what came of it.

`schedule` keeps the timers and hands each outcome to whoever publishes it; `poll` is one poll of
one query, in which every error ends; `account` asks about the account, on timers of its own;
`attempts` runs again what failed.
"""
