"""The Gaussian that turns a confocal image into a widefield one, from the widths of two PSFs.

Variances of Gaussians add, so what is missing is ``sigma_widefield^2 - sigma_confocal^2``. A width
comes from the optics, is given, or was measured on beads; both should come the same way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from bridge.errors import InputError
from bridge.images.blur import FWHM_PER_SIGMA

WidthSource = Literal["optics", "given", "beads"]

_SIGMA_PER_AIRY: Final = 0.225  # sigma = 0.225 wavelength / NA
_LEAST_PX: Final = 0.2  # narrower kernels are refused
_CHECKED_PX: Final = 0.36  # and down to here FWHMs were checked
_SAMPLED_PX: Final = 0.5  # an image of a narrower PSF is under-sampled
_STANDARD_ERRORS: Final = 2.0  # by which two measured variances must differ
_SAID: Final = {"optics": "calculated from the optics", "given": "given", "beads": "measured"}


@dataclass(frozen=True)
class PsfWidth:
    """How wide a Gaussian PSF is.

    Attributes
    ----------
    sigma_nm : float
        Standard deviation, in nm, > 0.
    source : {"optics", "given", "beads"}
        Who says so.
    error_nm : float
        Standard error of ``sigma_nm``, in nm; 0 where it isn't known.
    """

    sigma_nm: float
    source: WidthSource
    error_nm: float = 0.0

    @property
    def fwhm_nm(self) -> float:
        """Full width at half maximum, in nm."""
        return self.sigma_nm * FWHM_PER_SIGMA


@dataclass(frozen=True)
class Kernel:
    """The Gaussian between two PSFs.

    Attributes
    ----------
    sigma_nm, sigma_px : float
        Its standard deviation, in nm and in pixels of the confocal image.
    error_nm : float
        Standard error of ``sigma_nm``, from those of the widths.
    widefield, confocal : PsfWidth
        What it was made from.
    warnings : tuple of str
        Sentences on what is doubtful.
    """

    sigma_nm: float
    sigma_px: float
    error_nm: float
    widefield: PsfWidth
    confocal: PsfWidth
    warnings: tuple[str, ...]

    @property
    def fwhm_nm(self) -> float:
        """Full width at half maximum, in nm."""
        return self.sigma_nm * FWHM_PER_SIGMA


def widefield_width(*, numerical_aperture: float, emission_nm: float) -> PsfWidth:
    """Give the width of a widefield microscope's PSF in focus: 0.225 wavelength / NA.

    The Gaussian nearest to the Airy pattern (2D, paraxial): Zhang, Zerubia and Olivo-Marin, Applied
    Optics 46, 1819 (2007).

    Parameters
    ----------
    numerical_aperture : float
        Of the objective, > 0.
    emission_nm : float
        Wavelength of the emitted light, in nm, > 0.
    """
    return PsfWidth(_SIGMA_PER_AIRY * emission_nm / numerical_aperture, "optics")


def confocal_width(*, numerical_aperture: float, emission_nm: float) -> PsfWidth:
    """Give the width of an ideal confocal microscope's PSF: the widefield one's over sqrt(2).

    Ideal means a closed pinhole and excitation at the wavelength of emission, so that the PSF is
    the widefield one squared; a real pinhole of one Airy unit is nearer to widefield.
    """
    wide = widefield_width(numerical_aperture=numerical_aperture, emission_nm=emission_nm)
    return PsfWidth(wide.sigma_nm / math.sqrt(2), "optics")


def given_width(fwhm_nm: float) -> PsfWidth:
    """Take a full width at half maximum, in nm, as it is given."""
    return PsfWidth(fwhm_nm / FWHM_PER_SIGMA, "given")


def kernel_between(widefield: PsfWidth, confocal: PsfWidth, *, pixel_size_nm: float) -> Kernel:
    """Find the Gaussian that is missing between two PSFs.

    Parameters
    ----------
    widefield, confocal : PsfWidth
        The wider and the narrower PSF.
    pixel_size_nm : float
        Edge of a pixel of the image that is to be blurred, in nm, > 0.

    Returns
    -------
    Kernel
        The Gaussian, with what is doubtful about it.

    Raises
    ------
    InputError
        The PSFs are the wrong way round, can't be told apart, or the Gaussian is narrower than a
        fifth of a pixel.
    """
    variance = widefield.sigma_nm**2 - confocal.sigma_nm**2
    _check_order(widefield, confocal, variance)
    sigma_nm = math.sqrt(variance)
    sigma_px = sigma_nm / pixel_size_nm
    if sigma_px < _LEAST_PX:
        raise InputError(
            "the kernel",
            f"its sigma is {sigma_nm:.3g} nm, {sigma_px:.2g} pixels of {pixel_size_nm:g} nm",
            f"at least {_LEAST_PX:g} pixels: less changes no image by more than a few per cent",
            "Check the PSFs' widths and the pixel size; or work on images with smaller pixels.",
        )
    error_nm = _variance_error(widefield, confocal) / (2 * sigma_nm)
    doubts = tuple(_doubts(widefield, confocal, sigma_px, pixel_size_nm))
    return Kernel(sigma_nm, sigma_px, error_nm, widefield, confocal, doubts)


def _check_order(widefield: PsfWidth, confocal: PsfWidth, variance: float) -> None:
    found = (
        f"widefield FWHM {widefield.fwhm_nm:.4g} nm ({_SAID[widefield.source]}), "
        f"confocal {confocal.fwhm_nm:.4g} nm ({_SAID[confocal.source]})"
    )
    error = _STANDARD_ERRORS * _variance_error(widefield, confocal)
    if variance <= -error or (variance <= 0 and not error):
        raise InputError(
            "the two PSFs",
            f"they are the wrong way round: {found}",
            "a widefield PSF that is wider than the confocal one",
            "Swap them; or check units (FWHM, not sigma; nm, not pixels) and wavelengths.",
        )
    if variance <= error:
        raise InputError(
            "the two PSFs",
            f"they can't be told apart within their errors, or are the wrong way round: {found}",
            "a widefield PSF that is clearly wider than the confocal one",
            "Measure more or brighter beads, and check which file is which.",
        )


def _variance_error(widefield: PsfWidth, confocal: PsfWidth) -> float:
    """Give the standard error of the difference of the variances, in nm^2."""
    return math.hypot(*(2 * psf.sigma_nm * psf.error_nm for psf in (widefield, confocal)))


def _doubts(
    widefield: PsfWidth, confocal: PsfWidth, sigma_px: float, pixel_size_nm: float
) -> list[str]:
    doubts = []
    if widefield.source != confocal.source:
        doubts.append(
            f"The widefield PSF was {_SAID[widefield.source]} and the confocal one "
            f"{_SAID[confocal.source]}: what biases only one of them (size of the beads, "
            "aberrations, the way of fitting) goes into the kernel. Take both the same way."
        )
    if sigma_px < _CHECKED_PX:
        doubts.append(
            f"The kernel's sigma is {sigma_px:.2g} pixels; widths within 2 % were checked from "
            f"{_CHECKED_PX:g} pixels up, and small errors of the PSFs are large ones of the kernel."
        )
    confocal_px = confocal.sigma_nm / pixel_size_nm
    if confocal_px < _SAMPLED_PX:
        doubts.append(
            f"The confocal PSF's sigma is {confocal_px:.2g} pixels: the image is under-sampled, "
            "and a degraded spot is up to 10 to 20 % too wide or narrow, depending on where in a "
            f"pixel it lies. Pixels of at most {confocal.sigma_nm / _SAMPLED_PX:.3g} nm avoid it."
        )
    return doubts
