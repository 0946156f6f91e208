import csv
import io
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from celeba_vae.faces.annotations import ANNOTATION_FILES, Annotations, read_annotations
from celeba_vae.runtime.errors import UserError

ATTRIBUTES = "3\nSmiling Young \nb.jpg -1  1\na.jpg  1 -1\nc.jpg  1  1\n"
PARTITION = "b.jpg 2\na.jpg 0\nc.jpg 1\n"
IDENTITY = "c.jpg 7\na.jpg 12\nb.jpg 7\n"


def write(folder: Path, **files: str) -> Path:
    names = {
        "attributes": "list_attr_celeba.txt",
        "attributes_csv": "list_attr_celeba.csv",
        "partition": "list_eval_partition.txt",
        "partition_csv": "list_eval_partition.csv",
        "identity": "identity_CelebA.txt",
        "factors": "factors.csv",
    }
    for kind, text in files.items():
        (folder / names[kind]).write_bytes(text.encode())
    return folder


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_official_files_are_joined_by_name(tmp_path: Path, end: str) -> None:
    texts = {"attributes": ATTRIBUTES, "partition": PARTITION, "identity": IDENTITY}
    write(tmp_path, **{kind: text.replace("\n", end) for kind, text in texts.items()})
    found = read_annotations(tmp_path)
    assert found.attribute_names == ("Smiling", "Young")
    assert found.attributes == {"a.jpg": (1, -1), "b.jpg": (-1, 1), "c.jpg": (1, 1)}
    assert found.partition == {"a.jpg": 0, "b.jpg": 2, "c.jpg": 1}
    assert found.identity == {"a.jpg": 12, "b.jpg": 7, "c.jpg": 7}
    assert found.factors is None


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_kaggle_csv_says_the_same_as_the_official_text(tmp_path: Path, mark: str) -> None:
    official, kaggle = tmp_path / "official", tmp_path / "kaggle"
    official.mkdir()
    kaggle.mkdir()
    write(official, attributes=ATTRIBUTES, partition=PARTITION)
    write(
        kaggle,
        attributes_csv=mark + "image_id,Smiling,Young\r\nb.jpg,-1,1\r\na.jpg,1,-1\r\nc.jpg,1,1\r\n",
        partition_csv=mark + "image_id,partition\nb.jpg,2\na.jpg,0\nc.jpg,1\n",
    )
    assert read_annotations(official) == read_annotations(kaggle)


def test_factors_are_kept_as_text(tmp_path: Path) -> None:
    write(tmp_path, factors="file_name,tilt,hat\na.jpg,-0.50,none\n")
    found = read_annotations(tmp_path)
    assert found.factor_names == ("tilt", "hat")
    assert found.factors == {"a.jpg": ("-0.50", "none")}


def test_no_files_are_no_annotations(tmp_path: Path) -> None:
    found = read_annotations(tmp_path)
    assert (found.attributes, found.partition, found.identity, found.factors) == (None,) * 4
    assert found.tables() == {}


def test_a_wrong_count_is_reported_and_ignored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, attributes=ATTRIBUTES.replace("3\n", "202599\n", 1))
    found = read_annotations(tmp_path)
    assert found.attributes is not None
    assert len(found.attributes) == 3
    assert "announces 202599 rows, but there are 3" in capsys.readouterr().err


def test_the_right_count_is_not_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, attributes=ATTRIBUTES)
    read_annotations(tmp_path)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("kind", "text", "file", "line", "reason"),
    [
        ("attributes", "3\nA B\na.jpg 1 1\nb.jpg 1\n", "list_attr_celeba.txt", 4, "has 2 cells"),
        ("attributes", "3\nA B\na.jpg 1 1 1\n", "list_attr_celeba.txt", 3, "has 4 cells"),
        ("attributes", "3\nA B\n\na.jpg 1 0\n", "list_attr_celeba.txt", 4, "1 or -1, not '0'"),
        ("attributes", "1\nA B\na.jpg 1 1\na.jpg 1 1\n", "list_attr_celeba.txt", 4, "already"),
        ("attributes", "A B\na.jpg 1 1\n", "list_attr_celeba.txt", 1, "number of rows"),
        ("attributes", "1\nA A\na.jpg 1 1\n", "list_attr_celeba.txt", 2, "only once"),
        ("attributes_csv", "a.jpg,1\n", "list_attr_celeba.csv", 1, "image_id"),
        ("attributes_csv", "image_id,A\na.jpg,1\nb.jpg,2\n", "list_attr_celeba.csv", 3, "'2'"),
        ("partition", "a.jpg 0\r\nb.jpg 3\r\n", "list_eval_partition.txt", 2, "0, 1 or 2"),
        ("partition", "a.jpg 0\nb.jpg\n", "list_eval_partition.txt", 2, "1 value,"),
        ("partition", "a.jpg 0\na.jpg 1\n", "list_eval_partition.txt", 2, "already"),
        ("partition_csv", "image_id,a,b\na.jpg,0,0\n", "list_eval_partition.csv", 1, "2 columns"),
        ("identity", "a.jpg -5\n", "identity_CelebA.txt", 1, "whole number"),
        ("identity", f"a.jpg {'1' * 5000}\n", "identity_CelebA.txt", 1, "whole number"),
        ("attributes", f"{'9' * 5000}\nA\na.jpg 1\n", "list_attr_celeba.txt", 1, "number of rows"),
        ("attributes", "1\nA\na\u2028b\x1b[2J.jpg q\n", "list_attr_celeba.txt", 3, "has 3 cells"),
        ("factors", "file_name,x\na.jpg,1\na.jpg,2\n", "factors.csv", 3, "already"),
    ],
)
def test_a_bad_line_is_named(
    tmp_path: Path, kind: str, text: str, file: str, line: int, reason: str
) -> None:
    write(tmp_path, **{kind: text})
    with pytest.raises(UserError) as error:
        read_annotations(tmp_path)
    message = str(error.value)
    assert f"{tmp_path / file}, line {line}: " in message
    assert reason in message
    assert "\n" not in message


@pytest.mark.parametrize("content", [b"", b"\r\n\r\n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "list_eval_partition.txt").write_bytes(content)
    with pytest.raises(UserError, match="has no rows"):
        read_annotations(tmp_path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "list_eval_partition.txt").write_bytes(b"a.jpg 0\n\xff\xfe 1\n")
    with pytest.raises(UserError, match=r"list_eval_partition\.txt: cannot be read"):
        read_annotations(tmp_path)


def test_a_broken_quote_is_refused(tmp_path: Path) -> None:
    write(tmp_path, factors='file_name,x\na.jpg,1\n"b.jpg,2\n')
    with pytest.raises(UserError, match=r"factors\.csv, after line 2"):
        read_annotations(tmp_path)


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    for texts in (
        {"attributes": "1\nSmiling Split\na.jpg 1 1\n"},
        {"attributes_csv": "image_id,Smiling,Split\na.jpg,1,1\n"},
    ):
        folder = tmp_path / next(iter(texts))
        folder.mkdir()
        write(folder, **texts)
        read_annotations(folder)
        with pytest.raises(UserError, match=r"list_attr_celeba.*: an attribute is called 'Split'"):
            read_annotations(folder, is_free=lambda name: name != "split")


FILES = [name for names in ANNOTATION_FILES for name in names]
# What such tables are made of, so that many of them are almost right.
PIECES = st.sampled_from(
    (
        *(b"image_id", b"file_name", b"partition", b"A", b"a.jpg", b"b.jpg", b",", b" ", b'"'),
        *(b"1", b"-1", b" 1", b"0", b"2", b"9" * 5000, b"\n", b"\r\n", b"\r", b'"\n"', b"\0"),
        *(b"\xef\xbb\xbf", b"\xff", b"\x1b", b"\xe2\x80\xa8", b"\xd9\xa1", b"\xe2\x80\xae"),
    )
)
TABLES = st.one_of(st.binary(max_size=60), st.lists(PIECES, max_size=30).map(b"".join))


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(FILES), TABLES, min_size=1, max_size=2))
@example({"list_attr_celeba.txt": b"9" * 5000 + b"\nA\na.jpg 1\n"})
def test_any_bytes_are_a_table_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    for name, content in files.items():
        (folder / name).write_bytes(content)
    try:
        found = read_annotations(folder)
    except UserError as error:
        assert str(error).isprintable()
        assert any(str(folder / name) in str(error) for name in files)
    else:
        assert isinstance(found, Annotations)
        for signs in (found.attributes or {}).values():
            assert len(signs) == len(found.attribute_names)
            assert set(signs) <= {1, -1}
        assert set((found.partition or {}).values()) <= {0, 1, 2}
        assert all(0 <= number < 10**18 for number in (found.identity or {}).values())


# Letters of any kind but those that end a line or a cell.
CELL = st.text(st.characters(exclude_categories=("Cs", "Z", "C")), min_size=1, max_size=8)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(CELL, min_size=1, max_size=4, unique=True),
    st.dictionaries(CELL, st.lists(st.sampled_from((1, -1)), min_size=4, max_size=4), min_size=1),
    st.sampled_from(["\n", "\r\n"]),
)
def test_any_names_come_back_from_text_and_csv(
    tmp_path_factory: pytest.TempPathFactory,
    titles: list[str],
    rows: dict[str, list[int]],
    end: str,
) -> None:
    rows = {name: signs[: len(titles)] for name, signs in rows.items()}
    text = [str(len(rows)), " ".join(titles)]
    text += [" ".join([name, *map(str, signs)]) for name, signs in rows.items()]
    stream = io.StringIO()
    csv.writer(stream, lineterminator=end).writerows(
        [["image_id", *titles], *([name, *signs] for name, signs in rows.items())]
    )
    for file, content in (
        ("list_attr_celeba.txt", end.join(text)),
        ("list_attr_celeba.csv", stream.getvalue()),
    ):
        folder = tmp_path_factory.mktemp("names")
        (folder / file).write_bytes(content.encode())
        found = read_annotations(folder)
        assert found.attribute_names == tuple(titles)
        assert found.attributes == {name: tuple(signs) for name, signs in rows.items()}
