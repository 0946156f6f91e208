import json
from typing import Any

import pytest

from celeba_vae.report.key_metrics import KEY_METRICS, key_metrics
from celeba_vae.runtime.errors import UserError
from tests.support import ROOT


@pytest.fixture
def metrics() -> dict[str, Any]:
    """The committed metrics, as if the sampler gmm had done best."""
    files = (ROOT / "data/metrics").glob("*.json")
    found = {file.stem: json.loads(file.read_text()) for file in files}
    found["train"]["step_bytes"] = 208_349_999
    found["zpoints"]["samplers"]["best"] = "gmm"
    samples = found["evaluate"]["samples"]
    samples["gmm"] = samples["normal"] | {"swd": 91.7198, "recall": 0.38806}
    return found


def test_each_is_the_quantity_that_it_names(metrics: dict[str, Any]) -> None:
    metrics["zpoints"]["validation"] |= {"z_radius_mean": 16.1289, "std_z_mean": 1.00359}
    found = key_metrics(metrics)
    assert list(found) == list(KEY_METRICS)
    assert (found["encoder"], found["decoder"]) == (5_109_440, 2_757_571)
    assert found["step_mb"] == 208.3
    assert (found["radius"], found["z_std"]) == (16.13, 1.004)
    assert (found["swd"], found["recall"]) == (91.7, 0.388)
    assert all(isinstance(found[name], int) for name in ("encoder", "decoder"))


def test_faces_are_those_of_the_sampler_that_did_best(metrics: dict[str, Any]) -> None:
    samples = metrics["evaluate"]["samples"]
    samples["normal"] |= {"swd": 96.4378, "recall": 0.191542}
    metrics["zpoints"]["samplers"]["best"] = "normal"
    found = key_metrics(metrics)
    assert (found["swd"], found["recall"]) == (96.4, 0.192)
    del samples["normal"]
    with pytest.raises(UserError, match=r"evaluate\.json: samples\.normal is missing"):
        key_metrics(metrics)


def test_what_a_run_has_not_is_left_out(metrics: dict[str, Any]) -> None:
    del metrics["zpoints"]["validation"]["kl_nats_per_image"]
    del metrics["evaluate"]["likelihood"]
    del metrics["evaluate"]["samples"]["gmm"]["recall"]
    assert {*KEY_METRICS} - {*key_metrics(metrics)} == {"kl", "bits", "recall"}
