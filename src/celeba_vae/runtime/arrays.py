"""Types of arrays, by what they hold."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Images (n, size, size, 3), 0 to 255.
Pixels = NDArray[np.uint8]
# One point in each row, (n, d), in whatever precision they came.
Points = NDArray[np.floating[Any]]
# What is computed with, unless said otherwise.
Floats = NDArray[np.float64]
# A tensor of Keras' backend, which has no types.
Tensor = Any
