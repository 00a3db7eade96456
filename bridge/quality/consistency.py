"""Whether a super-resolved image agrees with the widefield image of the same field.

SQUIRREL (Culley et al., Nature Methods 15, 263 (2018)): the super-resolved image, blurred by the
microscope's PSF and scaled, must give the widefield image back. Width of the PSF, scale and offset
are fitted, or the width is known; what remains is the error. It finds missing and false structure,
and is blind to detail below the widefield's resolution. Noise of the widefield image keeps the
correlation below 1: the true image has the most that is possible, the ceiling.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import fft
from scipy.optimize import minimize_scalar
from scipy.special import erf

from bridge.errors import ImageError, InputError
from bridge.images.blur import FWHM_PER_SIGMA, bin_pixels, blur

LEAST_RSP: Final = 0.7
"""Below it a result, blurred again, doesn't give its input back."""

_MIN_SIGMA_PX = 0.1  # of camera pixels
_MAX_SIGMA_PX = 10.0
_N_STARTS = 24
_N_ROUNDS = 3  # each narrows the width down elevenfold; the last step is 0.15 %


@dataclass(frozen=True, eq=False)
class Consistency:
    """A super-resolved image against a widefield image.

    Attributes
    ----------
    rse : float
        Resolution-scaled error: root mean square of the residual, in widefield units; 0 is best.
    rsp : float
        Resolution-scaled Pearson correlation, -1 to 1; noise of the widefield keeps it below 1.
        Negative where the image is dark where the widefield is bright.
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
    # The widths of a widefield pixel differ along y and x only where the image was squeezed.
    sizes = [n / m for n, m in zip(image.shape, widefield.shape, strict=True)]

    pixel_nm = (widefield.attrs.get("pixel_size_nm") or {}).get("x", 1.0)

    def fit(sigma_px: float) -> Consistency:
        """Blur by sigma, in widefield pixels along x."""
        rows = _blur_matrix(widefield.shape[0], image.shape[0], sigma_px * sizes[1] / sizes[0])
        columns = _blur_matrix(widefield.shape[1], image.shape[1], sigma_px)
        return _fit_light(rows @ pixels @ columns.T, widefield, sigma_nm=sigma_px * pixel_nm)

    starts = np.geomspace(_MIN_SIGMA_PX, _MAX_SIGMA_PX, _N_STARTS)
    best = int(np.argmin([fit(sigma).rse for sigma in starts]))
    bounds = starts[max(best - 1, 0)], starts[min(best + 1, _N_STARTS - 1)]
    found = minimize_scalar(lambda s: fit(s).rse ** 2, bounds=bounds, method="bounded")
    return fit(float(found.x))


def low_agreement(rsp: float) -> str:
    """Give the sentence that warns of a low RSP."""
    return (
        f"RSP is {rsp:.2f}: blurred again, the result doesn't give the input back. Where the map "
        "of the error is bright, structure is invented or missing; or the model was made for other "
        "images: `zoobridge explain` says which."
    )


def relative_sigma_nm(input_fwhm_nm: float, target_fwhm_nm: float) -> float:
    """Give the Gaussian that blurs an image of one microscope into that of a coarser one.

    Parameters
    ----------
    input_fwhm_nm, target_fwhm_nm : float
        Widths of the coarser and the finer PSF at half their height, in nm.

    Returns
    -------
    float
        Standard deviation in nm: variances add, so that of the kernel is their difference.

    Raises
    ------
    InputError
        The input's PSF isn't wider than the target's.
    """
    if not input_fwhm_nm > target_fwhm_nm >= 0:
        raise InputError(
            "width of the PSFs",
            f"the input's is {input_fwhm_nm:g} nm, the target's {target_fwhm_nm:g} nm",
            "an input that is blurred more than the target",
            "Check which is which.",
        )
    return float(np.sqrt(input_fwhm_nm**2 - target_fwhm_nm**2) / FWHM_PER_SIGMA)


def compare_with_input(
    image: xr.DataArray, observed: xr.DataArray, *, sigma_px: float
) -> Consistency:
    """Blur an image by a known kernel, fit scale and offset, and give what remains.

    Parameters
    ----------
    image : DataArray, axes (y, x)
        Restored image; with the true one instead, ``rsp`` is the ceiling that noise leaves.
    observed : DataArray, axes (y, x)
        What was restored; its sides are those of the image over a whole number.
    sigma_px : float
        Standard deviation of the kernel between both, in pixels of the image, >= 0.

    Returns
    -------
    Consistency
        Figures, blurred image and error map; ``rsp`` is NaN for a constant image.

    Raises
    ------
    ImageError
        An image isn't a plane or not finite, the observed one is constant, or the sizes don't fit.
    """
    _check(image, observed, may_be_constant=True)
    factor = image.shape[0] // observed.shape[0]
    if image.shape != (factor * observed.shape[0], factor * observed.shape[1]):
        raise ImageError(
            str(observed.attrs.get("source") or "input"),
            f"it has {observed.shape} pixels, the restored image {image.shape}",
            "a whole number of pixels for each of the input's, the same along y and x",
        )
    blurred = bin_pixels(blur(np.asarray(image, np.float64), sigma_px), factor)
    pixel_nm = (image.attrs.get("pixel_size_nm") or {}).get("x", 1 / factor)
    return _fit_light(blurred, observed, sigma_nm=sigma_px * pixel_nm)


def fit_sigma_px(image: xr.DataArray, observed: xr.DataArray) -> float:
    """Find the blur that makes an image agree best with what it was made of, both on one grid.

    The cosine transform turns the blur into a product, so each width costs two sums; the result is
    that of :func:`compare_with_widefield` up to the width of a pixel, some hundred times faster.

    Parameters
    ----------
    image, observed : DataArray, axes (y, x)
        Restored image and input, on the same pixels.

    Returns
    -------
    float
        Standard deviation of the Gaussian in pixels, 0.1 to 10.

    Raises
    ------
    ImageError
        An image isn't a plane, is constant or not finite, or the sizes differ.
    """
    _check(image, observed)
    if image.shape != observed.shape:
        what = str(observed.attrs.get("source") or "input")
        raise ImageError(what, f"it has {observed.shape} pixels", f"{image.shape}, as the image")
    waves, wanted = (
        fft.dctn(np.asarray(one, np.float64), norm="ortho") for one in (image, observed)
    )
    waves[0, 0] = wanted[0, 0] = 0  # the mean
    shared, power = waves * wanted, waves**2
    frequency_y, frequency_x = (np.arange(n) / (2 * n) for n in image.shape)

    def correlations(sigmas_px: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the correlation for each width, up to a factor."""
        passed_y, passed_x = (
            np.exp(-2 * (np.pi * sigmas_px[:, None] * frequency) ** 2)
            for frequency in (frequency_y, frequency_x)
        )
        agreement = ((passed_y @ shared) * passed_x).sum(axis=1)
        norm = ((passed_y**2 @ power) * passed_x**2).sum(axis=1)
        found: NDArray[np.float64] = agreement / np.sqrt(np.maximum(norm, np.finfo(float).tiny))
        return found

    low, high = _MIN_SIGMA_PX, _MAX_SIGMA_PX
    for _ in range(_N_ROUNDS):
        widths = np.geomspace(low, high, _N_STARTS)
        best = int(np.argmax(correlations(widths)))
        low, high = widths[max(best - 1, 0)], widths[min(best + 1, _N_STARTS - 1)]
    return float(widths[best])


def _fit_light(
    blurred: NDArray[np.float64], observed: xr.DataArray, *, sigma_nm: float
) -> Consistency:
    """Fit scale and offset, and give what remains."""
    wanted = np.asarray(observed, np.float64)
    centred = blurred - blurred.mean()
    alpha = float((centred * wanted).sum() / max((centred**2).sum(), np.finfo(float).tiny))
    beta = float(wanted.mean() - alpha * blurred.mean())
    model = alpha * blurred + beta
    is_flat = np.ptp(model) <= 1e-9 * np.abs(model).max()
    return Consistency(
        rse=float(np.sqrt(((model - wanted) ** 2).mean())),
        rsp=np.nan if is_flat else float(np.corrcoef(blurred.ravel(), wanted.ravel())[0, 1]),
        sigma_nm=sigma_nm,
        alpha=alpha,
        beta=beta,
        blurred=observed.copy(data=model.astype(np.float32)),
        error_map=observed.copy(data=np.abs(model - wanted).astype(np.float32)),
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


def _check(image: xr.DataArray, widefield: xr.DataArray, *, may_be_constant: bool = False) -> None:
    for given, name in ((image, "super-resolved image"), (widefield, "widefield image")):
        what = str(given.attrs.get("source") or name)
        if given.dims != ("y", "x") or min(given.shape) < 8:
            raise ImageError(
                what, f"the image is {dict(given.sizes)}", "a plane (y, x), at least 8 pixels wide"
            )
        is_flat = given.values.min() == given.values.max()
        if may_be_constant and given is image:
            is_flat = False
        if not np.isfinite(given.values).all() or is_flat:
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
