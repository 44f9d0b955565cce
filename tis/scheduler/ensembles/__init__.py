"""Ensembles: models whose requests run through other models, one tensor's producer before its readers.

`graph` is what the configuration says, `tensors` what a tensor in flight is, `run` one request, `limits` how many of them may
be in a step, `scheduler` what the loop sees. Pure logic like the rest of the scheduler: no tensor is looked at or moved.
"""
