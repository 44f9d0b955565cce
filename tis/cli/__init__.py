"""The command line: the only part of the server that reads flags and prints."""
