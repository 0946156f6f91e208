"""Processes that end with their parent, and the memory that a process takes or could get."""

import ctypes
import os
import signal
import sys
from pathlib import Path

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


def start_ticks(process: int) -> int:
    """Return when a process began, in clock ticks since the machine's start.

    A process id may come again, in a new container even soon; with this, it does not.
    """
    # The second field, the name, may hold spaces and brackets.
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return int(fields[19])


def resident_bytes(process: int) -> tuple[int, int]:
    """Return the anonymous and the file-backed memory of a process, now; of an ended one 0."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    status = dict(line.split(":", 1) for line in lines)
    anonymous, files = (
        int(status.get(name, "0 kB").split()[0]) * 1024 for name in ("RssAnon", "RssFile")
    )
    return anonymous, files


def available_bytes() -> int:
    """Return the memory that a new process could get here, in bytes."""
    text = Path("/proc/meminfo").read_text(encoding="utf-8")
    return 1024 * int(text.split("MemAvailable:")[1].split()[0])
