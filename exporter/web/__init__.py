"""The web server: finished bytes and a page for people, for any client, however slow."""
