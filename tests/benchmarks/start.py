"""How soon the first result comes, from the shell: ``python -m tests.benchmarks.start``."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from importlib import resources
from pathlib import Path


def main() -> None:
    """Print the seconds of the help and of a small prediction, the best of three."""
    movie = resources.files("models_zoo") / "deep_storm" / "demo" / "movie.tif"
    with tempfile.TemporaryDirectory() as folder, resources.as_file(movie) as path:
        from bridge.images.read import open_image
        from bridge.images.write import write_image

        small = Path(folder) / "small.tif"
        write_image(small, open_image(path).isel(t=0))
        output = str(Path(folder) / "out.tif")
        predict = ["predict", "--model", "deep-storm", "--input", str(small), "--output", output]
        for name, words in (
            ("--help", ["--help"]),
            ("one 96 x 96 frame", [*predict, "--overwrite"]),
        ):
            best = float("inf")
            for _ in range(3):
                start = time.perf_counter()
                subprocess.run(
                    [sys.executable, "-m", "bridge", *words], check=True, capture_output=True
                )
                best = min(best, time.perf_counter() - start)
            print(f"| {name} | {best:.2f} s |")


if __name__ == "__main__":
    main()
