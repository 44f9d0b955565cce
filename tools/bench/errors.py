"""What goes wrong in a benchmark. The scripts print the text and exit; nothing else is expected to be raised."""


class BenchError(Exception):
    """The benchmark cannot go on: a tool is missing, a server does not start, a model is not there."""


class RunError(BenchError):
    """One run is void: the server gave a wrong answer or none, or the load generator did not end. The others go on."""
