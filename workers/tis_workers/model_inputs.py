"""Inputs as models in Python may treat them: as their own, to write to and to keep, as in Triton, where they are copies.

Large ones are not copied. They lie in private mappings of the pool and of clients' regions, in which the kernel copies the
pages that a model writes to. When a batch is done, and before anybody hears of it who may use that memory for something
else, arrays that the model still holds are separated from it. A model that does either again and again is given copies,
which costs less then. Not here: tensors of strings and small ones, which are copied; what models in other languages read.
"""

import threading
import weakref
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tis.log import get_logger
from tis_shm.pool import Pool
from tis_shm.private import PrivateMap, pages
from tis_shm.region import RegionError
from tis_workers.regions import ClientRegions

#: Copying fewer bytes costs no more than asking whether they have been written to.
SMALLEST_LENT_BYTES: Final = 128 << 10
#: So often a model may write to inputs, or keep them.
MOST_OWNED: Final = 8

_log = get_logger(__name__)

Array = npt.NDArray[Any]


class _Lent(NamedTuple):
    """Bytes that a model has an array over."""

    #: The array that lies over the memory itself, to which all views refer.
    array: "weakref.ref[Array]"
    mapping: PrivateMap
    begin: int
    size_bytes: int

    def shares_pages(self, mapping: PrivateMap, begin: int, size_bytes: int) -> bool:
        first, end = pages(self.begin, self.size_bytes)
        other_first, other_end = pages(begin, size_bytes)
        return self.mapping is mapping and first < other_end and other_first < end


class ModelInputs:
    """Of one instance. `lends`: whether its model gets anything but copies."""

    def __init__(self, pool: Pool, regions: ClientRegions, *, lends: bool) -> None:
        self._regions: Final = regions
        self._data_begin: Final = pool.total_bytes - pool.data_bytes
        self._pool_map: PrivateMap | None = None
        #: Model threads may ask for protection while a batch runs.
        self._lock: Final = threading.Lock()
        #: Inputs of this batch.
        self._lent: list[_Lent] = []
        #: Inputs of earlier ones that the model has kept.
        self._kept: list[_Lent] = []
        self._owned = 0
        self.lends = lends
        if lends:
            try:
                self._pool_map = PrivateMap(pool.fd, pool.total_bytes)
            except RegionError as error:
                self._copy_all(f"the pool {error}")

    def of_pool(self, offset: int, size_bytes: int, dtype: "np.dtype[Any]", *, shared: bool) -> Array | None:
        """An array over bytes of the pool's data; None where they are to be copied. `shared`: others may read them, too."""
        if self._pool_map is None or size_bytes < SMALLEST_LENT_BYTES or not self.lends:
            return None
        begin = self._data_begin + offset
        if shared and self._is_lent(self._pool_map, begin, size_bytes):
            return None
        return self._lend(self._pool_map, begin, size_bytes, dtype)

    def of_region(self, number: int, start: int, size_bytes: int, dtype: "np.dtype[Any]") -> Array | None:
        """An array over bytes of a client's region, which were found to be inside; None where they are to be copied."""
        if size_bytes < SMALLEST_LENT_BYTES or not self.lends:
            return None
        try:
            found = self._regions.private(number)
        except RegionError as error:
            self._copy_all(f"a client's region {error}")
            return None
        if found is None:
            return None
        mapping, offset = found
        if self._is_lent(mapping, offset + start, size_bytes):
            return None
        return self._lend(mapping, offset + start, size_bytes, dtype)

    def settle(self) -> None:
        """A batch is done, or somebody is to hear of it while it runs, who may use its memory then. From any thread."""
        if not self._lent:
            return
        with self._lock:
            lent, self._lent = self._lent, []
            for each in lent:
                if each.array() is not None:
                    self._separate(each)

    def tidy(self) -> None:
        """Once a second, between batches: give back memory of what the model has kept, and keeps no more."""
        with self._lock:
            gone = [each for each in self._kept if each.array() is None]
            self._kept = [each for each in self._kept if each.array() is not None]
            for each in gone:
                self._renew(each.mapping, each.begin, each.size_bytes)
        if not self.lends and self._pool_map is not None and self._pool_map.close():
            self._pool_map = None

    def _is_lent(self, mapping: PrivateMap, begin: int, size_bytes: int) -> bool:
        """Whether another request of the batch has some of these bytes: what is written to one, the other must not see."""
        end = begin + size_bytes
        return any(
            lent.mapping is mapping and lent.begin < end and begin < lent.begin + lent.size_bytes for lent in self._lent
        )

    def _lend(self, mapping: PrivateMap, begin: int, size_bytes: int, dtype: "np.dtype[Any]") -> Array | None:
        if mapping.is_written(begin, size_bytes):
            self._count("written to")
            with self._lock:
                if not self._renew(mapping, begin, size_bytes):
                    return None
        array = np.frombuffer(mapping.view(begin, size_bytes), dtype)
        with self._lock:
            self._lent.append(_Lent(weakref.ref(array), mapping, begin, size_bytes))
        return array

    def _renew(self, mapping: PrivateMap, begin: int, size_bytes: int) -> bool:
        """Forget what was written to a range; False, and nothing happens, where the model keeps some of it."""
        if any(each.shares_pages(mapping, begin, size_bytes) and each.array() is not None for each in self._kept):
            return False
        mapping.renew(begin, size_bytes)
        return True

    def _separate(self, lent: _Lent) -> None:
        try:
            lent.mapping.separate(lent.begin, lent.size_bytes)
        except OSError as error:
            _log.error("an input that the model has kept cannot be kept as it is: %s", error)
        self._kept.append(lent)
        self._count("kept")

    def _count(self, what: str) -> None:
        self._owned += 1
        if self._owned >= MOST_OWNED and self.lends:
            self._copy_all(f"the model has {what} {self._owned} of them")

    def _copy_all(self, why: str) -> None:
        self.lends = False
        _log.debug("inputs are copied from now on: %s", why)
