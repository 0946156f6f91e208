import numpy as np

from celeba_vae.evaluate.compared_samplers import compared_samplers
from celeba_vae.latent.samplers import (
    Ellipse,
    FittedSamplers,
    Gaussian,
    Mixture,
    draw_gaussian,
    draw_normal,
)


def test_samplers_and_temperatures_are_those_of_validation() -> None:
    centre, axes = np.full(2, 5.0), np.eye(2)
    fitted = FittedSamplers(
        gaussian=Gaussian(centre, axes),
        mixture=Mixture(np.ones(1), centre[None], np.ones((1, 2)), axes),
        ellipse=Ellipse(centre, np.ones(2), axes),
        temperatures=np.array([0.7, 0.8, 0.9, 1.1]),
        best="gaussian",
    )
    few = compared_samplers(fitted, every=False)
    assert {name: sampler.temperature for name, sampler in few.items()} == {
        "normal": 1,
        "gaussian": 0.8,
    }
    assert np.array_equal(few["normal"].draw(4, 3), draw_normal(4, 2, 3))
    wide = draw_gaussian(fitted.gaussian, 4, 3)
    assert np.allclose(few["gaussian"].draw(4, 3), 5 + 0.8 * (wide - 5))
    every = compared_samplers(fitted, every=True)
    assert [sampler.temperature for sampler in every.values()] == [1, 0.8, 0.9, 1.1]
    assert list(every) == ["normal", "gaussian", "gmm", "ellipse"]
    assert abs(every["ellipse"].draw(4, 3) - 5).max() < 3
