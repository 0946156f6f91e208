import hashlib
import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from celeba_vae.faces.local import digest_of, import_dataset, is_image, warn_if_changed
from celeba_vae.runtime.errors import UserError

PARTITION = b"a.jpg 0\r\nb.jpg 1\r\nc.jpg 2\r\n"


def draw(path: Path, shade: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 30), (shade, 100, 200)).save(path)


def zipped(path: Path, *names: str, **texts: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, f"the bytes of {name}")
        for name, text in texts.items():
            archive.writestr(name.replace("__", "."), text)
    return path


def members(folder: Path) -> list[str]:
    with zipfile.ZipFile(folder / "img_align_celeba.zip") as archive:
        return archive.namelist()


def note(folder: Path) -> dict[str, str]:
    value: dict[str, str] = json.loads((folder / "source.json").read_text())
    return value


@pytest.mark.parametrize("give", ["folder", "archive"])
def test_an_archive_is_copied_with_the_annotations_beside_it(tmp_path: Path, give: str) -> None:
    source, raw = tmp_path / "source", tmp_path / "raw"
    archive = zipped(source / "img_align_celeba.zip", "img_align_celeba/a.jpg")
    (source / "list_eval_partition.txt").write_bytes(PARTITION)
    (source / "README.md").write_text("not for us")
    import_dataset(source if give == "folder" else archive, raw)
    assert sorted(path.name for path in raw.iterdir()) == [
        "img_align_celeba.zip",
        "list_eval_partition.txt",
        "source.json",
    ]
    assert (raw / "img_align_celeba.zip").read_bytes() == archive.read_bytes()
    assert (raw / "list_eval_partition.txt").read_bytes() == PARTITION
    assert note(raw)["source"] == "local"
    assert note(raw)["digest"] == digest_of(source)


def test_the_folders_of_the_official_release_are_searched(tmp_path: Path) -> None:
    zipped(tmp_path / "CelebA/Img/img_align_celeba.zip", "img_align_celeba/a.jpg")
    zipped(tmp_path / "CelebA/Img/img_celeba.zip", "img_celeba/a.jpg")
    (tmp_path / "CelebA/Eval").mkdir()
    (tmp_path / "CelebA/Eval/list_eval_partition.txt").write_bytes(PARTITION)
    import_dataset(tmp_path / "CelebA", tmp_path / "raw")
    assert members(tmp_path / "raw") == ["img_align_celeba/a.jpg"]
    assert (tmp_path / "raw/list_eval_partition.txt").read_bytes() == PARTITION


def test_annotations_inside_the_archive_are_taken_out(tmp_path: Path) -> None:
    archive = zipped(
        tmp_path / "source/archive.zip",
        "img_align_celeba/img_align_celeba/a.jpg",
        list_eval_partition__csv=b"image_id,partition\na.jpg,0\n",
        list_landmarks_align_celeba__csv=b"not for us",
    )
    import_dataset(archive, tmp_path / "raw")
    text = (tmp_path / "raw/list_eval_partition.csv").read_bytes()
    assert text == b"image_id,partition\na.jpg,0\n"
    assert not (tmp_path / "raw/list_landmarks_align_celeba.csv").exists()


def test_annotations_beside_the_archive_go_before_those_inside(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "s/archive.zip", "a.jpg", list_eval_partition__txt=b"a.jpg 1\n")
    (tmp_path / "s/list_eval_partition.csv").write_bytes(b"image_id,partition\na.jpg,0\n")
    import_dataset(archive, tmp_path / "raw")
    assert sorted(path.name for path in (tmp_path / "raw").glob("list*")) == [
        "list_eval_partition.csv"
    ]


def test_official_text_goes_before_csv(tmp_path: Path) -> None:
    zipped(tmp_path / "s/x.zip", "a.jpg")
    (tmp_path / "s/list_eval_partition.txt").write_bytes(PARTITION)
    (tmp_path / "s/list_eval_partition.csv").write_bytes(b"image_id,partition\n")
    import_dataset(tmp_path / "s", tmp_path / "raw")
    assert sorted(path.name for path in (tmp_path / "raw").glob("list*")) == [
        "list_eval_partition.txt"
    ]


def test_loose_images_are_packed_by_name(tmp_path: Path) -> None:
    source = tmp_path / "photos"
    for name in ("z.JPG", "deep/er/b.png", "deep/a.webp", "c.tif", ".hidden.jpg", ".git/d.jpg"):
        draw(source / name)
    (source / "notes.txt").write_text("not for us")
    import_dataset(source, tmp_path / "raw")
    assert members(tmp_path / "raw") == ["c.tif", "deep/a.webp", "deep/er/b.png", "z.JPG"]
    with zipfile.ZipFile(tmp_path / "raw/img_align_celeba.zip") as archive:
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
        for name in archive.namelist():
            assert archive.read(name) == (source / name).read_bytes()


@pytest.mark.parametrize("nested", ["img_align_celeba", "img_align_celeba/img_align_celeba"])
def test_an_unpacked_celeba_is_packed_without_what_lies_about(tmp_path: Path, nested: str) -> None:
    draw(tmp_path / "s" / nested / "000001.jpg")
    draw(tmp_path / "s/img_celeba/000001.jpg")
    draw(tmp_path / "s/figure.png")
    (tmp_path / "s/list_attr_celeba.csv").write_text("image_id,Young\n000001.jpg,1\n")
    import_dataset(tmp_path / "s", tmp_path / "raw")
    assert members(tmp_path / "raw") == [f"{nested}/000001.jpg"]
    assert (tmp_path / "raw/list_attr_celeba.csv").is_file()


def test_packing_depends_on_names_and_contents_alone(tmp_path: Path) -> None:
    for number, place in enumerate(("one", "two")):
        for name in ("a.jpg", "b.jpg") if number else ("b.jpg", "a.jpg"):
            draw(tmp_path / place / name, shade=ord(name[0]))
            os.utime(tmp_path / place / name, (number * 1e8, number * 1e8))
            (tmp_path / place / name).chmod(0o600 if number else 0o644)
        import_dataset(tmp_path / place, tmp_path / f"raw_{place}")
    archives = [(tmp_path / f"raw_{p}/img_align_celeba.zip").read_bytes() for p in ("one", "two")]
    assert archives[0] == archives[1]
    assert digest_of(tmp_path / "one") == digest_of(tmp_path / "two")


def test_the_digest_sees_names_contents_and_annotations(tmp_path: Path) -> None:
    draw(tmp_path / "s/a.jpg")
    digests = [digest_of(tmp_path / "s")]
    (tmp_path / "s/a.jpg").rename(tmp_path / "s/b.jpg")
    digests.append(digest_of(tmp_path / "s"))
    draw(tmp_path / "s/b.jpg", shade=9)
    digests.append(digest_of(tmp_path / "s"))
    (tmp_path / "s/list_eval_partition.txt").write_bytes(PARTITION)
    digests.append(digest_of(tmp_path / "s"))
    (tmp_path / "s/notes.txt").write_text("not for us")
    assert len(set(digests)) == 4
    assert digest_of(tmp_path / "s") == digests[-1]


def test_the_digest_is_what_its_docstring_says(tmp_path: Path) -> None:
    draw(tmp_path / "s/a.jpg")
    content = hashlib.sha256((tmp_path / "s/a.jpg").read_bytes()).hexdigest()
    assert digest_of(tmp_path / "s") == hashlib.sha256(f"a.jpg\0{content}\n".encode()).hexdigest()


def test_a_changed_or_vanished_source_is_warned_of(tmp_path: Path) -> None:
    source, raw = tmp_path / "s", tmp_path / "raw"
    draw(source / "a.jpg")
    import_dataset(source, raw)
    assert warn_if_changed(raw) is None
    draw(source / "b.jpg")
    changed = warn_if_changed(raw)
    shutil.rmtree(source)
    gone = warn_if_changed(raw)
    for warning in (changed, gone):
        assert warning is not None
        assert "dvc repro --force download" in warning
        assert str(source) in warning
        assert "\n" not in warning


def test_other_sources_are_not_compared(tmp_path: Path) -> None:
    (tmp_path / "source.json").write_text('{"source": "synthetic"}')
    assert warn_if_changed(tmp_path) is None


@pytest.mark.parametrize("text", [None, "{", "[]", '{"source": "local"}'])
def test_a_broken_note_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "source.json").write_text(text)
    with pytest.raises(UserError, match=r"source\.json: .*; run `dvc repro --force down"):
        warn_if_changed(tmp_path)


def refused(source: Path) -> str:
    raw = source.parent / "refused_raw"
    with pytest.raises(UserError) as error:
        import_dataset(source, raw)
    assert not raw.exists() or not list(raw.iterdir())
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_no_data_set_is_refused(tmp_path: Path) -> None:
    assert "there is no file or folder" in refused(tmp_path / "missing")

    (tmp_path / "empty").mkdir()
    assert "holds no .zip archive and no images" in refused(tmp_path / "empty")

    (tmp_path / "list.txt").write_text("a")
    assert "neither a folder nor a .zip archive" in refused(tmp_path / "list.txt")

    (tmp_path / "text.zip").write_text("<html>quota exceeded</html>")
    assert "not a readable zip archive" in refused(tmp_path / "text.zip")

    whole = zipped(tmp_path / "whole.zip", "a.jpg", "b.jpg").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:-30])
    assert "not a readable zip archive" in refused(tmp_path / "cut.zip")

    assert "holds no images" in refused(zipped(tmp_path / "docs.zip", "a.txt", "__MACOSX/a.jpg"))


def test_a_choice_between_archives_is_left_to_the_user(tmp_path: Path) -> None:
    zipped(tmp_path / "s/one.zip", "a.jpg")
    zipped(tmp_path / "s/two.zip", "a.jpg")
    assert "holds 2 archives" in refused(tmp_path / "s")
    (tmp_path / "s/two.zip").unlink()
    draw(tmp_path / "s/b.jpg")
    assert "holds images and the archive one.zip" in refused(tmp_path / "s")


def test_two_annotation_files_of_one_name_are_refused(tmp_path: Path) -> None:
    zipped(tmp_path / "s/one.zip", "a.jpg")
    for place in ("s/x", "s/y"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "list_eval_partition.txt").write_bytes(PARTITION)
    assert "two list_eval_partition.txt" in refused(tmp_path / "s")


def test_a_dangling_link_is_named(tmp_path: Path) -> None:
    draw(tmp_path / "s/a.jpg")
    (tmp_path / "s/b.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert f"{tmp_path / 's/b.jpg'} cannot be read" in refused(tmp_path / "s")


def test_is_image() -> None:
    assert all(is_image(name) for name in ("a.jpg", "x/b.JPEG", "../c.png", "/d.gif", "e f.TIF"))
    assert not any(
        is_image(name) for name in ("a.txt", "x/", "__MACOSX/a.jpg", "x/._a.jpg", ".x/a.jpg", "jpg")
    )


def test_a_name_that_no_zip_can_hold_is_refused(tmp_path: Path) -> None:
    draw(tmp_path / "s/a.jpg")
    (tmp_path / "s/a.jpg").rename(tmp_path / "s" / os.fsdecode(b"\xff.jpg"))
    assert "is not valid UTF-8" in refused(tmp_path / "s")


def test_names_in_any_script_are_kept(tmp_path: Path) -> None:
    draw(tmp_path / "s/Gesicht ä 顔.jpg")
    import_dataset(tmp_path / "s", tmp_path / "raw")
    assert members(tmp_path / "raw") == ["Gesicht ä 顔.jpg"]


def test_a_pipe_among_the_images_is_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    Image.new("RGB", (20, 20), "red").save(folder / "a.png")
    os.mkfifo(folder / "b.jpg")
    import_dataset(folder, tmp_path / "raw")
    with zipfile.ZipFile(tmp_path / "raw/img_align_celeba.zip") as archive:
        names = archive.namelist()
    assert [name.rpartition("/")[2] for name in names if is_image(name)] == ["a.png"]


def test_a_path_that_no_system_accepts_gets_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: File name too long"):
        import_dataset(tmp_path / ("x" * 300), tmp_path / "raw")


@pytest.mark.parametrize("give", ["folder", "archive"])
def test_a_pipe_among_the_files_is_not_waited_for(tmp_path: Path, give: str) -> None:
    archive = zipped(tmp_path / "s/a.zip", "a.jpg")
    os.mkfifo(tmp_path / "s/list_attr_celeba.csv")
    import_dataset(archive if give == "archive" else tmp_path / "s", tmp_path / "raw")
    assert not (tmp_path / "raw/list_attr_celeba.csv").exists()


LIST = b"image_id,partition\na.jpg,0\n"


def refused_early(source: Path, raw: Path) -> str:
    with pytest.raises(UserError) as error:
        import_dataset(source, raw)
    # Before anything is copied.
    assert not raw.exists()
    assert str(error.value).isprintable()
    return str(error.value)


def test_two_annotation_files_of_one_name_are_refused_in_archives_as_in_folders(
    tmp_path: Path,
) -> None:
    archive = zipped(tmp_path / "zip/a.zip", "a.jpg")
    folder = tmp_path / "folder"
    draw(folder / "a.jpg")
    with zipfile.ZipFile(archive, "a") as file:
        for place in ("new", "old"):
            file.writestr(f"{place}/list_eval_partition.csv", LIST)
            (folder / place).mkdir()
            (folder / place / "list_eval_partition.csv").write_bytes(LIST)
    assert "there are two list_eval_partition.csv in " in refused_early(archive, tmp_path / "raw")
    assert "there are two list_eval_partition.csv: " in refused_early(folder, tmp_path / "raw")
    # What stands beside the archive decides, whatever is in it.
    (tmp_path / "zip/list_eval_partition.txt").write_bytes(PARTITION)
    import_dataset(archive, tmp_path / "raw")
    assert not (tmp_path / "raw/list_eval_partition.csv").exists()


@pytest.mark.parametrize("place", ["__MACOSX/", ".hidden/", "list_attr_celeba.txt/"])
def test_hidden_tables_and_folders_in_archives_are_none(tmp_path: Path, place: str) -> None:
    archive = zipped(tmp_path / "a.zip", "a.jpg")
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("list_eval_partition.csv", LIST)
        file.writestr(place, b"")
        if not place.startswith("list"):
            file.writestr(f"{place}list_eval_partition.csv", b"junk")
    import_dataset(archive, tmp_path / "raw")
    names = sorted(path.name for path in (tmp_path / "raw").iterdir())
    assert names == ["img_align_celeba.zip", "list_eval_partition.csv", "source.json"]
    assert (tmp_path / "raw/list_eval_partition.csv").read_bytes() == LIST


def test_a_table_that_unpacks_to_too_much_is_refused_unread(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", "a.jpg", list_eval_partition__csv=LIST)
    # The directory of the archive says 3 GB.
    content = bytearray(archive.read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = (3_000_000_000).to_bytes(4, "little")
    archive.write_bytes(content)
    message = refused_early(archive, tmp_path / "raw")
    assert "list_eval_partition.csv has 3000000000 bytes, more than 268435456" in message
    # One that says too little is cut short, and so damaged.
    content[entry + 24 : entry + 28] = (3).to_bytes(4, "little")
    archive.write_bytes(content)
    with pytest.raises(UserError, match=r"list_eval_partition\.csv cannot be read: Bad CRC"):
        import_dataset(archive, tmp_path / "raw")


@pytest.mark.parametrize("member", ["a.jpg", "list_eval_partition.csv"])
@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        (10, 9, "is compressed with Deflate64, which cannot be read here: pack the archive again"),
        (10, 98, "is compressed with PPMd"),
        (10, 77, "is compressed with method 77"),
        (8, 1, "is encrypted: pack the archive again, without a password"),
    ],
)
def test_what_cannot_be_unpacked_is_said_at_once(
    tmp_path: Path, member: str, field: int, value: int, reason: str
) -> None:
    archive = zipped(tmp_path / "a.zip", "a.jpg", "b.jpg", list_eval_partition__csv=LIST)
    content = bytearray(archive.read_bytes())
    entry = content.rindex(member.encode()) - 46
    assert content[entry : entry + 4] == b"PK\x01\x02"
    content[entry + field : entry + field + 2] = value.to_bytes(2, "little")
    archive.write_bytes(content)
    assert f"{archive}: {member} {reason}" in refused_early(archive, tmp_path / "raw")


def test_the_name_of_a_member_cannot_forge_a_line(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", "a.jpg\nerror: lost\x1b[2J.jpg")
    content = archive.read_bytes()
    place = content.rindex(b"PK\x01\x02") + 8
    archive.write_bytes(content[:place] + b"\x01" + content[place + 1 :])
    assert r"a.jpg\nerror: lost\x1b[2J.jpg is encrypted" in refused_early(archive, tmp_path / "raw")
