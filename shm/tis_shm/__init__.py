"""Bytes in shared memory: pool, slabs, blocks. Knows no model and no protocol."""
