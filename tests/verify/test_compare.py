import hashlib
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from celeba_vae.verify.compare import Run, same_bytes


def store(cache: Path, content: bytes, suffix: str = "") -> str:
    """Put a file into a cache as DVC does, and return its md5."""
    md5 = hashlib.md5(content).hexdigest() + suffix
    (cache / "files/md5" / md5[:2]).mkdir(parents=True, exist_ok=True)
    (cache / "files/md5" / md5[:2] / md5[2:]).write_bytes(content)
    return md5


def make_run(cache: Path, folder: Path) -> Run:
    """Return the run whose only out is `folder`."""
    entries = [
        {"md5": store(cache, file.read_bytes()), "relpath": file.name}
        for file in sorted(folder.iterdir())
    ]
    return Run({"data/out": store(cache, json.dumps(entries).encode(), ".dir")}, cache)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An out with a picture, arrays, weights and a text."""
    folder = tmp_path / "out"
    folder.mkdir()
    write(folder, 100)
    return folder


def write(folder: Path, value: int) -> None:
    pixels = np.full((10, 10, 3), 50, np.uint8)
    pixels[0, 0] = value
    Image.fromarray(pixels).save(folder / "grid.png")
    np.save(folder / "mu.npy", np.array([0.0, value / 100], np.float32))
    np.savez(folder / "fit.npz", centre=np.array([value / 100]), names=np.array(["a"]))
    with h5py.File(folder / "vae.h5", "w") as file:
        file["layer/kernel"] = np.array([value / 100, 0.5])
    (folder / "notes.txt").write_text(str(value))


def test_the_same_is_the_same(folder: Path, tmp_path: Path) -> None:
    first = make_run(tmp_path / "one", folder)
    row = same_bytes("data/out", first, make_run(tmp_path / "other", folder), rule="equal")
    assert row == ("data/out", "equal", "same", True)


def test_differing_files_are_named_with_how_far_they_are(folder: Path, tmp_path: Path) -> None:
    first = make_run(tmp_path / "one", folder)
    write(folder, 107)
    (folder / "notes.txt").unlink()
    (folder / "zz.txt").write_text("")
    second = make_run(tmp_path / "other", folder)
    row = same_bytes("data/out", first, second, rule="equal")
    assert row.passed is False
    assert row.result == (
        "6 of 6 files differ: fit.npz (by up to 0.07), grid.png (1.00% of the values of its "
        "pixels, by up to 7), mu.npy (by up to 0.07), notes.txt (missing) and 2 more"
    )
    assert same_bytes("data/out", first, second, rule="seen", judged=False).passed is None


def test_differing_keys_are_named(tmp_path: Path) -> None:
    texts = [
        {"val": {"loss": loss, "kl": 2.5}, "images": 4, "seconds": seconds}
        for loss, seconds in ((1.5, 10), (1.25, 20))
    ]
    caches = (tmp_path / "one", tmp_path / "other")
    first, second = (
        Run({"data/metrics/train.json": store(cache, json.dumps(text).encode())}, cache)
        for cache, text in zip(caches, texts, strict=True)
    )
    row = same_bytes("data/metrics/train.json", first, second, rule="equal")
    assert row.result == (
        "1 of 1 files differ: train.json (val.loss 1.5, here 1.25; seconds 10, here 20)"
    )


def test_weights_are_compared_by_their_numbers(folder: Path, tmp_path: Path) -> None:
    for name in ("grid.png", "mu.npy", "fit.npz", "notes.txt"):
        (folder / name).unlink()
    first = make_run(tmp_path / "one", folder)
    with h5py.File(folder / "vae.h5", "a") as file:
        file["layer/kernel"][1] = 0.25
    second = make_run(tmp_path / "other", folder)
    result = same_bytes("data/out", first, second, rule="equal").result
    assert result == "1 of 1 files differ: vae.h5 (by up to 0.25)"


def test_what_the_cache_lacks_or_holds_damaged_is_not_compared(
    folder: Path, tmp_path: Path
) -> None:
    first = make_run(tmp_path / "one", folder)
    write(folder, 107)
    second = make_run(tmp_path / "other", folder)
    elsewhere = Run(first.outs, tmp_path / "empty")
    row = same_bytes("data/out", elsewhere, second, rule="equal")
    assert row.result.startswith("other bytes (the wanted files are not in DVC's cache here")
    assert not row.passed
    for path in (tmp_path / "one/files/md5").rglob("*"):
        if path.is_file() and path.suffix != ".dir":
            content = bytearray(path.read_bytes())
            content[-1] ^= 1
            path.write_bytes(content)
    row = same_bytes("data/out", first, second, rule="equal")
    assert row.result == ("5 of 5 files differ: fit.npz, grid.png, mu.npy, notes.txt and 1 more")


def test_an_out_of_one_run_only_fails(folder: Path, tmp_path: Path) -> None:
    first = make_run(tmp_path / "one", folder)
    row = same_bytes("data/out", first, Run({}, tmp_path / "other"), rule="equal")
    assert (row.result, row.passed) == ("made by one of the runs only", False)
