"""What the processes agree on: datatypes, model specifications, messages, validation. No I/O, no framework."""
