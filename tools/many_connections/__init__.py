"""Thousands of connections to one server."""
