"""Business logic scripting: a model that asks other models, and the server, from its own code.

Nothing here is loaded before a model does so.
"""
