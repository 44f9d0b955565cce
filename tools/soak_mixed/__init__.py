"""A soak of everything at once: `python -m tools.soak_mixed`. See `run.py` for what it shows."""
