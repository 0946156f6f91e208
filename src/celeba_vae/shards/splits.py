"""Which image goes into which split: by the partition file, or drawn by image, person or content.

Pure: names in, names out. No file is read or written.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from celeba_vae.faces.layout import IDENTITY_FILE, OFFICIAL_SPLIT, SPLITS
from celeba_vae.params import PrepareParams
from celeba_vae.runtime.errors import UserError

# One image has no spread and no pair, and nothing can be chosen on it.
SMALLEST_SPLIT = 2

# What CelebA has in its splits, as fractions of all.
_, _VALIDATION, _TEST = (images / sum(OFFICIAL_SPLIT) for images in OFFICIAL_SPLIT)


def assign_splits(
    names: Sequence[str],
    *,
    partition: Mapping[str, int] | None,
    identity: Mapping[str, int] | None,
    content: Mapping[str, str],
    params: PrepareParams,
) -> dict[str, list[str]]:
    """Return the names in each split, in the given order.

    Args:
        names: of the images.
        partition: the index into layout.SPLITS of each name; None if there is no such file.
        identity: the number of each name's person; None if there is no such file.
        content: the same text for images whose files have the same bytes.
        params: split, split_by, validation, test and seed.

    Raises:
        UserError: the split is impossible, or one would have less than SMALLEST_SPLIT images.
    """
    if params.split == "given" and partition is not None:
        split_of = {name: SPLITS[partition[name]] for name in names}
        origin = "by the partition file; prepare.split=drawn draws them"
    else:
        groups = _groups(names, identity, content, params)
        if params.split_by != "image" and len(groups) < len(SPLITS):
            raise UserError(
                f"prepare.split_by is {params.split_by}, but the images have {len(groups)} of them "
                f"for {len(SPLITS)} splits: bring more, or set prepare.split_by=image"
            )
        split_of = _drawn(groups, len(names), params)
        origin = (
            "as drawn from prepare.seed; give their numbers, such as prepare.split=drawn, "
            "prepare.validation=5 and prepare.test=5, or bring more images, or a partition file"
        )
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    for name in names:
        splits[split_of[name]].append(name)
    for split, members in splits.items():
        if len(members) < SMALLEST_SPLIT:
            counts = ", ".join(f"{len(members)} {split}" for split, members in splits.items())
            raise UserError(
                f"the split {split} has fewer than {SMALLEST_SPLIT} images ({counts}, {origin})"
            )
    return splits


def drawn_split(
    key: str, seed: int, *, validation: float = _VALIDATION, test: float = _TEST
) -> str:
    """Return the split into which an image is drawn, or a person or a content with all images.

    It is drawn from a hash of seed and key alone, so adding or removing others moves none.

    Args:
        key: the image's name, the person's number, or what stands for the content.
        seed: another one, another split.
        validation: probability of validation; by default its share of CelebA's 202,599 images.
        test: probability of test; the rest is train.
    """
    place = _draw(key, seed) / 2**64
    if place < 1 - validation - test:
        return SPLITS[0]
    return SPLITS[1] if place < 1 - test else SPLITS[2]


def _draw(key: str, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{key}".encode()).digest()[:8], "big")


def _groups(
    names: Iterable[str],
    identity: Mapping[str, int] | None,
    content: Mapping[str, str],
    params: PrepareParams,
) -> dict[str, list[str]]:
    """Return the names that are drawn together, by what they are drawn by."""
    if params.split_by == "image":
        return {name: [name] for name in names}
    key: Mapping[str, int | str] = content
    if params.split_by == "identity":
        if identity is None:
            raise UserError(
                f"prepare.split_by is identity, but the source brought no {IDENTITY_FILE}: bring "
                "one, or set prepare.split_by=image"
            )
        key = identity
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[str(key[name])].append(name)
    return groups


def _drawn(groups: Mapping[str, list[str]], images: int, params: PrepareParams) -> dict[str, str]:
    """Return the split of each image; the images of a group stay together."""
    validation, test = params.validation, params.test
    if isinstance(validation, int) and isinstance(test, int):
        if validation + test >= images:
            raise UserError(
                f"prepare.validation + prepare.test = {validation + test} images, but there are "
                f"{images}: their sum must be smaller, train is the rest"
            )
        # The same order as by fractions: the highest draws are test, then comes validation.
        order = sorted(groups, key=lambda key: (_draw(key, params.seed), key), reverse=True)
        splits = {}
        taken = 0
        for key in order:
            train_begins = taken >= test + validation
            splits[key] = "train" if train_begins else "validation" if taken >= test else "test"
            taken += len(groups[key])
    elif validation is None or test is None:
        splits = {key: drawn_split(key, params.seed) for key in groups}
    else:
        splits = {
            key: drawn_split(key, params.seed, validation=validation, test=test) for key in groups
        }
    return {name: splits[key] for key, names in groups.items() for name in names}
