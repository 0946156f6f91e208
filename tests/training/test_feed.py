import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from celeba_vae.training import feed

seeds = st.integers(0, 2**32 - 1)


@given(images=st.integers(1, 500), size=st.integers(1, 60), seed=seeds, epoch=st.integers(1, 9))
def test_each_epoch_holds_every_image_once(images: int, size: int, seed: int, epoch: int) -> None:
    order = feed.epoch_order(images, seed=seed, epoch=epoch)
    batches = [
        feed.batch_rows(order, batch_size=size, index=index)
        for index in range(feed.batch_count(images, size))
    ]
    assert sorted(np.concatenate(batches)) == list(range(images))
    assert all(len(batch) == size for batch in batches[:-1])
    assert 1 <= len(batches[-1]) <= size


def test_order_depends_on_seed_and_epoch_alone() -> None:
    first = feed.epoch_order(1000, seed=1, epoch=1)
    assert np.array_equal(first, feed.epoch_order(1000, seed=1, epoch=1))
    for seed, epoch in ((1, 2), (2, 1)):
        assert (first == feed.epoch_order(1000, seed=seed, epoch=epoch)).mean() < 0.01


def test_noise_is_standard_normal_and_never_the_same() -> None:
    shape = (64, 256)
    places = [(seed, epoch, index) for seed in (1, 2) for epoch in (1, 2) for index in (0, 1)]
    drawn = [feed.noise(shape, seed=s, epoch=e, index=i) for s, e, i in places]
    drawn += [feed.validation_noise(shape, seed=1, index=index) for index in (0, 1)]
    for one in drawn:
        assert one.dtype == np.float32
        assert abs(one.mean()) < 5 / np.sqrt(one.size)
        assert abs(one.std() - 1) < 5 / np.sqrt(2 * one.size)
    correlations = np.corrcoef([one.ravel() for one in drawn])
    assert np.abs(correlations - np.eye(len(drawn))).max() < 5 / np.sqrt(drawn[0].size)


def test_noise_of_a_short_batch_is_the_head_of_a_long_one() -> None:
    long, short = (feed.noise((n, 8), seed=3, epoch=1, index=4) for n in (16, 5))
    assert np.array_equal(long[:5], short)
