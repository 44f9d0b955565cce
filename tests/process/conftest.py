"""Fixtures of the tests in which processes fail to start, die, or stop. Each test has a server of its own."""

from tests.harness.fixtures import new_server

__all__ = ["new_server"]
