"""How fast the feed hands out batches: `make bench`.

Shards of random pixels are made in a temporary folder: 16,384 images in four shards, as many
bytes as stay in the page cache. A batch is 128 images of an epoch's exact shuffle.
"""

import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from celeba_vae import feed
from celeba_vae.shards.read import Split, open_split

IMAGES, SHARD, SIZE, BATCH, EPOCHS = 16_384, 4_096, 96, 128, 7


def make_shards(folder: Path) -> None:
    """Write a training split of random pixels with its manifest."""
    generator = np.random.default_rng(0)
    shards = []
    for index in range(IMAGES // SHARD):
        file = f"train-{index:05}-of-{IMAGES // SHARD:05}.npy"
        np.save(folder / file, generator.integers(0, 256, (SHARD, SIZE, SIZE, 3), dtype=np.uint8))
        shards.append({"file": file, "images": SHARD, "sha256": ""})
    manifest = {
        "image_shape": [SIZE, SIZE, 3],
        "crop": None,
        "filter": "box",
        "splits": {"train": {"images": IMAGES, "shards": shards}},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


def images_per_second(split: Split, epoch: int) -> float:
    """Read a whole epoch, batch by batch, and return the rate."""
    start = time.perf_counter()
    order = feed.epoch_order(len(split), seed=1, epoch=epoch)
    for index in range(feed.batch_count(len(split), BATCH)):
        split.take(feed.batch_rows(order, batch_size=BATCH, index=index))
    return len(split) / (time.perf_counter() - start)


def main() -> None:
    """Print the median and the range over the epochs."""
    with tempfile.TemporaryDirectory() as folder:
        make_shards(Path(folder))
        split = open_split(Path(folder), "train")
        images_per_second(split, epoch=0)  # the first one maps the pages
        rates = [images_per_second(split, epoch) for epoch in range(1, EPOCHS + 1)]
    print(
        f"feed: {statistics.median(rates):,.0f} images/s, median of {EPOCHS} epochs "
        f"({min(rates):,.0f} to {max(rates):,.0f}); {SIZE}x{SIZE}, batch {BATCH}, exact shuffle"
    )


if __name__ == "__main__":
    main()
