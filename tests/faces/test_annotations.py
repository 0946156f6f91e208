from pathlib import Path

import pytest

from celeba_vae.faces.annotations import read_annotations
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
