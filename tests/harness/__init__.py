"""What tests against the real server stand on: the server itself, its models, its clients. Holds no test."""
