"""What tests of this folder share."""

import pytest
import sklearn.manifold  # noqa: F401 (brings the pool of threads that is pinned)

from celeba_vae.backend import pin_linear_algebra


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """As in the stage: one thread for linear algebra, scikit-learn's own pool included."""
    pin_linear_algebra()
