"""Metrics over HTTP in Prometheus' text format: what the scheduler and the supervisor count, rendered."""
