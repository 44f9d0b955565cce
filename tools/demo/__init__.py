"""What `tools/run` does: serve the example models, ask them as a client would, leave the server to whoever started it."""
