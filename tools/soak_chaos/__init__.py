"""The chaos run, `tools/chaos`. `run.py` tells what it shows, `plan.py` what goes wrong."""
