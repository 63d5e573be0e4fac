"""The thread pool: every index once, whatever the sizes; two pools at once; after fork; refusal."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from pyslm import _native


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize(
    ("count", "grain"), [(1, 1), (2, 1), (7, 3), (64, 64), (100, 1), (1000, 7)]
)
def test_every_index_is_visited_once_in_every_region(threads: int, count: int, grain: int) -> None:
    assert _native._pool_visits(threads, 50, count, grain) == [50] * count


def test_empty_regions_return() -> None:
    assert _native._pool_visits(4, 1000, 0, 1) == []


def test_thousands_of_small_regions() -> None:
    """Regions shorter than the time a worker takes to notice them."""
    assert _native._pool_visits(2, 5000, 4, 1) == [5000] * 4


def test_two_pools_at_once() -> None:
    with ThreadPoolExecutor(2) as executor:
        pools = [executor.submit(_native._pool_visits, 2, 500, 9, 2) for _ in range(6)]
        assert [pool.result(timeout=60) for pool in pools] == [[500] * 9] * 6


def test_pools_come_and_go() -> None:
    for _ in range(200):
        assert _native._pool_visits(3, 1, 3, 1) == [1, 1, 1]


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="forks a process")
def test_a_pool_made_after_fork_works() -> None:
    """A pool made before does not: core/thread_pool.h says so."""
    code = """
import os
from pyslm import _native
_native._pool_visits(2, 10, 8, 1)
child = os.fork()
if child == 0:
    os._exit(0 if _native._pool_visits(2, 100, 8, 1) == [100] * 8 else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run_python(code) == "0"


@pytest.mark.skipif(sys.platform != "linux", reason="limits its own address space")
def test_threads_that_the_system_refuses_are_an_error_not_an_abort() -> None:
    code = """
import resource
from pyslm import _native
from pyslm.errors import InsufficientMemoryError
now = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + (256 << 20), resource.RLIM_INFINITY))
try:
    _native._pool_visits(1000, 1, 1000, 1)
except InsufficientMemoryError as error:
    print(error)
"""
    assert "of 1000; ask for fewer threads" in run_python(code)
