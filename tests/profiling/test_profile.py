import os
import re
from pathlib import Path

import pytest
from PIL import Image

from celeba_vae.model.vae import VAE
from celeba_vae.params import Params, load_params
from celeba_vae.profiling.cases import sweep_cases
from celeba_vae.profiling.measuring import Measured, measure
from celeba_vae.profiling.page import break_even_units, write_profile
from celeba_vae.profiling.run import LargestBatch, MeasuredCase, largest_batch
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.processes import resident_bytes
from celeba_vae.verify.tiny_params import TINY
from tests.support import ROOT, run

GB = 1e9


@pytest.fixture(autouse=True)
def _at_the_top(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def _measured(memory: int, step: float = 0.1) -> Measured:
    counted = {
        "encoder_parameters": 3,
        "decoder_parameters": 2,
        "weights": 20,
        "gradients": 20,
        "slots": 40,
        "activations": 1000,
    }
    return Measured(counted, (step, step, 9.0), 5, memory, 7, None)


def test_memory_is_that_of_the_pages_that_are_held() -> None:
    before, _ = resident_bytes(os.getpid())
    block = bytearray(os.urandom(1)) * 200_000_000
    after, _ = resident_bytes(os.getpid())
    assert len(block) * 0.95 < after - before < len(block) * 1.3
    assert resident_bytes(2**22 + 1) == (0, 0)


@pytest.mark.slow
def test_a_larger_batch_takes_more_memory(tiny: Params) -> None:
    large = tiny.model_copy(
        update={
            "train": tiny.train.model_copy(update={"batch_size": 2048}),
            "prepare": tiny.prepare.model_copy(update={"size": 32}),
        }
    )
    measured = measure(large, steps=2, optimizer="adam", recompute=False)
    activations = 2048 * measured.counted["activations"]
    assert len(measured.seconds) == 2
    assert measured.peak > measured.before + activations
    assert measured.memory == measured.peak
    assert measured.device_peak is None


def test_what_cannot_be_measured_is_one_line(tiny: Params) -> None:
    with pytest.raises(UserError, match=r"batch size 16 could be measured: .*NoSuchOptimizer"):
        measure(tiny, steps=1, optimizer="NoSuchOptimizer", recompute=False)


def test_the_largest_batch_is_on_the_line_or_below_it() -> None:
    sizes = {32: 620_000_000, 64: 740_000_000}  # 500 MB and 3.75 MB an image
    assert largest_batch(sizes, 2 * GB, None) == LargestBatch(2 * GB, 400, None)
    assert largest_batch(sizes, 0.4 * GB, None) == LargestBatch(0.4 * GB, 0, None)

    asked = []

    def rounds_up(batch: int) -> int:
        asked.append(batch)
        return 540_000_000 + 3_750_000 * batch  # 40 MB more than the line

    found = largest_batch(sizes, 2 * GB, rounds_up)
    assert found.batch == 388
    assert found.memory == rounds_up(388) <= 2 * GB
    assert asked[0] == 400
    with pytest.raises(UserError, match="no batch size within 2 GB was found"):
        largest_batch(sizes, 2 * GB, lambda batch: 3_000_000_000)


def test_the_break_even_of_the_extra_layer_is_that_of_the_real_model() -> None:
    params = load_params()
    units = break_even_units(params)
    assert units == 485
    counts = {}
    for inter_dense in (None, units, units + 1):
        model = params.model.model_copy(update={"inter_dense": inter_dense})
        counts[inter_dense] = VAE(model, size=96, seed=1).encoder.count_params()
    assert counts[units] < counts[None] < counts[units + 1]


def test_the_sweep_covers_the_articles_questions() -> None:
    cases = sweep_cases(())
    heads = {
        (case.params.model.z_dim, case.params.model.inter_dense)
        for case in cases
        if case.group == "heads"
    }
    assert heads == {(z, units) for z in (256, 512) for units in (None, 256, 384, 512)}
    levels = [case.params.model.strides for case in cases if case.group == "levels"]
    assert {len(strides) for strides in levels} == {3, 4, 5}
    assert [2, 2, 3] in levels
    batches = [case.params.train.batch_size for case in cases if case.group == "batches"]
    assert batches == [32, 64, 128, 256, 512]
    assert all(case.params.train.batch_size == 128 for case in cases if case.group != "batches")


def test_the_page_has_every_row_and_the_findings(tmp_path: Path) -> None:
    rows = [
        MeasuredCase(case, _measured(10**9 + index)) for index, case in enumerate(sweep_cases(()))
    ]
    batches = [
        LargestBatch(2 * GB, 388, 1_990_000_000),
        LargestBatch(24 * GB, 6000, None),
        LargestBatch(0.1 * GB, 0, None),
    ]
    page = write_profile(tmp_path, rows, batches, machine="a machine").read_text()
    for row in rows:
        assert f"| {row.case.name} | 3 | 2 |" in page
    assert "| 100 ms | 1280 | 133 s |" in page  # batch 128 in a tenth of a second
    assert "| 2 GB | 388 | 1.99 GB |" in page
    assert "| 24 GB | 6,000 | not tried here |" in page
    assert "| 0.1 GB | none | not tried here |" in page
    assert "up to and including 485 units" in page
    assert "36,864 units before it instead of 9,216, 4.0 times" in page
    assert "2.00 times the images a second" in page  # twice the images in the same time
    with Image.open(tmp_path / "profile.png") as image:
        assert image.width == 1100


def test_the_command_measures_the_current_parameters(tmp_path: Path) -> None:
    tiny = [part for override in TINY for part in ("-S", override)]
    options = ["--memory", "0.1", "--memory", "9999", "--steps", "1", "--out", str(tmp_path)]
    done = run("celeba-vae", "profile", *tiny, *options, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"wrote {tmp_path}/profile.md\n"
    page = (tmp_path / "profile.md").read_text()
    assert "| params.yaml |" in page
    assert "| 0.1 GB | none | not tried here |" in page
    assert re.search(r"\| 9999 GB \| [0-9,]{6,} \| not tried here \|", page)
    assert {path.name for path in tmp_path.iterdir()} == {"profile.md", "profile.png"}
