"""Worker processes: one per model instance, and the backends they run."""
