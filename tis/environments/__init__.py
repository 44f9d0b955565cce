"""Python environments of models: which interpreter runs a model, and how that is made ready. Starts no worker."""
