"""The response cache: answers that models gave before, by what was asked (`tis.contracts.cache_key`).

`cached.py` stands in front of a model's scheduler, `caching.py` between that and a cache: `local.py` or `redis.py`, which
both follow `interface.py`. `lending.py` is the scheduler's own part of the pool, from which cached answers are lent.
"""
