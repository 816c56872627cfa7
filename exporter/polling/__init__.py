"""Polls: when to ask, how often to try again, and what came of it."""
