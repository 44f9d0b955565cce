"""HTTP/2 as a state machine without sockets, for the gRPC transport. Knows nothing of gRPC."""
