"""The same requests to the genuine Triton, whose answers are recorded here, and to this server, which has to match.

`cases/` holds the requests, one noun a file; `recorded/` the reference's answers to them; `differences.py` where this
server differs on purpose; `pending.py` what it does not do yet. `tools/conformance` records and compares.
"""
