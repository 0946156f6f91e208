from typing import Any

import pytest

from celeba_vae.report.readings import Step, next_steps, readings, trend

FALLING = [18030.0, 17628, 17514, 17401, 17350, 17256, 17218, 17204, 17156, 17138]


def run(**changed: Any) -> dict[str, Any]:
    """Metrics of a run: of the default one, unless they are changed by their names."""
    values: dict[str, Any] = {
        "radius": 16.1,
        "best": "gmm",
        "alike": 0.48,
        "blur": 87.0,
        "generated": 92.0,
        "recall": 0.39,
        "memorisation": 0.89,
        "copies": None,
        "bits": 6.44,
        "images": 3290,
        "epochs": 10,
    }
    assert {*changed} <= {*values}
    values |= changed
    best = {"swd": values["generated"], "recall": values["recall"]}
    best |= {"memorisation_ratio": values["memorisation"], "copies_of_train": values["copies"]}
    reconstructions = {"swd": values["blur"], "pair_similarity": values["alike"], "recall": 0.27}
    radius = {"z_radius_mean": values["radius"], "z_radius_std": 0.72}
    distances = {"normal_energy_distance": 0.031, "gmm_energy_distance": 0.005}
    return {
        "train": {"training_images": values["images"], "epochs": values["epochs"]},
        "zpoints": {
            "validation": radius | {"chi_mean": 15.98, "chi_std": 0.71},
            "samplers": {"best": values["best"], **distances},
        },
        "generate": {"psnr_db_mean": 22.17, "ssim_mean": 0.658},
        "evaluate": {
            "likelihood": {"bound_bits_per_dimension": values["bits"]} if values["bits"] else {},
            "samples": {
                "images": 402,
                "test": {},
                "validation": {"swd": 13.0, "recall": 0.92},
                "reconstructions": reconstructions,
                values["best"]: {key: value for key, value in best.items() if value is not None},
            },
        },
    }


def verdicts(losses: list[float] = FALLING, **changed: Any) -> str:
    return "; ".join(reading.verdict for reading in readings(run(**changed), losses))


def test_the_default_run_reads_well() -> None:
    assert verdicts() == (
        "still falling: more epochs would help; each image gets a face of its own; "
        "blurred: 7 times the floor; on the shell of N(0, I); "
        "the closest to the z-points of validation; as sharp as reconstructions; "
        "much less diverse than real faces; no copies; better than a guess"
    )
    for reading in readings(run(), FALLING):
        assert all(reading)
        assert len(reading.verdict) < 60


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({"alike": 0.99}, "all alike: nothing has been learnt yet"),
        ({"blur": 20.0}, "as sharp as real faces"),
        ({"blur": 40.0}, "a little blurred: 3 times the floor"),
        ({"radius": 17.2}, "near the shell, a little outside it"),
        ({"radius": 9.0}, "far inside the shell: N(0, I) misses them"),
        ({"best": "normal"}, "N(0, I) itself is the closest to the z-points"),
        ({"generated": 200.0}, "worse than reconstructions: the sampler misses the z-points"),
        ({"recall": 0.01}, "hardly any diversity"),
        ({"recall": 0.9}, "as diverse as real faces"),
        ({"memorisation": 0.2}, "very close to training images"),
        ({"copies": 1}, "1 copy of training images"),
        ({"bits": 8.18}, "no better than a guess"),
    ],
)
def test_other_runs_read_otherwise(changed: dict[str, Any], verdict: str) -> None:
    assert verdict in verdicts(**changed).split("; ")
    assert verdict not in verdicts()


def test_of_faces_that_are_all_alike_only_that_is_said() -> None:
    read = readings(run(alike=0.99, bits=8.14), [2.0, 3.0])
    assert [reading.verdict for reading in read] == [
        "all alike: nothing has been learnt yet",
        "no better than a guess",
    ]
    assert commands(alike=0.99) == ["dvc exp run --temp -n weaker -S train.kl_weight=1.5"]
    few = "dvc exp run --temp -n longer -S train.epochs=250"
    assert commands(FALLING[:3], alike=0.99, images=46, epochs=3) == [few]


def test_what_was_not_measured_is_left_out() -> None:
    read = readings(run(recall=None, memorisation=None, bits=None), FALLING)
    assert [reading.name.split()[0] for reading in read] == [
        *("Loss,", "Reconstructions,", "Sharpness", "Where", "Best", "Generated")
    ]


@pytest.mark.parametrize(
    ("losses", "way"),
    [
        (FALLING, "falling"),
        ([3.0], "unknown"),
        ([3.0, 2.0], "falling"),
        ([2.0, 2.0, 2.0], "flat"),
        ([10.0, 5, 4.1, 4.01, 4.0, 4.0], "flat"),
        ([10.0, 5, 4, 4.5, 5, 6], "rising"),
        # A last epoch that is a little worse is no overfitting.
        ([10.0, 6, 5, 4.5, 4.2, 4.3], "flat"),
        ([2.0, 3.0], "rising"),
    ],
)
def test_the_trend_of_the_loss(losses: list[float], way: str) -> None:
    assert trend(losses) == way


def steps(
    losses: list[float] = FALLING,
    source: str = "synthetic",
    differing: Any = (),
    schedule: str = "constant",
    **changed: Any,
) -> list[Step]:
    train = {"batch_size": 32, "loss": "bernoulli", "learning_rate_schedule": schedule}
    train |= {"kl_weight": 15.0}
    groups = {"download": {"source": source}, "model": {"variational": True}, "train": train}
    return next_steps(run(**changed), losses, dict(differing), groups)


def commands(*given: Any, **changed: Any) -> list[str]:
    return [step.command for step in steps(*given, **changed)]


def test_commands_follow_from_the_run() -> None:
    assert commands() == [
        "dvc exp run --temp -n longer -S train.epochs=20",
        "dvc exp run --temp -n own -S download.source=local -S download.path=/path/to/your/photos",
        "dvc exp run --temp -n sharp -S train.loss=gaussian -S train.sigma=optimal "
        "-S train.kl_weight=1",
    ]
    flat = [2.0] * 10
    assert commands(flat, blur=15.0) == [commands()[1]]
    assert commands(flat, "local", blur=15.0) == ["celeba-vae reconstruct photo.jpg"]
    assert commands([1.0, *[2.0] * 9])[0] == "dvc exp run --temp -n best -S train.select=best"
    # 300 photographs of which 227 are for training: 24 steps are too few.
    few = commands(FALLING[:3], images=227, epochs=3)[0]
    assert few == "dvc exp run --temp -n longer -S train.epochs=63"


def test_more_epochs_go_on_where_the_schedule_lets_them() -> None:
    assert steps()[0].why.endswith("which go on from here")
    assert steps(schedule="cosine")[0].why.endswith("in a training of its own")


def test_commands_set_again_what_the_run_had_set() -> None:
    differing = {"model.filters": (8, 16), "model.inter_dense": 256, "train.clip_norm": None}
    found = commands(differing=differing)
    again = "-S 'model.filters=[8, 16]' -S model.inter_dense=256 -S train.clip_norm=null"
    assert found[0] == f"dvc exp run --temp -n longer {again} -S train.epochs=20"
    assert found[1] == "celeba-vae compare baseline workspace"
    assert again in found[2]
    # Once each: the last one counts, and would hide a mistake.
    assert commands(differing={"train.epochs": 10})[0].count("train.epochs") == 1
