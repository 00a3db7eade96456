"""Whether a super-resolved image agrees with the widefield image of the same field.

SQUIRREL (Culley et al., Nature Methods 15, 263 (2018)): the super-resolved image, blurred by the
microscope's PSF and scaled, must give the widefield image back. Width of the PSF, scale and offset
are fitted; what remains is the error. It finds missing and false structure, and is blind to detail
below the widefield's resolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import erf

from bridge.errors import ImageError

_MIN_SIGMA_PX = 0.1  # of camera pixels
_MAX_SIGMA_PX = 10.0
_N_STARTS = 24


@dataclass(frozen=True, eq=False)
class Consistency:
    """A super-resolved image against a widefield image.

    Attributes
    ----------
    rse : float
        Resolution-scaled error: root mean square of the residual, in widefield units; 0 is best.
    rsp : float
        Resolution-scaled Pearson correlation, -1 to 1; noise of the widefield keeps it below 1.
    sigma_nm : float
        Fitted standard deviation of the PSF, in nm; in widefield pixels where no size is known.
    alpha, beta : float
        Fitted scale and offset: widefield = alpha x blurred + beta.
    blurred : DataArray, axes (y, x)
        ``alpha`` x blurred + ``beta``, on the widefield's pixels.
    error_map : DataArray, axes (y, x)
        Absolute difference from the widefield, on its pixels.
    """

    rse: float
    rsp: float
    sigma_nm: float
    alpha: float
    beta: float
    blurred: xr.DataArray
    error_map: xr.DataArray


def compare_with_widefield(image: xr.DataArray, widefield: xr.DataArray) -> Consistency:
    """Fit PSF, scale and offset, and give what remains.

    Both images must show the same field from edge to edge; their pixels may have any ratio.
    Every pixel of the image becomes a Gaussian, integrated over the widefield's pixels.

    Parameters
    ----------
    image : DataArray, axes (y, x)
        Super-resolved image.
    widefield : DataArray, axes (y, x)
        Widefield image of the same field, with at most as many pixels; its
        ``attrs["pixel_size_nm"]``, where known, puts the PSF into nm.

    Returns
    -------
    Consistency
        Figures, blurred image and error map.

    Raises
    ------
    ImageError
        An image isn't a plane, is constant or not finite, the widefield has more pixels, or the
        pixel sizes say that the fields differ.
    """
    _check(image, widefield)
    pixels = np.asarray(image, np.float64)
    wanted = np.asarray(widefield, np.float64)
    # The widths of a widefield pixel differ along y and x only where the image was squeezed.
    sizes = [n / m for n, m in zip(image.shape, widefield.shape, strict=True)]

    def fit(sigma_px: float) -> tuple[float, float, float, NDArray[np.float64]]:
        """Blur by sigma (widefield pixels along x); give squared error, alpha, beta, image."""
        rows = _blur_matrix(widefield.shape[0], image.shape[0], sigma_px * sizes[1] / sizes[0])
        columns = _blur_matrix(widefield.shape[1], image.shape[1], sigma_px)
        blurred = rows @ pixels @ columns.T
        centred = blurred - blurred.mean()
        alpha = float((centred * wanted).sum() / max((centred**2).sum(), np.finfo(float).tiny))
        beta = float(wanted.mean() - alpha * blurred.mean())
        return float(((alpha * blurred + beta - wanted) ** 2).mean()), alpha, beta, blurred

    starts = np.geomspace(_MIN_SIGMA_PX, _MAX_SIGMA_PX, _N_STARTS)
    best = int(np.argmin([fit(sigma)[0] for sigma in starts]))
    bounds = starts[max(best - 1, 0)], starts[min(best + 1, _N_STARTS - 1)]
    found = minimize_scalar(lambda s: fit(s)[0], bounds=bounds, method="bounded")
    mean_square, alpha, beta, blurred = fit(float(found.x))
    pixel_nm = (widefield.attrs.get("pixel_size_nm") or {}).get("x", 1.0)
    model = alpha * blurred + beta
    return Consistency(
        rse=float(np.sqrt(mean_square)),
        rsp=float(np.corrcoef(model.ravel(), wanted.ravel())[0, 1]) if model.std() else np.nan,
        sigma_nm=float(found.x) * pixel_nm,
        alpha=alpha,
        beta=beta,
        blurred=widefield.copy(data=model.astype(np.float32)),
        error_map=widefield.copy(data=np.abs(model - wanted).astype(np.float32)),
    )


def _blur_matrix(n_out: int, n_in: int, sigma_px: float) -> NDArray[np.float64]:
    """Give the mean over each output pixel of a Gaussian at each input pixel's centre, (out, in).

    Lengths are in output pixels. Beyond the edges the image is taken to go on as its mirror image,
    since light comes from there too; so a constant stays constant.
    """
    centres = (np.arange(n_in) + 0.5) * (n_out / n_in)
    edges = np.arange(n_out + 1)[:, None]
    share = np.zeros((n_out, n_in))
    for place in (centres, -centres, 2 * n_out - centres):
        share += np.diff(erf((edges - place[None]) / (np.sqrt(2) * sigma_px)), axis=0)
    matrix: NDArray[np.float64] = share / share.sum(axis=1, keepdims=True)
    return matrix


def _check(image: xr.DataArray, widefield: xr.DataArray) -> None:
    for given, name in ((image, "super-resolved image"), (widefield, "widefield image")):
        what = str(given.attrs.get("source") or name)
        if given.dims != ("y", "x") or min(given.shape) < 8:
            raise ImageError(
                what, f"the image is {dict(given.sizes)}", "a plane (y, x), at least 8 pixels wide"
            )
        if not np.isfinite(given.values).all() or given.values.min() == given.values.max():
            raise ImageError(what, "the image is constant or not finite", "values that differ")
    what = str(widefield.attrs.get("source") or "widefield image")
    if any(n < m for n, m in zip(image.shape, widefield.shape, strict=True)):
        raise ImageError(
            what,
            f"it has more pixels, {widefield.shape}, than the super-resolved one, {image.shape}",
            "a widefield image with coarser pixels, of the same field",
            "Check which image is which.",
        )
    sizes = [given.attrs.get("pixel_size_nm") or {} for given in (image, widefield)]
    for axis in "yx":
        if axis in sizes[0] and axis in sizes[1]:
            lengths = [sizes[i][axis] * (image, widefield)[i].sizes[axis] for i in (0, 1)]
            if abs(lengths[0] - lengths[1]) > max(sizes[1][axis], 0.01 * lengths[1]):
                raise ImageError(
                    what,
                    f"along {axis} it shows {lengths[1]:.0f} nm, the super-resolved image "
                    f"{lengths[0]:.0f} nm",
                    "two images of the same field",
                    "Crop one of them, or correct the pixel sizes.",
                )
