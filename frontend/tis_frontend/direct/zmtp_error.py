"""What ends a direct client's connection."""


class ZmtpError(Exception):
    """The peer does not speak the protocol, or goes beyond its limits: the connection is to be closed."""
