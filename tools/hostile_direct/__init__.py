"""Hostile direct clients: a live server under wild messages and dying clients; `python -m tools.hostile_direct` runs it."""
