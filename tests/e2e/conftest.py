"""Fixtures of the tests through NVIDIA's clients and raw sockets."""

from tests.harness.fixtures import face, new_server, plain_face, server

__all__ = ["face", "new_server", "plain_face", "server"]
