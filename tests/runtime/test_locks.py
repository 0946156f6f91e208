import errno
import fcntl
import os
from pathlib import Path

import pytest

from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.locks import take_lock


def test_a_lock_has_one_holder_until_its_file_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("w") as first:
        assert take_lock(first)
        with path.open("w") as second:
            assert not take_lock(second)
    with path.open("w") as third:
        assert take_lock(third, wait=True)


# What the kernel answers on NFS without its lock daemon, and on Lustre mounted without flock.
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_one_line_with_the_remedy(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: object, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    path = tmp_path / "lock"
    with path.open("w") as file, pytest.raises(UserError) as caught:
        take_lock(file)
    assert str(caught.value) == (
        f"{path}: cannot be locked ({os.strerror(number)}): the file system there has no locks, "
        "as some network disks; set CELEBA_VAE_SCRATCH to a folder on a local disk"
    )
