from celeba_vae.runtime.mappings import changes, flatten


def test_nested_mappings_become_flat_by_their_whole_names() -> None:
    nested = {"packages": {"numpy": "2.4", "deep": {"er": [1, 2]}}, "threads": 2, "none": None}
    assert flatten(nested) == {
        "packages.numpy": "2.4",
        "packages.deep.er": [1, 2],
        "threads": 2,
        "none": None,
    }
    assert flatten({}) == {}


def test_changes_name_key_and_both_values_in_order() -> None:
    first = {"a": {"x": 1, "y": [1, 2]}, "b": 2, "gone": True}
    second = {"a": {"x": 1, "y": [1, 3]}, "new": None, "b": 2.5}
    assert changes(first, second, label="now") == [
        "a.y: 1 2, now 1 3",
        "b: 2, now 2.5",
        "gone: True, now none",
        "new: none, now None",
    ]
    assert changes(first, first, label="now") == []
