"""The face of direct clients: ZeroMQ and MessagePack, tensors in shared memory. docs/zeromq.md is what they are told."""
