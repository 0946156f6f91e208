"""How much memory the stage `train` takes, and that it is the same for more images.

    python -m tests.benchmarks.memory
    python -m tests.benchmarks.memory --images 4096 -S train.batch_size=256

Runs an epoch of `python -m stages.train` in a copy of the project, with shards of random pixels:
for each number of images as many names of one file, so that they take no room on the disk. Printed
is the peak of anonymous memory; the pages of the mapped shards, which the system drops when memory
is short, stand apart.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from celeba_vae.runtime.files import sha256_of
from celeba_vae.runtime.processes import resident_bytes
from celeba_vae.verify.tiny_params import set_params
from tests.support import copy_project, manifest_of, own_environment

SHARD, SIZE, VALIDATION = 4096, 96, 256
SAMPLED_EVERY = 0.01  # seconds


def link_shards(folder: Path, images: int) -> None:
    """Write a manifest of so many training images, and the one shard that stands for all."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    pixels = np.random.default_rng(0).integers(0, 256, (SHARD, SIZE, SIZE, 3), dtype=np.uint8)
    np.save(folder / "whole.npy", pixels)
    whole = sha256_of(folder / "whole.npy")
    count, rest = divmod(images, SHARD)
    sizes = {"train": [SHARD] * count + ([rest] if rest else []), "validation": [VALIDATION]}
    splits = {}
    rows = ["split,shard,row,file_name"]
    for split, shards in sizes.items():
        described = []
        for number, size in enumerate(shards):
            file = f"{split}-{number:05}-of-{len(shards):05}.npy"
            if size == SHARD:
                (folder / file).hardlink_to(folder / "whole.npy")
            else:
                np.save(folder / file, pixels[:size])
            sha256 = whole if size == SHARD else sha256_of(folder / file)
            described.append({"file": file, "images": size, "sha256": sha256})
            rows += [f"{split},{file},{row},{split}{number}-{row}.jpg" for row in range(size)]
        splits[split] = {"images": sum(shards), "shards": described}
    manifest = manifest_of(SIZE, splits, crop=148)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "images.csv").write_text("\n".join(rows) + "\n")


def measure(project: Path) -> tuple[int, int, float]:
    """Train, and return the peaks of anonymous and of file-backed memory in bytes, and seconds."""
    anonymous = files = 0
    begin = time.perf_counter()
    command = [sys.executable, "-m", "stages.train"]
    with subprocess.Popen(command, cwd=project, env=own_environment(project)) as process:
        while process.poll() is None:
            now = resident_bytes(process.pid)
            anonymous, files = max(anonymous, now[0]), max(files, now[1])
            time.sleep(SAMPLED_EVERY)
    if process.returncode:
        sys.exit("error: the training has failed, see above")
    return anonymous, files, time.perf_counter() - begin


def main() -> None:
    """Measure each number of images."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--images", type=int, nargs="+", default=[16_384, 170_000], help="(16384 170000)"
    )
    parser.add_argument(
        "-S", "--set", action="append", default=[], help="a parameter, as group.key=value"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = copy_project(Path(folder))
        set_params(project, "train.epochs=1", "train.batch_size=128", *arguments.set)
        for images in arguments.images:
            link_shards(project / "data/shards", images)
            anonymous, files, seconds = measure(project)
            print(
                f"{images:,} images: at most {anonymous / 1e9:.2f} GB of anonymous memory, "
                f"{files / 1e9:.2f} GB of pages of files; {seconds:.0f} s with start and end",
                flush=True,
            )


if __name__ == "__main__":
    main()
