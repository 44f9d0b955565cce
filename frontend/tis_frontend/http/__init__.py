"""The HTTP/REST face: KServe v2 with Triton's extensions."""
