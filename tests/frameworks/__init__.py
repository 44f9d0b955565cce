"""Every backend through one contract, with a small real model each, against the real server."""
