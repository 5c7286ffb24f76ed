"""What a process does with memory it has freed."""

import platform
import subprocess
import sys

import pytest

# Four blocks at once, freed, and again: how many pages the system had to give for the second time.
ROUNDS = """
import resource
import pyarrow as pa
from tollbook.memory import keep_freed
{first}
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [bytes([n]) * (30 << 20) for n in range(1, 5)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults(), pa.default_memory_pool().backend_name)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep their ways")
def test_freed_memory_stays_with_the_process():
    assert _again("keep_freed()")[0] < 1_000
    assert _again("")[0] > 20_000, "then there is nothing to keep"


def test_arrow_takes_memory_where_all_others_do():
    assert _again("keep_freed()")[1] == "system"


def _again(first: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", ROUNDS.format(first=first)], capture_output=True, text=True, check=True
    )
    faults, backend = done.stdout.split()
    return int(faults), backend
