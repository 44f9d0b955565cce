"""The scheduler process: queues, batches, instances and statistics.

Pure logic that takes `now` and returns decisions (`batcher`, `instances`, `model`, `statistics`), and one thin loop around
it (`loop`) that does the I/O. It never looks inside a tensor and never blocks on anything but its own poll.
"""
