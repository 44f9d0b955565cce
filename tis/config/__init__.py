"""Model configuration: reading, completing, checking and showing a ModelConfig. Nothing here starts a process or a socket."""
