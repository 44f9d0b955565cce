"""The sequence batcher: requests that belong together run one after another, in one slot of one instance.

`queue.py` knows all sequences, `slots.py` which slots are free; lanes (`direct.py`, `oldest.py`) form instances' batches.
"""
