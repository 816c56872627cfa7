"""The demo: a made-up company, a simulator of the API that reports its usage, and `demo` itself.

It needs no account and no network. Tests ask the simulator too, and let it misbehave.
"""
