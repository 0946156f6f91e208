"""Locks of files, which keep two processes from one folder."""

import fcntl
from typing import IO, Any

from celeba_vae.runtime.errors import UserError, reason_of
from celeba_vae.runtime.scratch import SCRATCH_VARIABLE


def take_lock(file: IO[Any], *, wait: bool = False) -> bool:
    """Lock an open file until it is closed; return False if another process holds the lock.

    The kernel frees the lock when its holder dies, however it dies.

    Args:
        file: open for writing; its content does not matter.
        wait: wait for the other process's end instead.

    Raises:
        UserError: the file system has no locks, as some homes on NFS or Lustre.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        raise UserError(
            f"{file.name}: cannot be locked ({reason_of(error)}): the file system there has no "
            f"locks, as some network disks; set {SCRATCH_VARIABLE} to a folder on a local disk"
        ) from None
    return True
