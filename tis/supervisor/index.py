"""What the repository index tells of a model that could not be read."""

from tis.errors import Code, TisError


def reason_shown(error: TisError) -> str:
    """What the index says of a model that could not be read: nothing, as in Triton, whose log has the reason.

    A config that Triton would serve and this server does not is another matter: there the client is told.
    """
    return f"{error.code.spoken}: {error.message}" if error.code is Code.UNSUPPORTED else ""
