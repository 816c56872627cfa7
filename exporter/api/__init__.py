"""The Flashback API: one client that knows HTTP, sign-in, limits and time, and what its answers hold."""
