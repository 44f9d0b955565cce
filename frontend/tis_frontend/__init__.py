"""HTTP and gRPC faces of the server: they translate, they never decide."""
