"""The supervisor: the process of `tis serve`.

Owns the pool, starts and restarts every other process, knows which model versions should run and which do. Touches no
tensor and no request, and imports no gRPC, no web framework, no ML framework.
"""
