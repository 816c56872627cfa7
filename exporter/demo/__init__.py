"""The demo: a made-up company, a simulator of the API that reports its usage, and the command that runs both."""
