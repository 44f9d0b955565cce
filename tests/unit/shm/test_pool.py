"""The pool: mapped by whoever inherits its descriptor, fixed in size, and never giving somebody else's bytes."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

from tis_shm.pool import GRANULE_BYTES, Block, Pool, PoolError, StaleBlockError
from tis_shm.slab import Grant, Slab

DATA_BYTES = 1 << 20


@pytest.fixture
def pool() -> Iterator[Pool]:
    created = Pool.create(DATA_BYTES)
    yield created
    created.close()
    os.close(created.fd)


def test_another_process_that_inherits_the_descriptor_sees_the_same_bytes_and_words(pool: Pool) -> None:
    block = Slab(pool, [Grant(0, DATA_BYTES)]).take(100)
    assert block is not None
    pool.data[block.offset : block.offset + 5] = b"hello"
    program = textwrap.dedent("""
        import sys
        from tis_shm.pool import Block, Pool
        pool = Pool.attach(int(sys.argv[1]))
        block = Block(int(sys.argv[2]), int(sys.argv[3]))
        assert bytes(pool.view(block, 0, 5)) == b"hello"
        pool.release(block)
    """)
    arguments = [sys.executable, "-c", program, str(pool.fd), str(block.offset), str(block.generation)]
    subprocess.run(arguments, check=True, pass_fds=[pool.fd])
    assert pool.released[block.offset // GRANULE_BYTES] == block.generation


def test_attaching_in_the_same_process_maps_the_same_memory(pool: Pool) -> None:
    other = Pool.attach(pool.fd)
    assert (other.total_bytes, other.data_bytes) == (pool.total_bytes, pool.data_bytes)
    pool.data[7] = 42
    assert other.data[7] == 42
    other.close()


def test_the_layout_is_header_then_two_words_a_granule_then_page_aligned_data(pool: Pool) -> None:
    granules = DATA_BYTES // GRANULE_BYTES
    assert len(pool.generations) == len(pool.released) == granules
    assert len(pool.data) == pool.data_bytes == DATA_BYTES
    assert pool.total_bytes == 4096 + 2 * 4 * granules + DATA_BYTES
    pool.generations[1] = 0x01020304
    pool.released[2] = 0x05060708
    pool.data[3] = 9
    assert os.pread(pool.fd, 8, 0) == b"tis-pool"
    assert os.pread(pool.fd, 4, 4096 + 4) == bytes([4, 3, 2, 1])
    assert os.pread(pool.fd, 4, 4096 + 4 * granules + 8) == bytes([8, 7, 6, 5])
    assert os.pread(pool.fd, 1, pool.total_bytes - DATA_BYTES + 3) == b"\x09"


def test_no_part_of_the_layout_reaches_into_the_next_whatever_the_size() -> None:
    for data_bytes in (4096, 3 * 4096, 1 << 20, (1 << 20) + 12345, 5 << 20):
        odd = Pool.create(data_bytes)
        odd.generations[-1] = odd.released[-1] = 0xFFFFFFFF
        odd.data[0] = odd.data[-1] = 1
        assert odd.data_bytes == data_bytes // 4096 * 4096
        assert odd.generations[-1] == odd.released[-1] == 0xFFFFFFFF
        assert odd.released[0] == 0
        assert os.fstat(odd.fd).st_size == odd.total_bytes
        odd.close()
        os.close(odd.fd)


def test_a_descriptor_of_a_freed_block_is_an_error(pool: Pool) -> None:
    slab = Slab(pool, [Grant(0, DATA_BYTES)])
    block = slab.take(2000)
    assert block is not None
    pool.check(block)
    slab.free(block)
    with pytest.raises(StaleBlockError, match=f"offset {block.offset} was freed"):
        pool.check(block)
    with pytest.raises(StaleBlockError):
        pool.view(block, 0, 1)


def test_a_descriptor_of_a_block_taken_anew_is_an_error_and_never_the_new_bytes(pool: Pool) -> None:
    slab = Slab(pool, [Grant(0, DATA_BYTES)])
    old = slab.take(2000)
    assert old is not None
    slab.free(old)
    new = slab.take(2000)
    assert new is not None
    assert new.offset == old.offset
    with pytest.raises(StaleBlockError):
        pool.view(old, 0, 1)
    assert len(pool.view(new, 0, 2000)) == 2000


@pytest.mark.parametrize("offset", [-GRANULE_BYTES, -1, 1, GRANULE_BYTES - 1, DATA_BYTES, DATA_BYTES + GRANULE_BYTES])
def test_an_offset_where_no_block_can_start_is_an_error(pool: Pool, offset: int) -> None:
    with pytest.raises(PoolError, match=f"no block starts at offset {offset} of the pool"):
        pool.check(Block(offset, 0))


@pytest.mark.parametrize(("start", "size_bytes"), [(-1, 10), (0, -1), (0, DATA_BYTES + 1), (DATA_BYTES, 1)])
def test_a_view_never_leaves_the_pool(pool: Pool, start: int, size_bytes: int) -> None:
    block = Slab(pool, [Grant(0, DATA_BYTES)]).take(1)
    assert block is not None
    with pytest.raises(PoolError, match=f"not inside the pool of {DATA_BYTES} bytes"):
        pool.view(block, start, size_bytes)


def test_nobody_can_shrink_or_grow_the_pool_under_its_readers(pool: Pool) -> None:
    for size_bytes in (0, pool.total_bytes - 1, pool.total_bytes + 4096):
        with pytest.raises(PermissionError):
            os.ftruncate(pool.fd, size_bytes)


def test_punched_pages_read_as_zeros_and_their_neighbours_stay(pool: Pool) -> None:
    pool.data[:12288] = b"x" * 12288
    pool.punch(4096, 4096)
    assert bytes(pool.data[:12288]) == b"x" * 4096 + bytes(4096) + b"x" * 4096


@pytest.mark.parametrize("content", [b"", b"short", bytes(100), b"tis-pool" + b"\xff" * 92])
def test_a_descriptor_of_something_else_is_refused(content: bytes) -> None:
    fd = os.memfd_create("other")
    try:
        os.write(fd, content)
        with pytest.raises(PoolError, match="inherited"):
            Pool.attach(fd)
    finally:
        os.close(fd)


def test_a_pool_that_the_address_space_limit_forbids_is_an_error_with_sizes_and_what_to_do() -> None:
    program = textwrap.dedent("""
        import os, resource
        from tis_shm.pool import Pool, PoolError
        before = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        try:
            Pool.create(4 << 30)
        except PoolError as error:
            print(error)
        assert len(os.listdir("/proc/self/fd")) == before, "the descriptor leaks"
    """)
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    total_bytes = 4096 + 2 * 4 * (4 << 20) + (4 << 30)
    assert f"unable to map the shared-memory pool of {total_bytes} bytes" in done.stdout
    assert "ulimit -v" in done.stdout
    assert "--pool-byte-size" in done.stdout


def test_untouched_pages_of_a_large_pool_cost_no_memory() -> None:
    large = Pool.create(8 << 30)
    assert os.fstat(large.fd).st_blocks * 512 <= 64 << 10
    large.close()
    os.close(large.fd)


def test_closing_while_a_view_is_held_keeps_the_view_readable() -> None:
    pool = Pool.create(DATA_BYTES)
    block = Slab(pool, [Grant(0, DATA_BYTES)]).take(4)
    assert block is not None
    view = pool.view(block, 0, 4)
    view[:] = b"kept"
    pool.close()
    assert bytes(view) == b"kept"
    view.release()
    os.close(pool.fd)
