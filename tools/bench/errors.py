"""What stops a benchmark. The scripts print the text and exit; nothing else is expected to be raised."""


class BenchError(Exception):
    """The benchmark cannot go on: a tool is missing, a server does not start, a model is not there."""


class WrongAnswerError(BenchError):
    """The server answered, but not with what was sent to the identity model."""
