"""What a process does with memory it has freed."""

import platform
import subprocess
import sys

import pytest

# Blocks at once, freed, and again, in the first thread or another: how many pages the system had to give for the second
# time.
ROUNDS = """
import resource
from concurrent.futures import ThreadPoolExecutor
from tollbook.memory import keep_freed
{first}
import pyarrow as pa
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [bytes([n]) * ({mib} << 20) for n in range(1, 1 + 120 // {mib})]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
with ThreadPoolExecutor(1) as pool:
    call = {call}
    call()
    print(call(), pa.default_memory_pool().backend_name)
"""
HERE, IN_A_THREAD = "faults", "lambda: pool.submit(faults).result()"


@pytest.mark.sampled(keep=1)
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep their ways")
@pytest.mark.parametrize(("call", "mib"), [(HERE, 30), (IN_A_THREAD, 1)], ids=["first thread", "another"])
def test_freed_memory_stays_with_the_process(call: str, mib: int):
    """A thread's own heaps, of 64 MiB each, are kept too: of what librdkafka unpacks there are more than one."""
    assert _again("keep_freed()", call, mib)[0] < 1_000
    assert _again("", call, mib)[0] > 20_000, "then there is nothing to keep"


def test_arrow_takes_memory_where_all_others_do():
    assert _again("keep_freed()")[1] == "system"


def _again(first: str, call: str = HERE, mib: int = 30) -> tuple[int, str]:
    code = ROUNDS.format(first=first, call=call, mib=mib)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    faults, backend = done.stdout.split()
    return int(faults), backend
