import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.files import sha256_of, write_arrays
from celeba_vae.training.state import (
    Arrays,
    State,
    clear_states,
    differing,
    fingerprint,
    load_state,
    make_room,
    own_folder,
    save_state,
)

IDENTITY = {"train": {"learning_rate": 0.1}, "code": {"a.py": "0"}}


def state(epoch: int, step: int, value: float = 0.0) -> State:
    arrays: Arrays = {
        "weights": [np.full((2, 3), value, np.float32), np.arange(5, dtype=np.int64)],
        "optimizer": [np.array(7, np.int64)],
    }
    notes = {"sums": {"loss": 0.1 + 0.2}, "history": [{"loss": 1 / 3}]}
    return State(epoch=epoch, step=step, notes=notes, arrays=arrays)


def names(folder: Path) -> list[str]:
    return sorted(path.name[:21] for path in folder.iterdir() if path.name.startswith("state"))


def test_what_is_saved_comes_back_to_the_bit(tmp_path: Path) -> None:
    saved = state(3, 12, value=1 / 3)
    save_state(tmp_path, saved)
    loaded, damaged = load_state(tmp_path)
    assert damaged == []
    assert loaded is not None
    assert (loaded.epoch, loaded.step, loaded.notes) == (3, 12, saved.notes)
    assert list(loaded.arrays) == ["optimizer", "weights"]
    for name, arrays in saved.arrays.items():
        for before, after in zip(arrays, loaded.arrays[name], strict=True):
            assert before.dtype == after.dtype
            assert before.tobytes() == after.tobytes()
            assert before.shape == after.shape


def test_more_than_ten_arrays_keep_their_order(tmp_path: Path) -> None:
    arrays = [np.array(index) for index in range(23)]
    save_state(tmp_path, State(1, 1, {}, {"weights": arrays}))
    loaded, _ = load_state(tmp_path)
    assert loaded is not None
    assert [int(array) for array in loaded.arrays["weights"]] == list(range(23))


def test_the_last_two_are_kept_and_the_newest_is_found(tmp_path: Path) -> None:
    for epoch, step in ((1, 5), (1, 10), (2, 0), (10, 1)):
        save_state(tmp_path, state(epoch, step))
    assert names(tmp_path) == ["state-000002-00000000", "state-000010-00000001"]
    loaded, _ = load_state(tmp_path)
    assert loaded is not None
    assert (loaded.epoch, loaded.step) == (10, 1)
    clear_states(tmp_path, but=1)
    assert names(tmp_path) == ["state-000010-00000001"]
    clear_states(tmp_path)
    assert load_state(tmp_path) == (None, [])


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_newest_state_is_named_and_the_one_before_is_used(
    tmp_path: Path, damage: str
) -> None:
    save_state(tmp_path, state(1, 1, value=1.0))
    save_state(tmp_path, state(1, 2, value=2.0))
    newest = max(tmp_path.glob("state-*"))
    content = newest.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    newest.write_bytes({"cut": content[:-100], "flipped": flipped, "empty": b""}[damage])
    loaded, damaged = load_state(tmp_path)
    assert loaded is not None
    assert loaded.step == 1
    assert float(loaded.arrays["weights"][0][0, 0]) == 1.0
    assert len(damaged) == 1
    assert newest.name in damaged[0]
    assert not newest.exists()


def test_a_full_disk_keeps_the_state_before(tmp_path: Path) -> None:
    code = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from celeba_vae.training.state import State, save_state
folder = Path(sys.argv[1])
save_state(folder, State(1, 1, {}, {"weights": [np.zeros(10)]}))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    save_state(folder, State(1, 2, {}, {"weights": [np.zeros(10_000)]}))
except OSError as error:
    print("refused", error.errno)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("refused")
    assert [path.name[:21] for path in tmp_path.iterdir()] == ["state-000001-00000001"]


def test_one_process_a_fingerprint(tmp_path: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from celeba_vae.training.state import own_folder
identity = {"train": {"learning_rate": 0.1}, "code": {"a.py": "0"}}
with own_folder(Path(sys.argv[1]), identity) as p:
    (p / ".part.left.npz").write_bytes(b"half")
    print(p, flush=True)
    time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        place = Path(first.stdout.readline().strip())
        with pytest.raises(UserError, match=f"process {first.pid} is training there"):
            own_folder(tmp_path, IDENTITY).__enter__()
        with own_folder(tmp_path, IDENTITY | {"threads": 1}) as other:
            assert other != place
        # The folder in use is not removed to make room.
        make_room(tmp_path, keep=other, limit=0)
        assert place.exists()
        first.kill()
    with own_folder(tmp_path, IDENTITY) as again:
        assert again == place
        assert not list(place.glob(".part.*"))
        assert (place / "lock").read_text() == f"{os.getpid()}\n"


def test_the_fingerprint_is_of_values_not_of_order() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1, "b": 2}) != fingerprint({"a": 1, "b": 3})


def test_differences_name_key_and_both_values(tmp_path: Path) -> None:
    assert differing(tmp_path, IDENTITY) == []
    with own_folder(tmp_path, IDENTITY | {"seed": 3}):
        pass
    time.sleep(0.01)
    with own_folder(tmp_path, IDENTITY):
        pass
    changed = {"train": {"learning_rate": 0.2}, "code": {"a.py": "0", "b.py": "1"}}
    assert differing(tmp_path, changed) == [
        "train.learning_rate: 0.1, now 0.2",
        "code.b.py: none, now 1",
    ]
    assert differing(tmp_path, IDENTITY) == ["seed: 3, now none"]


@pytest.mark.parametrize("content", ["[]", "null", "7", '"a"', "", '{"seed": NaN}', "{"])
def test_an_identity_that_is_none_is_named_and_stops_nothing(tmp_path: Path, content: str) -> None:
    with own_folder(tmp_path, IDENTITY | {"seed": 3}) as other:
        pass
    (other / "identity.json").write_text(content)
    (line,) = differing(tmp_path, IDENTITY)
    assert line.startswith(f"{other}/identity.json: is ")
    with own_folder(tmp_path, IDENTITY | {"seed": 3}):
        pass
    assert differing(tmp_path, IDENTITY) == ["seed: 3, now none"]


@pytest.mark.parametrize(
    "content", [b"", b"junk", {"weights/0000": np.zeros(3)}, {"notes": np.frombuffer(b"{", "u1")}]
)
def test_a_state_of_something_else_is_removed_and_the_one_before_is_used(
    tmp_path: Path, content: bytes | dict[str, np.ndarray]
) -> None:
    save_state(tmp_path, state(1, 1))
    unnamed = tmp_path / "x.npz"
    if isinstance(content, bytes):
        unnamed.write_bytes(content)
    else:
        write_arrays(unnamed, content)
    named = unnamed.rename(tmp_path / f"state-000001-00000002-{sha256_of(unnamed)[:16]}.npz")
    os.mkfifo(tmp_path / f"state-000001-00000003-{16 * '0'}.npz")
    loaded, damaged = load_state(tmp_path)
    assert loaded is not None
    assert loaded.step == 1
    (line,) = damaged
    assert line.startswith(f"{named}: ")
    assert line.endswith("; it is removed")
    assert not named.exists()


def test_room_is_made_by_age(tmp_path: Path) -> None:
    places = []
    for number in range(4):
        with own_folder(tmp_path, {"number": number}) as place:
            save_state(place, state(1, 1))
            places.append(place)
        time.sleep(0.01)
    one = sum(path.stat().st_size for path in places[0].iterdir())
    make_room(tmp_path, keep=places[0], limit=int(2.5 * one))
    assert [place.exists() for place in places] == [True, False, False, True]
    make_room(tmp_path, keep=places[0], limit=0)
    assert [place.exists() for place in places] == [True, False, False, False]


def test_a_kill_while_saving_leaves_a_whole_state(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
import numpy as np
from celeba_vae.training.state import State, save_state
step = 1
while True:
    save_state(Path(sys.argv[1]), State(1, step, {}, {"weights": [np.full(3_000_000, step)]}))
    print(step, flush=True)
    step += 1
"""
    generator = np.random.default_rng(0)
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(float(generator.uniform(0, 0.15)))
            process.send_signal(signal.SIGKILL)
        loaded, damaged = load_state(tmp_path)
        assert damaged == []
        assert loaded is not None
        assert (loaded.arrays["weights"][0] == loaded.step).all()
