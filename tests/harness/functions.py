"""A file of functions as a newcomer writes it, with something of every kind."""

from typing import Final

APP: Final = '''\
"""Functions for tests."""

import os
import threading

import numpy as np
import tis

ANY = tis.tensor("FP32", [-1])
ONE = tis.tensor("INT64", [1])
TEXT = tis.tensor("BYTES", [1])


@tis.model(inputs={"x": ANY, "factor": ANY}, outputs={"y": ANY})
def scale(x, factor=np.float32(2)):
    if (x == 13).any():
        raise ValueError("unlucky")
    return x * factor


@tis.model(inputs={"x": ANY}, outputs={"y": ANY, "rows": ONE}, batching=tis.batching(8, delay_us=300_000))
def batched(x):
    return {"y": x + 1, "rows": np.full((len(x), 1), len(x))}


@tis.model(inputs={"n": ONE}, outputs={"i": ONE})
def count(n):
    for i in range(int(n[0])):
        if i == 3:
            raise ValueError("three is too many")
        yield [i]


@tis.model(inputs={"name": TEXT}, outputs={"text": TEXT, "calls": ONE, "process": ONE}, instances=2)
class Greeter:
    def __init__(self):
        self.calls = 0

    def __call__(self, name):
        self.calls += 1
        return ["Hello, " + name[0].decode()], [self.calls], [os.getpid()]


@tis.model(inputs={"which": TEXT}, outputs={"y": ANY})
def wrong(which):
    return {
        b"dtype": np.ones(2, np.float64),
        b"shape": np.ones((2, 2), np.float32),
        b"missing": {},
        b"exit": np.ones(1, np.float32),
    }[which[0]]
'''
