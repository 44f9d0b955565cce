"""Networks as large as those that people serve, with random weights, written in plain PyTorch."""
