"""The Groovy client's own cost: images to the warm worker and back, overhead of a run, memory.

Real Java without Python mode (ImageJ 1.54p, Groovy 4.0.28, Appose 0.9.0), this Python as worker.

- there and back: 2048 x 2048 float32 through shared memory and into a new image, with a task that
  only copies; best and middle of 30, as multiples of ``array.copy()`` in the worker itself;
- a run: what ``run("ZooBridge Predict", ...)`` does, of a loaded model on 64 x 64 pixels, less the
  seconds that Python says it took;
- memory: Java's heap, the worker and /dev/shm before and after 100 such runs.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1] / "fiji"))

if TYPE_CHECKING:
    from groovy_process import Groovy

N_TRANSFERS = 30
N_RUNS = 100

TRANSFER = """
def imp = ij.IJ.createImage("a", "32-bit ramp", 2048, 2048, 1)
ij.WindowManager.setTempCurrentImage(imp)
def script = '''
import json, time
from bridge.worker import _put, image_of
from bridge.jobs.desk import Answer, Shown
array = pixels.ndarray()
began = time.perf_counter()
array.copy()
copy = time.perf_counter() - began
_put(task, Answer(status=json.dumps(copy), images=[Shown("b", image_of(array, {}, 0.0), (0, 1))]))
'''
return (1..arguments.n).collect {
    def began = System.nanoTime()
    def source = client.takeImage([values: [:], options: null])
    def answer = client.worker().perform([command: "x"], source, script)
    def seconds = (System.nanoTime() - began) / 1e9
    assert Arrays.equals(imp.getProcessor().pixels, answer.images[0].picture.getProcessor().pixels)
    [seconds, answer.status]
}
"""
RUNS = """
return (1..arguments.n).collect {
    def imp = ij.IJ.createImage("cells.tif", "16-bit ramp", 64, 64, 1)
    ij.WindowManager.setTempCurrentImage(imp)
    def began = System.nanoTime()
    def answer = client.perform([command: "predict", values: [:], options: "model=deep-storm"])
    def seconds = (System.nanoTime() - began) / 1e9
    ij.WindowManager.getImage(answer.titles[0]).with { it.changes = false; it.close() }
    [seconds, answer.status.seconds]
}
"""
HEAP = """
10.times { System.gc(); Thread.sleep(50) }
return Runtime.runtime.with { it.totalMemory() - it.freeMemory() } / 1e6
"""


def main() -> None:
    from groovy_process import environment, start_imagej

    with tempfile.TemporaryDirectory() as folder:
        groovy = start_imagej(
            Path(folder) / "home",
            env=environment(ZOOBRIDGE_HOME=folder),
            python=sys.executable,
        )
        try:
            _transfers(groovy)
            _runs(groovy)
        finally:
            groovy.quit()


def _transfers(groovy: Groovy) -> None:
    groovy.run(TRANSFER, n=5)
    measured = groovy.run(TRANSFER, n=N_TRANSFERS).value
    whole, copy = zip(*measured, strict=True)
    for name, of in {"best": min, "middle": statistics.median}.items():
        print(
            f"there and back, {name:6} {1e3 * of(whole):7.1f} ms,"
            f" {of(whole) / of(copy):5.1f} x a numpy copy of {1e3 * of(copy):.2f} ms"
        )


def _runs(groovy: Groovy) -> None:
    groovy.run(RUNS, n=10)
    before = _memory(groovy)
    overheads = [whole - inside for whole, inside in groovy.run(RUNS, n=N_RUNS).value]
    after = _memory(groovy)
    print(
        f"overhead of a run: best {1e3 * min(overheads):.0f} ms,"
        f" middle {1e3 * statistics.median(overheads):.0f} ms"
    )
    for name, start in before.items():
        print(f"{name}: {start:.1f}, after {N_RUNS} runs {after[name]:.1f}")


def _memory(groovy: Groovy) -> dict[str, Any]:
    from groovy_process import workers

    shared = Path("/dev/shm")
    return {
        "Java's heap, MB": groovy.run(HEAP).value,
        "the worker, MB": workers(groovy)[0].memory_info().rss / 1e6,
        "files in /dev/shm": len(list(shared.iterdir())) if shared.is_dir() else 0,
    }


if __name__ == "__main__":
    main()
