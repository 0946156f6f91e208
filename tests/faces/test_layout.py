from hypothesis import given
from hypothesis import strategies as st

from celeba_vae.faces.layout import OFFICIAL_SPLIT, split_counts


@given(images=st.integers(1, 10**7))
def test_split_counts_are_whole_and_in_proportion(images: int) -> None:
    counts = split_counts(images)
    assert sum(counts) == images
    for count, official in zip(counts, OFFICIAL_SPLIT, strict=True):
        assert abs(count - images * official / sum(OFFICIAL_SPLIT)) <= 1


def test_split_of_the_whole_is_the_official_one() -> None:
    assert split_counts(sum(OFFICIAL_SPLIT)) == OFFICIAL_SPLIT
