"""What a diagnosis goes by: figures and images of one image and one package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bridge.quality.diagnosis_probe import Image, Seen, WeightsLook


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that was gathered of one image and one package.

    Attributes
    ----------
    image : ndarray, (y, x)
        The image as it was given.
    ready : ndarray, (c, y, x)
        What the network was given: after the package's preprocessing.
    typical : ndarray or None, (c, y, x)
        The same of the package's test image.
    output : ndarray or None, (y, x)
        The network's output, the mean of its channels; None where the network couldn't be run.
    seen : Seen or None
        What the forward pass showed.
    index : int
        Which of the network's outputs ``output`` is.
    typical_output : ndarray or None, (y, x)
        What the network makes of the test image.
    typical_r : float
        Correlation of the package's test output with its test image; NaN without one.
    n_bad_input : int
        NaN and infinite pixels of the image; they were filled before the pass.
    weights : WeightsLook or None
        None where the weights can't be looked at.
    weights_error : str
        Why the weights couldn't be loaded.
    saved : ndarray or None, (y, x)
        What was saved of the output: by the package's own last steps, or by another program.
    rescued_r : float
        Correlation of output and input when the input is stretched to the typical range; NaN if
        not tried.
    sparse : ndarray or None, (y, x)
        The sparse image (MU-SRM) that the network was given, or made on the way, 0 .. 1.
    pixel_size_nm, made_for_nm : float
        Of the image and of the package; NaN where unknown.
    fineness, typical_fineness : float
        :func:`fineness` of the image and of the test image; NaN where unknown.
    consistency : float
        Correlation with the input after the best blur of the output (RSP); NaN if not computed.
    """

    image: NDArray[Any]
    ready: Image
    typical: Image | None = None
    output: Image | None = None
    seen: Seen | None = None
    index: int = 0
    typical_output: Image | None = None
    typical_r: float = float("nan")
    n_bad_input: int = 0
    weights: WeightsLook | None = None
    weights_error: str = ""
    saved: NDArray[Any] | None = None
    rescued_r: float = float("nan")
    sparse: Image | None = None
    pixel_size_nm: float = float("nan")
    made_for_nm: float = float("nan")
    fineness: float = float("nan")
    typical_fineness: float = float("nan")
    consistency: float = float("nan")

    @property
    def before(self) -> Image | None:
        """What the last ReLU was given, NaN as 0; None where there is none, or it can't be seen."""
        before = None if self.seen is None else self.seen.before[self.index]
        return None if before is None else np.nan_to_num(before)

    @property
    def unit(self) -> float:
        """What counts as 1 in the output: the top of the test output, or 1."""
        if self.typical_output is None or not np.isfinite(self.typical_output).all():
            return 1.0
        top = float(np.percentile(self.typical_output, 99.9))
        return top if top > 0 else 1.0

    def reach(self, image: Image) -> float:
        """Give an input's upper end over that of the test image, from 0 or from its lower end."""
        typical = self.typical
        if typical is None:
            return float(image.max())
        if typical.min() >= -0.1 * typical.max() and image.min() >= -0.1 * abs(image.max()):
            return float(image.max() / max(float(typical.max()), 1e-30))
        return float(np.ptp(image) / max(float(np.ptp(typical)), 1e-30))


def likeness(output: Image, image: NDArray[Any]) -> float:
    """Correlate an output with its input, after binning to the coarser grid.

    Parameters
    ----------
    output, image : ndarray, (y, x)
        Sides differ by a whole factor; what is over is cut off.

    Returns
    -------
    float
        Pearson's r; NaN where one is constant.
    """
    made, given = np.asarray(output, np.float64), np.asarray(image, np.float64)
    factor = max(1, made.shape[0] // given.shape[0])
    y, x = (min(made.shape[i] // factor, given.shape[i]) for i in (0, 1))
    made = made[: y * factor, : x * factor].reshape(y, factor, x, factor).mean(axis=(1, 3))
    given = given[:y, :x]
    if not np.isfinite(made).all() or np.ptp(made) == 0 or np.ptp(given) == 0:
        return float("nan")
    return float(np.corrcoef(made.ravel(), given.ravel())[0, 1])


def fineness(image: NDArray[Any]) -> float:
    """Give how fast an image changes: rms gradient over its spread, in 1/pixel.

    Parameters
    ----------
    image : ndarray, (y, x)
        Smoothed a little first, so that noise doesn't count as detail.
    """
    smooth = ndimage.gaussian_filter(np.asarray(image, np.float64), 1.0)
    steep = np.hypot(*np.gradient(smooth))
    return float(np.sqrt((steep**2).mean()) / max(float(smooth.std()), 1e-30))
