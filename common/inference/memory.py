"""The memory of a call."""

import json
import math
import re
import sys
import tempfile
from contextlib import suppress
from itertools import accumulate
from pathlib import Path

import psutil
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

if sys.platform != "win32":
    import resource


def call(model: nn.Module, x: Tensor) -> Tensor:
    """Scores (N, classes), in inference mode."""
    with torch.inference_mode():
        return model(x)


def peak_of_allocations(model: nn.Module, x: Tensor) -> float:
    """The peak of the bytes that a call allocates, result included.

    On a CPU we compute it from the profiler's memory events: sums by operator give no peak. On CUDA
    the allocator reports it. On other accelerators it is nan.
    """
    call(model, x)  # warm-up: memory that libraries allocate only once does not count
    if x.is_cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call(model, x)
        return float(torch.cuda.max_memory_allocated() - before)
    if x.device.type != "cpu":
        return math.nan
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        result = call(model, x)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    del result  # not earlier: the result counts
    changes = [event for event in events if event["name"] == "[memory]"]
    changes.sort(key=lambda event: event["ts"])
    return float(max(accumulate((event["args"]["Bytes"] for event in changes), initial=0)))


def largest_resident_set() -> int:
    """The largest resident set of this process so far, in bytes."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    with suppress(OSError):  # Linux: getrusage would also count the parent process
        status = Path("/proc/self/status").read_text()
        return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS: in bytes
