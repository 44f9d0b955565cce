"""The benchmark: this server and the reference (genuine Triton 2.51), in turn, under the same load.

``tools/bench/run`` compares throughput and latency, ``tools/bench/startup`` measures cold start and idle memory;
docs/performance.md has the others.
"""
