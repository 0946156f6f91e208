"""Real servers on 127.0.0.1 that keep DVC remotes, and what DVC must know of them."""

import getpass
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.support import succeed


@dataclass(frozen=True)
class Server:
    """A server that can be killed, and started again on the same port and the same store.

    Attributes:
        command: starts it.
        port: where it listens.
        url: of the remote, as DVC is told.
        objects: the folder on the server's disk that holds DVC's objects.
        settings: what DVC must know besides the url, by the name of the option.
        credentials: what it must know and git must not.
        wrong_credentials: the same for somebody who may not come in.
        refusal: a part of what DVC then says.
    """

    command: tuple[str, ...]
    port: int
    url: str
    objects: Path
    settings: dict[str, str]
    credentials: dict[str, str]
    wrong_credentials: dict[str, str]
    refusal: str

    def object(self, md5: str) -> Path:
        """Where an object lies on the server's disk."""
        return self.objects / md5[:2] / md5[2:]


def s3_server(folder: Path) -> Server:
    """An S3 server that checks signatures; its bucket is a folder, its objects are files.

    It remembers what is in its folders: only while it is stopped may others change them.
    """
    port = free_port()
    (folder / "store/faces").mkdir(parents=True)
    return Server(
        command=(
            *(str(Path(sys.executable).with_name("rclone")), "serve", "s3"),
            *("--addr", f"127.0.0.1:{port}", "--auth-key", "somebody,their-secret"),
            str(folder / "store"),
        ),
        port=port,
        url="s3://faces/celeba_vae",
        objects=folder / "store/faces/celeba_vae/files/md5",
        settings={"endpointurl": f"http://127.0.0.1:{port}"},
        credentials={"access_key_id": "somebody", "secret_access_key": "their-secret"},
        wrong_credentials={"access_key_id": "somebody", "secret_access_key": "guessed"},
        refusal="Forbidden",
    )


def ssh_server(folder: Path) -> Server:
    """An sshd that lets in one key, with nothing of its own outside `folder`."""
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if sshd is None:
        pytest.skip("sshd is not installed (Debian's package openssh-server)")
    if os.geteuid() == 0:
        # sshd insists on this empty folder when root starts it; Debian's service makes it so.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    folder.mkdir(parents=True)
    for name in ("host", "known", "stranger"):
        succeed(*f"ssh-keygen -q -t ed25519 -f {name} -N".split(), "", cwd=folder)
    port = free_port()
    lines = (
        "ListenAddress 127.0.0.1",
        f"Port {port}",
        f"HostKey {folder}/host",
        f"AuthorizedKeysFile {folder}/known.pub",
        "PidFile none",
        "UsePAM no",
        "StrictModes no",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PermitRootLogin prohibit-password",
        "Subsystem sftp internal-sftp",
    )
    (folder / "config").write_text("\n".join(lines) + "\n")
    return Server(
        command=(sshd, "-D", "-e", "-f", str(folder / "config")),
        port=port,
        url=f"ssh://{getpass.getuser()}@127.0.0.1:{port}{folder}/store",
        objects=folder / "store/files/md5",
        settings={},
        credentials={"keyfile": str(folder / "known")},
        wrong_credentials={"keyfile": str(folder / "stranger")},
        refusal="Permission denied",
    )


@contextmanager
def running(server: Server) -> Iterator[psutil.Process]:
    """Run a server for as long as the block takes, from when it answers."""
    with subprocess.Popen(
        server.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            deadline = time.monotonic() + 60
            while not _answers(server.port):
                assert process.poll() is None, f"{server.command} ended with {process.returncode}"
                assert time.monotonic() < deadline, f"{server.command} does not answer"
                time.sleep(0.05)
            yield psutil.Process(process.pid)
        finally:
            kill(psutil.Process(process.pid))


def kill(process: psutil.Process) -> None:
    """Kill a server with all its connections: sshd has a process for each."""
    for each in [process, *process.children(recursive=True)]:
        each.kill()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def objects_in(store: Path) -> set[str]:
    """The names of all objects, each of which must be the md5 of its content.

    What is only half there has a name with a dot in front, and is no object.
    """
    found = set()
    for path in store.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            name = path.parent.name + path.name
            assert name.removesuffix(".dir") == md5, f"{path} holds something else"
            found.add(name)
    return found


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
