from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeba_vae.faces.layout import OFFICIAL_SPLIT, SPLITS
from celeba_vae.params import PrepareParams
from celeba_vae.runtime.errors import UserError
from celeba_vae.shards.splits import assign_splits, drawn_split

NAMES = [f"{number:06d}.jpg" for number in range(1, 41)]
MANY = [f"{number:03d}.jpg" for number in range(120)]


def params(**changes: object) -> PrepareParams:
    values: dict[str, object] = {
        "size": 16,
        "crop": 148,
        "filter": "area",
        "shard_images": 7,
        "on_bad_image": "fail",
        "split": "drawn",
        "split_by": "image",
        "validation": None,
        "test": None,
        "seed": 1,
    }
    return PrepareParams.model_validate(values | changes)


def splits_of(
    names: list[str],
    partition: Mapping[str, int] | None = None,
    identity: Mapping[str, int] | None = None,
    content: Mapping[str, str] | None = None,
    **changes: object,
) -> dict[str, list[str]]:
    return assign_splits(
        names,
        partition=partition,
        identity=identity,
        content=content or {name: name for name in names},
        params=params(**changes),
    )


def refused(names: list[str], partition: Mapping[str, int] | None = None, **changes: object) -> str:
    with pytest.raises(UserError) as error:
        splits_of(names, partition, None, None, **changes)
    assert "\n" not in str(error.value)
    return str(error.value)


@given(st.text(max_size=30), st.integers(0, 2**32 - 1))
def test_a_drawn_split_is_a_function_of_seed_and_name(name: str, seed: int) -> None:
    assert drawn_split(name, seed) == drawn_split(name, seed)
    assert drawn_split(name, seed) in SPLITS


def test_drawn_splits_are_pinned() -> None:
    # Another hash or another order would move the images of all who have trained on a split.
    drawn = {name: drawn_split(name, 1) for name in NAMES[:12]}
    assert [SPLITS.index(split) for split in drawn.values()] == [0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]


def test_drawn_splits_have_the_proportions_of_celeba() -> None:
    count = 20_000
    for seed in (0, 1):
        drawn = Counter(drawn_split(f"{number}.jpg", seed) for number in range(count))
        for split, images in zip(SPLITS, OFFICIAL_SPLIT, strict=True):
            share = images / sum(OFFICIAL_SPLIT)
            # Four standard deviations of a binomial count.
            assert abs(drawn[split] - count * share) < 4 * (count * share * (1 - share)) ** 0.5
    moved = sum(drawn_split(f"{n}.jpg", 0) != drawn_split(f"{n}.jpg", 1) for n in range(1000))
    assert moved > 200


def test_the_partition_decides_where_the_split_is_given() -> None:
    partition = {name: (2, 0, 1)[place % 3] for place, name in enumerate(NAMES)}
    assert splits_of(NAMES, partition, split="given") == {
        "train": NAMES[1::3],
        "validation": NAMES[2::3],
        "test": NAMES[0::3],
    }


def test_without_a_partition_the_split_is_drawn() -> None:
    splits = splits_of(MANY, split="given", seed=5)
    for split in SPLITS:
        assert splits[split] == [name for name in MANY if drawn_split(name, 5) == split]


def test_the_order_of_the_names_stays_and_moves_none() -> None:
    splits, reverse = splits_of(MANY), splits_of(MANY[::-1])
    assert reverse == {split: names[::-1] for split, names in splits.items()}


@pytest.mark.parametrize("images", [0, 1])
def test_a_split_without_a_pair_of_images_is_refused(images: int) -> None:
    partition = {name: 0 if place < 5 else 2 for place, name in enumerate(NAMES)}
    partition |= dict.fromkeys(NAMES[:images], 1)
    message = refused(NAMES[:9], partition, split="given")
    assert "the split validation has fewer than 2 images" in message
    assert f"{5 - images} train, {images} validation, 4 test" in message
    assert "by the partition file" in message
    # What it says to set instead, works.
    assert "prepare.validation=5 and prepare.test=5" in refused(NAMES[:12])
    sizes = splits_of(NAMES[:12], validation=5, test=5)
    assert [len(names) for names in sizes.values()] == [2, 5, 5]


def test_a_split_is_drawn_by_fractions() -> None:
    partition = {name: place % 3 for place, name in enumerate(MANY)}
    splits = splits_of(MANY, partition, seed=3, validation=0.25, test=0.5)
    for split in SPLITS:
        assert splits[split] == [
            name for name in MANY if drawn_split(name, 3, validation=0.25, test=0.5) == split
        ]
    assert splits != splits_of(MANY, partition, validation=0.25, test=0.5)
    # The partition file is passed over, and without sizes CelebA's proportions hold.
    assert splits_of(MANY, partition, seed=3)["test"] == [
        name for name in MANY if drawn_split(name, 3) == "test"
    ]


def test_a_split_is_drawn_by_counts() -> None:
    splits = splits_of(NAMES, validation=9, test=4)
    assert {split: len(names) for split, names in splits.items()} == {
        "train": 27,
        "validation": 9,
        "test": 4,
    }
    assert sorted(name for names in splits.values() for name in names) == NAMES
    assert splits != splits_of(NAMES, validation=9, test=4, seed=2)
    larger = splits_of(NAMES, validation=9, test=5)
    assert set(splits["test"]) < set(larger["test"])


@pytest.mark.parametrize("sizes", [(0.2, 0.3), (7, 8), (None, None)])
def test_people_are_kept_whole(sizes: tuple[float | None, float | None]) -> None:
    person = {name: int(name[:3]) // 3 % 30 for name in MANY}
    validation, test = sizes
    splits = splits_of(MANY, identity=person, split_by="identity", validation=validation, test=test)
    people = [{person[name] for name in names} for names in splits.values()]
    assert sum(map(len, people)) == len(set.union(*people)) == 30
    if isinstance(test, int):
        # Each person has three images, or six.
        assert abs(len(splits["test"]) - 8) < 6
        assert abs(len(splits["validation"]) - 7) < 6


@given(st.lists(st.integers(0, 20), min_size=6, max_size=60), st.integers(0, 2**32 - 1))
def test_equal_contents_are_kept_together(contents: list[int], seed: int) -> None:
    content = {f"{place}.jpg": str(number) for place, number in enumerate(contents)}
    try:
        splits = splits_of(list(content), content=content, split_by="content", seed=seed)
    except UserError as error:
        assert "has fewer than 2 images" in str(error) or len(set(contents)) < 3
        return
    found = [{content[name] for name in names} for names in splits.values()]
    assert sum(map(len, found)) == len(set(contents))


def test_impossible_splits_are_refused() -> None:
    with pytest.raises(UserError, match=r"by is identity, but the images have 2 of them for 3 spl"):
        splits_of(NAMES, identity={name: int(name[:6]) % 2 for name in NAMES}, split_by="identity")
    message = refused(NAMES[:6], split_by="identity")
    assert "prepare.split_by is identity, but the source brought no identity_CelebA.txt" in message
    message = refused(NAMES[:6], validation=3, test=3)
    assert "prepare.validation + prepare.test = 6 images, but there are 6" in message
    message = refused(NAMES[:6], validation=0.0001, test=0.0001)
    assert "has fewer than 2 images (6 train, 0 validation, 0 test" in message
