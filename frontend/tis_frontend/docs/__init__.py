"""The server's description of itself: an OpenAPI document, and a page on which a newcomer can try a model."""
