"""How fast the feed hands out batches, beside TFRecord: `python -m tests.benchmarks.feed`.

Shards of random pixels are made in a temporary folder: 16,384 images in four shards, as many
bytes as stay in the page cache. A batch is 128 images of an epoch's exact shuffle. The same images
are read out of TFRecord files of raw bytes as tf.data's guide does it: interleaved files, a shuffle
buffer of 4,096 (so no exact shuffle), parsed batch by batch, prefetched. Both by turns.
"""

import json
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from celeba_vae.shards.read import Split, open_split
from celeba_vae.training import feed
from tests.support import manifest_of

IMAGES, SHARD, SIZE, BATCH, EPOCHS = 16_384, 4_096, 96, 128, 7


def make_shards(folder: Path) -> None:
    """Write a training split of random pixels with its manifest."""
    generator = np.random.default_rng(0)
    shards = []
    for index in range(IMAGES // SHARD):
        file = f"train-{index:05}-of-{IMAGES // SHARD:05}.npy"
        np.save(folder / file, generator.integers(0, 256, (SHARD, SIZE, SIZE, 3), dtype=np.uint8))
        shards.append({"file": file, "images": SHARD, "sha256": ""})
    manifest = manifest_of(SIZE, {"train": {"images": IMAGES, "shards": shards}})
    (folder / "manifest.json").write_text(json.dumps(manifest))


def images_per_second(split: Split, epoch: int) -> float:
    """Read a whole epoch, batch by batch, and return the rate."""
    start = time.perf_counter()
    order = feed.epoch_order(len(split), seed=1, epoch=epoch)
    for index in range(feed.batch_count(len(split), BATCH)):
        split.take(feed.batch_rows(order, batch_size=BATCH, index=index))
    return len(split) / (time.perf_counter() - start)


def make_records(folder: Path, split: Split) -> None:
    """Write the same images into as many TFRecord files."""
    for number, shard in enumerate(split.shards):
        with tf.io.TFRecordWriter(str(folder / f"{number}.tfrecord")) as writer:
            for image in shard:
                value = tf.train.Feature(bytes_list=tf.train.BytesList(value=[image.tobytes()]))
                example = tf.train.Example(features=tf.train.Features(feature={"image": value}))
                writer.write(example.SerializeToString())


def records(folder: Path) -> tf.data.Dataset:
    """Return batches of the images of the TFRecord files, uint8 (n, size, size, 3)."""

    def parse(examples: tf.Tensor) -> tf.Tensor:
        described = {"image": tf.io.FixedLenFeature((), tf.string)}
        texts = tf.io.parse_example(examples, described)["image"]
        return tf.reshape(tf.io.decode_raw(texts, tf.uint8), (-1, SIZE, SIZE, 3))

    files = tf.data.Dataset.list_files(str(folder / "*.tfrecord"))
    return (
        files.interleave(tf.data.TFRecordDataset, num_parallel_calls=tf.data.AUTOTUNE)
        .shuffle(SHARD)
        .batch(BATCH)
        .map(parse, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


def records_per_second(batches: tf.data.Dataset) -> float:
    """Read a whole epoch and return the rate."""
    start = time.perf_counter()
    count = sum(len(batch.numpy()) for batch in batches)
    return count / (time.perf_counter() - start)


def main() -> None:
    """Print the medians and the ranges over the epochs."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_shards(folder)
        split = open_split(folder, "train")
        make_records(folder, split)
        batches = records(folder)
        # The first epochs map the pages.
        images_per_second(split, epoch=0), records_per_second(batches)
        rates = np.array(
            [
                (images_per_second(split, epoch), records_per_second(batches))
                for epoch in range(1, EPOCHS + 1)
            ]
        )
    for name, column in zip(("feed", "TFRecord"), rates.T, strict=True):
        print(
            f"{name}: {np.median(column):,.0f} images/s, median of {EPOCHS} epochs "
            f"({column.min():,.0f} to {column.max():,.0f}); {SIZE}x{SIZE}, batch {BATCH}"
        )
    print(f"the feed is {np.median(rates[:, 0] / rates[:, 1]):.0f} times as fast")


if __name__ == "__main__":
    main()
