import base64
import io
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from dvc.api import DVCFileSystem
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from celeba_vae.plots.grids import labelled_png
from celeba_vae.report import texts
from celeba_vae.report.build import build_report, folder_md5
from celeba_vae.report.metrics import read_metrics
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.files import sha256_of, write_json, write_tsv
from stages.report import _code
from tests.damage import REPLACEMENTS, damaged
from tests.support import ROOT, manifest_of

SECTIONS = [
    "which",
    "good",
    "next",
    "faces",
    "training",
    "zpoints",
    "attributes",
    "quality",
    "provenance",
    "glossary",
]
DEFAULTS: dict[str, Any] = {
    "download": {"source": "synthetic", "path": None, "url": None},
    "model": {"filters": (4, 8), "batch_norm": True, "inter_dense": None},
    "train": {"batch_size": 16, "loss": "bernoulli", "learning_rate_schedule": "constant"},
    "evaluate": {"fid": None},
    "threads": 2,
}
# The labelled grids that the stages leave, with their labels.
LABELLED = {
    "samples/overview": ("images", "reconstructions", "from N(0, I)"),
    "zpoints/plots/scales": ("0 z", "1 z"),
    "zpoints/plots/cubes": ("b = 1", "N(0, I)"),
    "attributes/plots/push_Smiling": ("Smiling", "not Smiling"),
    "evaluation/plots/best_and_worst": ("best", "worst"),
    "evaluation/plots/nearest_normal": ("generated", "nearest of train"),
}
NO_CODE: Mapping[str, str] = {}
CHROMIUM = shutil.which("chromium")


class Page(HTMLParser):
    """What is in a page: tags with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(self.texts)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """What the stages of a small run leave, as far as the report reads it."""
    folder = tmp_path / "data"
    pictures = [
        *(f"samples/{n}" for n in ("overview", "random_gaussian", *texts.SAMPLES)),
        *(f"zpoints/plots/{n}" for n in (*texts.ZPOINTS, *texts.MORE_ZPOINTS) if n != "tsne"),
        *(f"attributes/plots/{n}" for n in ("auc", "factors")),
        *LABELLED,
    ]
    generator = np.random.default_rng(0)
    for name in pictures:
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if labels := LABELLED.get(name, ()):
            faces = generator.integers(0, 256, (3 * len(labels), 20, 20, 3), dtype=np.uint8)
            path.write_bytes(labelled_png(faces, columns=3, labels=labels, heads=("-1", "0", "+1")))
        else:
            Image.fromarray(generator.integers(0, 256, (20, 300, 3), dtype=np.uint8)).save(path)
    split = {"images": 5, "z_dim": 2, "kl_nats_per_image": 0.5, "condition_number": None}
    split |= {"z_radius_mean": 1.4, "z_radius_std": 0.7, "chi_mean": 1.25, "chi_std": 0.66}
    split |= {"std_z_mean": 1.01}
    compared = {"swd": 12.5, "recall": 0.5, "memorisation_ratio": 1, "pair_similarity": 0.4}
    metrics: dict[str, dict[str, Any]] = {
        "train": {
            **{"encoder_parameters": 900, "decoder_parameters": 1000, "training_images": 38},
            "step_bytes": 123_456_789,
            **{"epochs": 2, "val_reconstruction": 2100.5, "val_kl": 0.5},
        },
        "zpoints": {
            **dict.fromkeys(("train", "validation", "test"), split),
            "samplers": {"best": "normal", "normal_energy_distance": 0.1},
            "region": {"best_b": 1.6},
        },
        "generate": {"psnr_db_mean": 21.7, "ssim_mean": 0.6, "sampler": "gmm", "temperature": 0.9},
        "attributes": {"probes": 1, "factors": {"mig": 0.01}},
        "evaluate": {
            "reconstruction": {"images": 5},
            "likelihood": {"bound_bits_per_dimension": 6.5},
            "samples": {
                "images": 5,
                "test": {"train_distance": 0.09},
                "validation": compared,
                "reconstructions": compared,
                "normal": compared,
            },
        },
    }
    for name, values in metrics.items():
        write_json(folder / f"metrics/{name}.json", values)
    losses = ("epoch", "loss", "val_loss", "reconstruction", "val_reconstruction", "kl", "val_kl")
    write_tsv(folder / "model/history.tsv", losses, [(1, *[2.5] * 6), (2, *[1.5] * 6)])
    kl = ("epoch", "dimension_0", "dimension_1")
    write_tsv(folder / "model/kl_per_dimension.tsv", kl, [(1, 0.1, 0.2), (2, 0.3, 0.0)])
    machine = {"python": "3.11.2", "packages": {"tensorflow": "2.21.0"}, "threads": 2}
    trained_on = {"source": "synthetic", "images": 38, "manifest": "0" * 64}
    architecture = {"size": 32, "trained_on": trained_on, "made_by": machine}
    write_json(folder / "model/architecture.json", architecture)
    (folder / "model/vae.weights.h5").write_bytes(b"\x89HDF and so on")
    head = ("attribute", "auc", "left_out")
    write_tsv(folder / "attributes/attributes.tsv", head, [("Smiling", 0.912345, "")])
    write_tsv(folder / "attributes/factors.tsv", ("factor", "mig"), [("yaw", 0.01)])
    names = ("test", "validation", "reconstructions", "normal")
    write_tsv(folder / "evaluation/samples.tsv", ("faces", "swd"), [(name, "") for name in names])
    shard = {"file": "train-00000-of-00001.npy", "images": 5, "sha256": "5be3" * 16}
    splits = {name: {"images": 5, "shards": [shard]} for name in ("train", "validation", "test")}
    manifest = manifest_of(32, splits)
    write_json(folder / "shards/manifest.json", manifest)
    write_json(folder / "imported/source.json", {"source": "synthetic"})
    return folder


def report(
    data: Path, groups: dict[str, Any] = DEFAULTS, code: Mapping[str, str] = NO_CODE
) -> Page:
    return Page(build_report(data, groups=groups, defaults=DEFAULTS, code=code))


def change(path: Path, **values: Any) -> None:
    """Set keys of a JSON file, or remove those given as None."""
    found = json.loads(path.read_text()) | values
    write_json(path, {key: value for key, value in found.items() if value is not None})


def test_every_picture_is_inside_and_has_words(data: Path) -> None:
    page = report(data)
    pictures = page.all("img")
    # All but the Gaussian's faces, which the overview shows, and two plots of the training.
    made = [path for path in data.rglob("*.png") if path.stem != "random_gaussian"]
    assert len(made) + 2 == len(page.all("figcaption"))
    rows = sum(map(len, LABELLED.values()))
    assert len(pictures) == len(made) + 2 - len(LABELLED) + rows
    for picture in pictures:
        assert len(picture["alt"]) > 10
        kind, _, content = picture["src"].partition(",")
        assert kind == "data:image/png;base64"
        image = Image.open(io.BytesIO(base64.b64decode(content, validate=True)))
        image.load()
        assert image.format == "PNG"
        assert image.size == (int(picture["width"]), int(picture["height"]))


def shown_in(source: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))


def test_labels_of_rows_and_columns_are_text(data: Path) -> None:
    found = [text.strip() for text in report(data).texts]
    for labels in LABELLED.values():
        assert {*labels, "-1", "0", "+1"} <= {*found}


def test_faces_lose_nothing_that_can_be_seen_and_plots_nothing_at_all(data: Path) -> None:
    by_alt = {picture["alt"]: picture["src"] for picture in report(data).all("img")}
    generated = f"{texts.nearest('normal').title}: generated"
    assert np.asarray(shown_in(by_alt[generated])).shape == (20, 3 * 22 - 2, 3)
    for alt, name, lost in (
        ("Grid of faces decoded from random points of N(0, I)", "samples/random_normal", 3),
        ("Bars of the area under the ROC curve for each attribute", "attributes/plots/auc", 0),
    ):
        shown = shown_in(by_alt[alt])
        original = np.asarray(Image.open(data / f"{name}.png"), np.int64)
        assert np.abs(np.asarray(shown, np.int64) - original).max() == lost


def test_all_sections_are_there_and_in_the_contents(data: Path) -> None:
    page = report(data)
    assert [section["id"] for section in page.all("section")] == SECTIONS
    assert [link["href"] for link in page.all("a")] == [f"#{name}" for name in SECTIONS]
    assert not any("open" in attributes for attributes in page.all("details"))
    for level in ("h2", "h3"):
        headings = re.findall(f"<{level}>(.*?)</{level}>", page.html)
        assert len(headings) == len({*headings}) > 5


def test_it_says_which_run_it_is(data: Path) -> None:
    changed = DEFAULTS | {"model": DEFAULTS["model"] | {"inter_dense": 4}, "threads": 3}
    pages = report(data), report(data, changed)
    for page in pages:
        for known in ("VAE with 2 dimensions; parameters: Encoder 900", "123.5 MB", "Python 3.11"):
            assert known in page.text
        assert "synthetic faces, 32x32; train, validation, test: 5, 5, 5" in page.text
        assert "2 epochs of 3 steps" in page.text
    assert "nothing: all parameters are the defaults" in pages[0].text
    assert "model.inter_dense = 4 (default: empty)" in pages[1].text
    assert "threads = 3 (default: 2)" in pages[1].text
    assert "model.filters =" not in pages[1].text
    # Its name is that of its metrics, and the page holds the command that finds it.
    titles = [re.findall("<h1>Run ([0-9a-f]{8}) of", page.html) for page in pages]
    assert titles[0] == titles[1] == [folder_md5(data / "metrics")[:8]]
    assert f"-S{titles[0][0]} -- dvc.lock" in pages[0].text
    change(data / "metrics/train.json", val_kl=0.6)
    assert titles[0][0] not in report(data).html


def test_the_defaults_are_those_that_are_committed() -> None:
    committed = subprocess.run(
        ["git", "show", ":params.yaml"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    kept = (ROOT / "src/celeba_vae/defaults.yaml").read_text()
    assert yaml.safe_load(kept) == yaml.safe_load(committed)


def test_commands_set_what_differs_and_name_no_place(data: Path) -> None:
    own = {"source": "local", "path": "/home/somebody/album", "url": None}
    changed = DEFAULTS | {"download": own, "model": DEFAULTS["model"] | {"filters": (4, 9)}}
    longer = (
        "dvc exp run --temp -n longer -S download.source=local -S download.path=/path/as/given "
        "-S 'model.filters=[4, 9]' -S train.epochs=167"
    )
    assert longer in report(data, changed).text


def test_it_needs_nothing_from_elsewhere(data: Path) -> None:
    page = report(data)
    assert not {"script", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("#", "data:"))
        assert not [name for name in attributes if name.startswith("on")]
    assert not re.search(r"https?://|url\(|@import", page.html)
    assert '<meta name="viewport" content="width=device-width' in page.html


def test_the_same_run_gives_the_same_bytes(data: Path, tmp_path: Path) -> None:
    first = report(data).html
    elsewhere = shutil.copytree(data, tmp_path / "deeper/data")
    assert report(elsewhere).html == first
    assert str(tmp_path) not in first


def test_no_text_becomes_markup(data: Path) -> None:
    hostile = "<script>alert('&amp;')</script>\"><img src=x onerror=alert(1)>"
    table = data / "attributes/attributes.tsv"
    write_tsv(table, ("attribute", "auc"), [(hostile, 0.5)])
    shutil.copy(data / "samples/walks.png", data / "attributes/plots/push_<b>'x'.png")
    page = report(data, DEFAULTS | {"train": DEFAULTS["train"] | {"loss": hostile}})
    # As default and as value, in the table and in the commands.
    assert page.text.count(hostile) >= 3
    assert "Faces moved along <b>'x'" in page.texts
    assert not page.all("script")
    assert not page.all("b")
    assert all(picture["alt"] for picture in page.all("img"))


def test_what_a_plain_autoencoder_lacks_is_left_out(data: Path) -> None:
    (data / "model/kl_per_dimension.tsv").unlink()
    zpoints = json.loads((data / "metrics/zpoints.json").read_text())
    for split in ("train", "validation", "test"):
        del zpoints[split]["kl_nats_per_image"]
    write_json(data / "metrics/zpoints.json", zpoints)
    change(data / "metrics/evaluate.json", likelihood=None)
    page = report(data)
    assert "plain autoencoder with 2 dimensions" in page.text
    for absent in ("val_kl", "Likelihood", "bits for a value"):
        assert absent not in page.text
    assert len(page.all("figcaption")) == len(list(data.rglob("*.png"))) - 1 + 1


def test_own_images_without_attributes_have_no_section_on_them(data: Path) -> None:
    shutil.rmtree(data / "attributes")
    (data / "attributes/plots").mkdir(parents=True)
    shutil.copy(data / "samples/walks.png", data / "attributes/plots/auc.png")
    write_tsv(data / "attributes/attributes.tsv", ("attribute", "auc"), [])
    write_json(data / "metrics/attributes.json", {"probes": 0, "left_out": 0})
    page = report(data)
    assert [section["id"] for section in page.all("section")] == [
        name for name in SECTIONS if name != "attributes"
    ]


def test_columns_without_a_text_are_left_out(data: Path) -> None:
    page = report(data)
    assert "0.9123" in page.texts
    assert "left_out" not in page.texts


def test_parameters_are_told_and_places_are_not(data: Path) -> None:
    download = {"source": "local", "path": "/home/somebody/album", "url": "https://me@host/x"}
    page = report(data, DEFAULTS | {"download": download, "evaluate": {"fid": "/a/graph.pb"}})
    rows = " ".join(text.strip() for text in page.texts if text.strip())
    for told in ("download.path given", "download.url given", "evaluate.fid given", "threads 2"):
        assert told in rows
    assert "model.filters 4, 8" in rows
    assert "model.inter_dense empty" in rows
    assert not re.search("somebody|host|graph.pb", rows)


def test_provenance_follows_data_code_and_parameters(data: Path) -> None:
    page = report(data, code={"src/code.py": "a1" * 32})
    for known in ("imported/source.json", "shards/manifest.json", "model/vae.weights.h5"):
        assert sha256_of(data / known) in page.texts
    assert {"src/code.py", "a1" * 32} <= {*page.texts}
    assert "5be3" * 16 in page.texts
    sums = {text for text in page.texts if re.fullmatch("[0-9a-f]{64}", text)}
    after = report(data, DEFAULTS | {"threads": 3}, code={"src/code.py": "a2" * 32}).texts
    # The file, all of the code, and the parameters.
    assert len(sums - set(after)) == 3


def test_the_code_on_the_page_is_what_dvc_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    project = DVCFileSystem()
    hashed = sorted(name for top in ("src", "stages") for name in project.find(top))
    code = _code()
    assert list(code) == hashed
    assert code["stages/report.py"] == sha256_of(Path("stages/report.py"))
    assert "src/celeba_vae/cli/faces.py" not in code


def test_the_machine_that_trained_is_shown(data: Path) -> None:
    assert {"3.11.2", "packages.tensorflow", "2.21.0"} <= set(report(data).texts)


# What the page needs, by what a stage leaves.
NEEDED = (
    "model/architecture.json",
    *(
        f"metrics/{name}.json"
        for name in ("train", "zpoints", "generate", "attributes", "evaluate")
    ),
    "imported/source.json",
    "shards/manifest.json",
    "model/history.tsv",
    "model/kl_per_dimension.tsv",
    "model/vae.weights.h5",
    "samples/overview.png",
    "samples/walks.png",
    "zpoints/plots/radius.png",
    "attributes/attributes.tsv",
    "attributes/factors.tsv",
    "attributes/plots/auc.png",
    "attributes/plots/factors.png",
    "evaluation/samples.tsv",
    "evaluation/plots/best_and_worst.png",
    "evaluation/plots/nearest_normal.png",
)
JUNK = {
    "list": b"[]",
    "null": b"null",
    "object": b"{}",
    "text": b'"a"',
    "not finite": b'{"a": NaN}',
    "half": b'{"a": ',
    "no text": b"\xff\xfe\n",
    "lines": b"a\tb\n1\n",
}


def refusal(data: Path, name: str) -> str:
    """The one line that the report ends with, which names the file."""
    with pytest.raises(UserError) as caught:
        report(data)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"{data / name}")
    assert not re.search(r"Error|Traceback|_io\.|<.*>|inhomogeneous", line)
    return line


@pytest.mark.parametrize("name", NEEDED)
def test_what_is_missing_or_something_else_gets_one_line(data: Path, name: str) -> None:
    path = data / name
    whole = path.read_bytes()
    for kind, damage in REPLACEMENTS.items():
        if (name, kind) == ("model/vae.weights.h5", "terabytes"):
            continue  # whose sum could be taken, in an hour
        damage(path)
        refusal(data, name)
        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        path.write_bytes(whole)
    for content in JUNK.values():
        path.write_bytes(content)
        refusal(data, name)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", NEEDED)
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(draw=st.data())
def test_a_damaged_file_gives_a_page_or_one_line(
    data: Path, name: str, draw: st.DataObject
) -> None:
    path = data / name
    whole = path.read_bytes()
    path.write_bytes(draw.draw(damaged(whole)))
    try:
        report(data)
    except UserError as error:
        assert "\n" not in str(error)
        assert str(error).startswith(str(data))
    finally:
        path.write_bytes(whole)


def keys_of(value: Any, *above: str) -> list[tuple[str, ...]]:
    """All keys of nested mappings, with those above them."""
    if not isinstance(value, dict):
        return []
    return [
        found
        for key, item in value.items()
        for found in [(*above, key), *keys_of(item, *above, key)]
    ]


OTHERS: tuple[Any, ...] = ([], {}, None, "402", True, -1.5, {"a": []})


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", [name for name in NEEDED if re.match("metrics/|model/arch", name)])
def test_a_value_of_another_kind_gives_a_page_or_one_line(data: Path, name: str) -> None:
    path = data / name
    whole = json.loads(path.read_text())
    refused = 0
    for *above, last in keys_of(whole):
        for other in OTHERS:
            changed = json.loads(path.read_text())
            place = changed
            for key in above:
                place = place[key]
            place[last] = other
            write_json(path, changed)
            try:
                report(data)
            except UserError as error:
                refused += 1
                assert str(error).startswith(f"{path}: {above[0] if above else last}")
            finally:
                write_json(path, whole)
    assert refused > 5


def test_metrics_of_another_run_are_refused(data: Path) -> None:
    change(data / "metrics/train.json", epochs=3)
    assert "must hold finite numbers in 3 rows" in refusal(data, "model/history.tsv")


def test_metrics_are_given_as_they_are(data: Path) -> None:
    metrics = read_metrics(data / "metrics")
    for name, values in metrics.items():
        assert values == json.loads((data / f"metrics/{name}.json").read_text())


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("width", [1280, 500])  # Chromium's windows are not narrower
def test_a_browser_shows_every_picture_and_complains_of_nothing(
    data: Path, tmp_path: Path, width: int
) -> None:
    page = report(data)
    count = len(page.all("img"))
    looked = tmp_path / "looked.html"
    script = """<script>addEventListener("load", () => {
      const shown = [...document.images].filter(i => i.complete && i.naturalWidth).length;
      const fits = document.documentElement.scrollWidth <= innerWidth;
      document.title = `shown ${shown}, fits ${fits}`; });</script></body>"""
    looked.write_text(page.html.replace("</body>", script))
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--enable-logging=stderr",
            "--virtual-time-budget=5000",
            f"--window-size={width},900",
            "--dump-dom",
            looked.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert f"<title>shown {count}, fits true</title>" in done.stdout
    assert "CONSOLE" not in done.stderr
