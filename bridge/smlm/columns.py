"""The columns of a table of localizations, and what other programs call them.

Here is the one vocabulary, and the one place where a foreign heading is given one of its names:
by name *and* unit. A heading that means nothing here is left out of a table, never guessed at.
Origin of coordinates: the outer corner of the top left pixel; x runs along the columns, y down the
rows; the first frame is 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

TableFormat = Literal["thunderstorm", "picasso", "decode", "smap", "challenge", "nstorm"]
Unit = Literal["nm", "um", "px", "photon", "ADU", "", "?"]


@dataclass(frozen=True)
class Column:
    """One column of our tables.

    Parameters
    ----------
    name : str
        Its name, with the unit where there is one: ``x_nm``.
    dtype : {"int64", "float64"}
        Type of its values.
    unit : {"nm", "photon", ""}
        Unit of its values.
    thunderstorm : str
        Its name in ThunderSTORM, without the unit.
    meaning : str
        What it says, as a sentence part.
    """

    name: str
    dtype: Literal["int64", "float64"]
    unit: Unit
    thunderstorm: str
    meaning: str

    @property
    def heading(self) -> str:
        """ThunderSTORM's heading, ``x [nm]``."""
        return f"{self.thunderstorm} [{self.unit}]" if self.unit else self.thunderstorm


_COLUMNS: tuple[Column, ...] = (
    Column("id", "int64", "", "id", "number of the localization, in the order of the table"),
    Column("frame", "int64", "", "frame", "frame of the movie, from 1"),
    Column("x_nm", "float64", "nm", "x", "from the image's left edge, along the columns"),
    Column("y_nm", "float64", "nm", "y", "from the image's upper edge, down the rows"),
    Column("z_nm", "float64", "nm", "z", "from the focal plane; its sign is the calibration's"),
    Column("sigma_nm", "float64", "nm", "sigma", "standard deviation of the spot"),
    Column("sigma1_nm", "float64", "nm", "sigma1", "standard deviation along the first axis"),
    Column("sigma2_nm", "float64", "nm", "sigma2", "standard deviation along the second axis"),
    Column("photons", "float64", "photon", "intensity", "photons of the emitter in this frame"),
    Column("background", "float64", "photon", "offset", "background photons per camera pixel"),
    Column("background_std", "float64", "photon", "bkgstd", "deviation of the fit's residual"),
    Column("chi2", "float64", "", "chi2", "goodness of a least-squares fit"),
    Column("uncertainty_xy_nm", "float64", "nm", "uncertainty_xy", "lateral, for one axis"),
    Column("uncertainty_x_nm", "float64", "nm", "uncertainty_x", "standard error of x"),
    Column("uncertainty_y_nm", "float64", "nm", "uncertainty_y", "standard error of y"),
    Column("uncertainty_z_nm", "float64", "nm", "uncertainty_z", "standard error of z"),
    Column(
        "uncertainty_photons",
        "float64",
        "photon",
        "uncertainty_intensity",
        "standard error of the photons",
    ),
    Column("probability", "float64", "", "probability", "that this is an emitter, 0 <= p <= 1"),
    Column("detections", "int64", "", "detections", "rows merged into this one, from 1"),
)

COLUMNS: Final[Mapping[str, Column]] = MappingProxyType({c.name: c for c in _COLUMNS})
"""Our columns by name, in the order in which tables have them."""

REQUIRED: Final = ("frame", "x_nm", "y_nm")
"""Columns without which there is no table."""


@dataclass(frozen=True)
class Writer:
    """The conventions of a program that writes tables.

    Parameters
    ----------
    title : str
        Its name, for people.
    first_frame : {0, 1}
        Number of the first frame.
    is_centre_origin : bool
        Whether coordinate 0 is the centre of the first pixel instead of its outer edge.
    is_swapped : bool
        Whether its x runs down the rows.
    """

    title: str
    first_frame: Literal[0, 1] = 1
    is_centre_origin: bool = False
    is_swapped: bool = False


# Sources: jungmannlab/picasso picasso/io.py; TuragaLab/DECODE decode/utils/emitter_io.py and
# decode/neuralfitter/inference/infer.py; jries/SMAP Loader_csvAndMore.m.
WRITERS: Final[Mapping[TableFormat, Writer]] = MappingProxyType(
    {
        "thunderstorm": Writer("ThunderSTORM"),
        "picasso": Writer("Picasso", first_frame=0, is_centre_origin=True),
        "decode": Writer("DECODE", first_frame=0, is_centre_origin=True, is_swapped=True),
        "smap": Writer("SMAP"),
        "challenge": Writer("the SMLM challenge"),
        "nstorm": Writer("N-STORM"),
    }
)
"""Conventions by format."""

_Headings = Mapping[str, tuple[str, Unit | None]]
"""Name in lower case to our column and the unit it has where the heading states none; ``None``
where it must state one."""

# ThunderSTORM of all versions and what resembles it: locan, ChriSTORM, Abbelight, Nanoimager, the
# Deep-STORM notebook. Units come with the heading.
_THUNDERSTORM: _Headings = {
    **{c.thunderstorm: (c.name, None if c.unit else "") for c in _COLUMNS},
    "uncertainty": ("uncertainty_xy_nm", None),
    "sigma_x": ("sigma1_nm", None),
    "sigma_y": ("sigma2_nm", None),
    "photon #": ("photons", "photon"),
    "photons": ("photons", "photon"),
    "background": ("background", None),
    "x precision": ("uncertainty_x_nm", None),
    "y precision": ("uncertainty_y_nm", None),
    "z precision": ("uncertainty_z_nm", None),
}

_PICASSO: _Headings = {
    "frame": ("frame", ""),
    "x": ("x_nm", "px"),
    "y": ("y_nm", "px"),
    "z": ("z_nm", "nm"),
    "photons": ("photons", "photon"),
    "sx": ("sigma1_nm", "px"),
    "sy": ("sigma2_nm", "px"),
    "bg": ("background", "photon"),
    "lpx": ("uncertainty_x_nm", "px"),
    "lpy": ("uncertainty_y_nm", "px"),
    "lpz": ("uncertainty_z_nm", "nm"),
    "photons_unc": ("uncertainty_photons", "photon"),
    "len": ("detections", ""),
}

# The unit of x and y stands in DECODE's metadata, not in its headings.
_DECODE: _Headings = {
    "id": ("id", ""),
    "frame_ix": ("frame", ""),
    "x": ("x_nm", None),
    "y": ("y_nm", None),
    "z": ("z_nm", "nm"),
    "phot": ("photons", "photon"),
    "bg": ("background", "photon"),
    "prob": ("probability", ""),
    "x_sig": ("uncertainty_x_nm", None),
    "y_sig": ("uncertainty_y_nm", None),
    "z_sig": ("uncertainty_z_nm", "nm"),
    "phot_sig": ("uncertainty_photons", "photon"),
}

_SMAP: _Headings = {
    "frame": ("frame", ""),
    "xnm": ("x_nm", "nm"),
    "ynm": ("y_nm", "nm"),
    "znm": ("z_nm", "nm"),
    "phot": ("photons", "photon"),
    "bg": ("background", "photon"),
    "locprecnm": ("uncertainty_xy_nm", "nm"),
    "locprecznm": ("uncertainty_z_nm", "nm"),
    "xnmerr": ("uncertainty_x_nm", "nm"),
    "ynmerr": ("uncertainty_y_nm", "nm"),
    "psfxnm": ("sigma1_nm", "nm"),
    "psfynm": ("sigma2_nm", "nm"),
}

_CHALLENGE: _Headings = {
    "ground-truth": ("id", ""),
    "frame": ("frame", ""),
    "xnano": ("x_nm", "nm"),
    "ynano": ("y_nm", "nm"),
    "znano": ("z_nm", "nm"),
    "intensity": ("photons", "photon"),
}

# Positions as found in the frames: X and Y, not the drift-corrected Xc and Yc.
_NSTORM: _Headings = {
    "frame": ("frame", ""),
    "x": ("x_nm", "nm"),
    "y": ("y_nm", "nm"),
    "z": ("z_nm", "nm"),
    "length": ("detections", ""),
    "photons": ("photons", "photon"),
    "lateral localization accuracy": ("uncertainty_xy_nm", "nm"),
}

HEADINGS: Final[Mapping[TableFormat, _Headings]] = MappingProxyType(
    {
        "thunderstorm": _THUNDERSTORM,
        "picasso": _PICASSO,
        "decode": _DECODE,
        "smap": _SMAP,
        "challenge": _CHALLENGE,
        "nstorm": _NSTORM,
    }
)
"""What each program calls our columns."""

_UNITS: Final[Mapping[str, Unit]] = {
    "nm": "nm",
    "um": "um",
    "\u00b5m": "um",  # micro sign
    "\u03bcm": "um",  # Greek mu
    "px": "px",
    "pixel": "px",
    "pixels": "px",
    "photon": "photon",
    "photons": "photon",
    "adu": "ADU",
    "": "",
}

# "x [nm]", "X (nm)", MATLAB's "x_nm_", R's "x..nm.", Nanoimager's "x-nm"
_BRACKETED = re.compile(r"(?P<name>.*)[\[(](?P<unit>[^\[\]()]*)[\])]\s*")
_JOINED = re.compile(r"(?P<name>.+?)[-_.]+(?P<unit>nm|um|px|photons?|adu)[_.]*", re.IGNORECASE)


@dataclass(frozen=True)
class Heading:
    """What a heading of a file says.

    Parameters
    ----------
    text : str
        As it stands in the file, without quotes and blanks around it.
    column : str
        Our column, or "" where it is none.
    unit : {"nm", "um", "px", "photon", "ADU", "", "?"}
        Unit of the values; "" where there is none, "?" for one unknown here.
    """

    text: str
    column: str
    unit: Unit


def read_heading(text: str, table_format: TableFormat) -> Heading:
    """Find our column and the unit that a heading means.

    Parameters
    ----------
    text : str
        The heading, without quotes.
    table_format : str
        Whose heading it is.

    Returns
    -------
    Heading
        Its column is "" for names that have no place in our vocabulary.
    """
    text = " ".join(text.split())
    if text in COLUMNS and (table_format == "thunderstorm" or text not in HEADINGS[table_format]):
        return Heading(text, text, COLUMNS[text].unit)
    known = HEADINGS[table_format]
    name, unit = _split(text, known)
    if name not in known:
        return Heading(text, "", unit)
    column, implied = known[name]
    if not COLUMNS[column].unit:
        return Heading(text, column, "")
    if unit == "" and implied is not None:
        unit = implied
    return Heading(text, column, unit)


def _split(text: str, known: _Headings) -> tuple[str, Unit]:
    """Take a heading apart into its name, in lower case, and its unit."""
    lower = text.lower()
    if lower in known:
        return lower, ""
    match = _BRACKETED.fullmatch(text) or _JOINED.fullmatch(text)
    if match is None:
        return lower, ""
    unit = _UNITS.get(match["unit"].strip().lower(), "?")
    return match["name"].strip().lower(), unit


def recognise_format(headings: list[str]) -> TableFormat:
    """Tell whose table it is by its headings.

    Parameters
    ----------
    headings : list of str
        All headings, without quotes.

    Returns
    -------
    str
        The format; "thunderstorm" for all that have their units in the headings.
    """
    names = {" ".join(text.lower().split()) for text in headings}
    if {"xnm", "ynm"} <= names:
        return "smap"
    if {"xnano", "ynano"} <= names:
        return "challenge"
    if {"channel name", "x", "y", "xc", "yc"} <= names:
        return "nstorm"
    if "frame_ix" in names:
        return "decode"
    return "thunderstorm"


def nm_per_unit(unit: Unit, pixel_size_nm: float | None) -> float | None:
    """Give the nm in one unit of length; ``None`` where it isn't a length or isn't known."""
    return {"nm": 1.0, "um": 1000.0, "px": pixel_size_nm}.get(unit)


def photons_per_unit(unit: Unit, photons_per_adu: float | None) -> float | None:
    """Give the photons in one unit of light; ``None`` where it isn't light or isn't known."""
    return {"photon": 1.0, "ADU": photons_per_adu}.get(unit)
