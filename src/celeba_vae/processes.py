"""Processes that do not outlive the one that started them."""

import ctypes
import os
import signal
import sys

# <linux/prctl.h>: the signal a process gets when its parent ends.
_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends, however that ends.

    A parent that is killed cannot tell its children to stop; one that goes on writing would
    spoil what the next run makes.

    Args:
        parent: the process id of the parent. If it is gone already, the signal would never come,
            so this process ends at once.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)
