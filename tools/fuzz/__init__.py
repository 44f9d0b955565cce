"""The fuzzer: a live server under very many broken requests; `python -m tools.fuzz` runs it."""
