"""Settings of the memory allocator. They change the speed, never a result."""

import ctypes
import sys


def keep_freed_memory() -> None:
    """Tells glibc to keep large freed blocks for the next step instead of giving them back to the system each time.

    Training on a CPU allocates the same hundreds of megabytes in every step; having the kernel zero them each time cost
    a quarter of a step's time (benchmarks/allocator.py). Does nothing on systems other than Linux.
    """
    if not sys.platform.startswith("linux"):
        return
    mmap_threshold, trim_threshold, top_pad = -3, -1, -2  # malloc.h: M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_TOP_PAD
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(mmap_threshold, 2**30)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**28)
