"""Units of length and time as image files spell them, in nm and seconds; nothing is guessed."""

from __future__ import annotations

import math
from fractions import Fraction

_NM: dict[str, Fraction] = {
    name: Fraction(factor)
    for names, factor in {
        "pm picometer picometre": "0.001",
        "å a angstrom ångström": "0.1",
        "nm nanometer nanometre nanometers nanometres nanometer(s)": "1",
        "um µm micron microns micrometer micrometre micrometers micrometres": "1000",
        "mm millimeter millimetre millimeters millimetres": "1000000",
        "cm centimeter centimetre centimeters centimetres": "10000000",
        "m meter metre meters metres": "1000000000",
        "in inch inches": "25400000",
    }.items()
    for name in names.split()
}

_SECONDS: dict[str, float] = {
    name: factor
    for names, factor in {
        "ns nanosecond nanoseconds": 1e-9,
        "us µs microsecond microseconds": 1e-6,
        "ms msec millisecond milliseconds": 1e-3,
        "s sec second seconds": 1.0,
        "min minute minutes": 60.0,
        "h hour hours": 3600.0,
    }.items()
    for name in names.split()
}

#: units of print and screen; a "pixel size" in them is mostly that of a printer
PRINT_UNITS = frozenset({"cm", "centimeter", "centimetre", "in", "inch", "inches"})


def unit_name(text: str) -> str:
    """Spell a unit as the tables here do: lower case, one kind of micro sign."""
    escaped = text.strip().strip('"').replace("\\u00B5", "µ").replace("\\u00b5", "µ")
    return escaped.replace("\u03bc", "µ").lower()  # Greek mu, Unicode's other micro sign


def length_in_nm(value: float | Fraction, unit: str) -> float | None:
    """Convert a length to nm.

    Parameters
    ----------
    value : float or Fraction
        The length, in ``unit``.
    unit : str
        As the file spells it.

    Returns
    -------
    float or None
        nm; None where the unit is no length (``pixel``), or the value isn't positive and finite.
    """
    factor = _NM.get(unit_name(unit))
    if factor is None or not math.isfinite(value) or value <= 0:
        return None
    exact = value if isinstance(value, Fraction) else Fraction(repr(float(value)))
    return float(exact * factor)


def time_in_s(value: float, unit: str) -> float | None:
    """Convert a time to seconds; None where the unit or the value makes no sense."""
    factor = _SECONDS.get(unit_name(unit))
    if factor is None or not math.isfinite(value) or value <= 0:
        return None
    return value * factor
