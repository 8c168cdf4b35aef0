"""What every attribution method returns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Map = npt.NDArray[np.float32]
"""(H, W) of the input's size, higher where it matters more."""
