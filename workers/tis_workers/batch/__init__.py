"""What happens to tensors when requests become one execution, and its outputs their answers. Arrays only.

`gather` and `scatter` are the common way: whole rows, one request behind the other. `shaping` is for models whose config
asks for more: ragged inputs, batch inputs and outputs, padding. Which requests share a batch the scheduler decides.
"""
