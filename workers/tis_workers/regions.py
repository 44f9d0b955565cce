"""Clients' regions as a worker uses them: mapped once, at first use, and read and written in place."""

import ctypes
import os
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from tis.contracts import messages as m
from tis.contracts.arrays import NUMPY
from tis.contracts.datatypes import ELEMENT_BYTES
from tis.contracts.model_spec import ModelSpec
from tis.errors import Code, TisError, internal, not_found
from tis.log import get_logger
from tis_shm.private import PrivateMap
from tis_shm.region import RegionError, SystemRegion, holds, open_shared

#: How long the news of a region may take, on a busy machine.
_NEWS_S: Final = 5.0
#: How long a region that was unregistered stays, for requests that were on their way.
_KEEP_S: Final = 2.0

#: Copying fewer bytes costs less than asking where they are.
_SMALL_BYTES: Final = 16 << 10

_log = get_logger(__name__)


class Mapped(Protocol):
    """A region that is mapped: `SystemRegion`, or `CudaRegion`."""

    @property
    def identity(self) -> tuple[Any, ...]:
        """What it shares with other regions of the same memory."""

    @property
    def offset(self) -> int:
        """Where it begins in that memory."""

    def view(self, start: int, size_bytes: int) -> memoryview:
        """Bytes of it."""

    def close(self) -> bool:
        """Unmap; False where somebody still holds a view."""


class ClientRegions:
    """Regions by number. Numbers are never used again, so that a name given anew cannot be mistaken."""

    def __init__(self, catch_up: Callable[[], bool] = lambda: False) -> None:
        """`catch_up`: waits for a moment for what the supervisor sends and reads it; False where nothing more can come."""
        self._catch_up = catch_up
        self._epoch = -1
        #: The highest number that the supervisor has told of.
        self._newest = 0
        self._known: dict[int, m.Region] = {}
        self._mapped: dict[int, Mapped] = {}
        #: Those that are mapped a second time.
        self._private: dict[int, PrivateMap] = {}
        #: Unregistered ones with the moment from which they may be unmapped.
        self._leaving: dict[int, float] = {}

    @property
    def mapped(self) -> int:
        """How many regions are mapped."""
        return len(self._mapped)

    def replace(self, table: m.Regions) -> None:
        """Take over a newer table. What is not in it is kept for a moment, for requests that are on their way."""
        if table.epoch <= self._epoch:
            return
        self._epoch = table.epoch
        self._newest = table.newest
        listed = {region.number: region for region in table.regions}
        until_s = time.monotonic() + _KEEP_S
        for number in self._known.keys() - listed.keys():
            self._leaving.setdefault(number, until_s)
        self._known.update(listed)

    def tidy(self) -> None:
        """Unmap what has been unregistered and is not used any more. Call it now and then, between batches."""
        now_s = time.monotonic()
        for number in [number for number, until_s in self._leaving.items() if until_s <= now_s]:
            private = self._private.get(number)
            if private is not None:
                if not private.close():
                    continue
                del self._private[number]
            mapped = self._mapped.get(number)
            try:
                if mapped is not None and not mapped.close():
                    continue
            except RegionError as error:
                _log.warning("client region '%s' could not be given back: %s", self._known[number].name, error)
            self._mapped.pop(number, None)
            del self._leaving[number], self._known[number]

    def view(self, number: int, start: int, size_bytes: int) -> memoryview:
        """Bytes of a region, in place.

        Raises:
            TisError: the region is gone, or does not hold them.
        """
        mapped = self._map(number)
        try:
            return mapped.view(start, size_bytes)
        except RegionError as error:
            raise self._unusable(number, error) from None

    def write(self, number: int, start: int, data: memoryview) -> None:
        """Put bytes into a region.

        Raises:
            TisError: the region is gone, or does not hold them.
        """
        if self._region(number).kind == "system":
            place = self.view(number, start, len(data))
            # A model that returns its input, to where that is: there is nothing to do, and it may be very large.
            if len(data) < _SMALL_BYTES or _address(place) != _address(data):
                place[:] = data
            return
        try:
            self._map(number).write(start, data)  # type: ignore[attr-defined]
        except RegionError as error:
            raise self._unusable(number, error) from None

    def is_memory(self, number: int) -> bool:
        """True where views of a region are the region itself, not copies of it."""
        return self._region(number).kind == "system"

    def private(self, number: int) -> tuple[PrivateMap, int] | None:
        """The private mapping of a region's object, and where in it the region begins; None where views of it are copies.

        Raises:
            RegionError: this machine cannot map so.
            TisError: the region is gone.
        """
        mapped = self._map(number)
        if not isinstance(mapped, SystemRegion):
            return None
        private = self._private.get(number)
        if private is None:
            private = self._private[number] = PrivateMap(mapped.fileno(), mapped.offset + mapped.size_bytes)
        return private, mapped.offset

    def span(self, number: int, start: int, size_bytes: int) -> tuple[tuple[Any, ...], int, int]:
        """Where bytes of a region lie, comparable with those of other regions: the memory, begin and end.

        Raises:
            TisError: the region is gone.
        """
        mapped = self._map(number)
        begin = mapped.offset + start
        return mapped.identity, begin, begin + size_bytes

    def close(self) -> None:
        """Unmap what can be."""
        for private in self._private.values():
            private.close()
        for mapped in self._mapped.values():
            mapped.close()

    def _region(self, number: int) -> m.Region:
        region = self._known.get(number)
        if region is None:
            # A request may come before the news of its region, which are on their way then.
            end_s = time.monotonic() + _NEWS_S
            while number > self._newest and time.monotonic() < end_s and self._catch_up():
                pass
            region = self._known.get(number)
        if region is None:
            raise not_found("the shared memory region of the request has been unregistered")
        return region

    def _map(self, number: int) -> Mapped:
        mapped = self._mapped.get(number)
        if mapped is not None:
            return mapped
        region = self._region(number)
        try:
            if region.kind == "cuda":
                from tis_shm.cuda import CudaRegion

                mapped = CudaRegion(region.handle, region.key, region.size_bytes)
            else:
                fd = open_shared(os.getppid(), region.fd, region.key, region.identity)
                mapped = SystemRegion(fd, region.offset, region.size_bytes)
        except RegionError as error:
            raise self._unusable(number, error) from None
        self._mapped[number] = mapped
        return mapped

    def _unusable(self, number: int, error: RegionError) -> TisError:
        if number in self._leaving:
            return not_found(f"Unable to find shared memory region: '{self._known[number].name}'")
        return internal(f"shared memory region '{self._known[number].name}': {error}")


def _address(data: memoryview) -> int:
    """Where bytes lie; 0 for those that may not be written to, which is not where a region lies."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(data))
    except TypeError:
        return 0


class Placements:
    """Where the outputs of one request go that its client wants in its own memory."""

    def __init__(self, regions: ClientRegions, spec: ModelSpec, placements: Iterable[m.OutputPlacement]) -> None:
        self._regions = regions
        self._places = {spec.outputs[place.index].name: place for place in placements}

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def takes(self, name: str, size_bytes: int) -> bool:
        """True where an output of this size goes to its place, and be it to fail there."""
        place = self._places.get(name)
        return place is not None and (not place.spill or size_bytes <= place.size_bytes)

    def write(self, name: str, datatype: str, shape: tuple[int, ...], data: memoryview) -> m.OutputRef:
        """Copy an output to its place.

        Raises:
            TisError: the place is too small, or its region is gone.
        """
        place = self._places[name]
        self._check(name, len(data))
        self._regions.write(place.region, place.start, data)
        return m.OutputRef(name, datatype, shape, place.start, len(data), place.region)

    def array(self, name: str, datatype: str, shape: tuple[int, ...], size_bytes: int) -> npt.NDArray[Any] | None:
        """An array over an output's place, to be filled; None where one cannot be written like any other memory.

        Raises:
            TisError: the place is too small, or its region is gone.
        """
        place = self._places[name]
        self._check(name, size_bytes)
        if not self._regions.is_memory(place.region):
            return None
        view = self._regions.view(place.region, place.start, size_bytes)
        array = np.frombuffer(view, NUMPY[datatype]).reshape(shape)
        return array if array.flags.aligned else None

    def ref(self, name: str, datatype: str, shape: tuple[int, ...]) -> m.OutputRef:
        """The reference to an output that was written through `array`."""
        place = self._places[name]
        size_bytes = int(np.prod(shape, dtype=np.int64)) * ELEMENT_BYTES[datatype]
        return m.OutputRef(name, datatype, shape, place.start, size_bytes, place.region)

    def meet(self, inputs: Iterable[m.TensorRef]) -> bool:
        """True where a place shares memory with an input: then nothing may be written before all has been read.

        Raises:
            TisError: a region is gone.
        """
        read = [self._regions.span(ref.region, ref.start, ref.size_bytes) for ref in inputs if ref.region]
        written = [self._regions.span(each.region, each.start, each.size_bytes) for each in self._places.values()]
        return any(one[0] == other[0] and one[1] < other[2] and other[1] < one[2] for one in read for other in written)

    def _check(self, name: str, size_bytes: int) -> None:
        place = self._places[name]
        if not holds(place.size_bytes, 0, size_bytes):
            raise TisError(
                Code.INTERNAL,
                f"shared memory size specified with the request for output '{place.name or name}' ({place.size_bytes} "
                f"bytes) should be at least {size_bytes} bytes to hold the results",
            )
