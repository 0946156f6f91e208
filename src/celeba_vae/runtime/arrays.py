"""Type aliases of arrays and tensors."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Images (n, size, size, 3), 0 to 255.
Pixels = NDArray[np.uint8]
# Points, (n, d), one in each row, in the precision they came in.
Points = NDArray[np.floating[Any]]
# Numbers that are computed with: float64, unless a name says otherwise.
Floats = NDArray[np.float64]
# A tensor of Keras' backend, which has no types.
Tensor = Any
