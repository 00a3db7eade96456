"""Reading and writing tables of localizations: as fast as the fastest reader, and far above pandas.

All peers read the same file in the same run, each in a process of its own, and end with the same
four columns in memory. Run: ``python -m tests.benchmarks.tables --rows 5000000``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.benchmarks.setting import ratio, report, rounds

FOUR = ["frame", "x [nm]", "y [nm]", "intensity [photon]"]
OURS = ["frame", "x_nm", "y_nm", "photons"]


def make_file(folder: Path, n_rows: int) -> Path:
    """Write a table as ThunderSTORM does, with its ten columns and 5 decimals."""
    import polars as pl

    path = folder / f"table-{n_rows}.csv"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    table = {
        "id": np.arange(1, n_rows + 1),
        "frame": np.sort(rng.integers(1, 20_001, n_rows)),
        "x [nm]": rng.uniform(0, 40_960, n_rows),
        "y [nm]": rng.uniform(0, 40_960, n_rows),
        "sigma [nm]": rng.normal(120, 10, n_rows),
        "intensity [photon]": rng.gamma(4, 300, n_rows),
        "offset [photon]": rng.gamma(4, 3, n_rows),
        "bkgstd [photon]": rng.gamma(4, 1, n_rows),
        "chi2": rng.gamma(4, 1000, n_rows),
        "uncertainty_xy [nm]": rng.gamma(4, 3, n_rows),
    }
    pl.DataFrame(table).write_csv(path, float_precision=5, quote_style="non_numeric")
    return path


def peak_mib() -> float:
    """Give the process's peak memory, in MiB.

    Linux's own figure: that of ``getrusage`` starts with the parent's.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _measure(work: Callable[[], float]) -> None:
    """Time a writer, or a reader, which gives the sum of its columns: so none is lazy or wrong."""
    before = peak_mib()
    started, cpu = time.perf_counter(), time.process_time()
    total = work()
    report(
        seconds=time.perf_counter() - started,
        cpu_seconds=time.process_time() - cpu,
        rise_mib=peak_mib() - before,
        sum=total,
    )


def read_bridge_four(path: Path) -> None:
    from bridge.smlm.table import read_table

    _measure(lambda: float(read_table(path, columns=OURS)[OURS].to_numpy().sum()))


def read_bridge_all(path: Path) -> None:
    from bridge.smlm.table import read_table

    _measure(lambda: float(read_table(path)[OURS].to_numpy().sum()))


def read_polars_four(path: Path) -> None:
    import polars as pl

    _measure(lambda: float(pl.read_csv(path, columns=FOUR).select(FOUR).to_numpy().sum()))


def read_polars_all(path: Path) -> None:
    import polars as pl

    _measure(lambda: float(pl.read_csv(path).select(FOUR).to_numpy().sum()))


def read_pandas_four(path: Path) -> None:
    import pandas as pd

    _measure(lambda: float(pd.read_csv(path, usecols=FOUR)[FOUR].to_numpy().sum()))


def read_pandas_all(path: Path) -> None:
    import pandas as pd

    _measure(lambda: float(pd.read_csv(path)[FOUR].to_numpy().sum()))


def write_bridge(path: Path) -> None:
    from bridge.smlm.table import read_table, write_table

    table = read_table(path)
    target = path.with_name("out-bridge.csv")
    _measure(lambda: float(len(str(write_table(table, target, overwrite=True)))))
    target.unlink()


def write_pandas(path: Path) -> None:
    import pandas as pd

    table = pd.read_csv(path)
    target = path.with_name("out-pandas.csv")
    _measure(lambda: float(len(str(table.to_csv(target, index=False, float_format="%.5f")))))
    target.unlink()


METHODS: dict[str, Callable[[Path], None]] = {
    method.__name__: method
    for method in (
        read_bridge_four,
        read_polars_four,
        read_pandas_four,
        read_bridge_all,
        read_polars_all,
        read_pandas_all,
        write_bridge,
        write_pandas,
    )
}


def main() -> None:
    """Print ratios of time, or one method's figures for the parent process."""
    options = argparse.ArgumentParser()
    options.add_argument("--method", choices=list(METHODS))
    options.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "zoobridge-benchmarks"
    )
    options.add_argument("--rows", type=int, default=5_000_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--only", choices=["read", "write"], help="leave the others out")
    chosen = options.parse_args()
    path = make_file(chosen.folder, chosen.rows)
    if chosen.method:
        METHODS[chosen.method](path)
        return
    found = rounds(
        "tests.benchmarks.tables",
        [name for name in METHODS if name.startswith(chosen.only or "")],
        chosen.rounds,
        rows=chosen.rows,
        folder=chosen.folder,
    )
    sums = [figures[0]["sum"] for name, figures in found.items() if name.startswith("read")]
    if not np.allclose(sums, sums[:1], rtol=1e-12):
        raise RuntimeError(f"the readers disagree: {sums}")
    print(f"{chosen.rows:,} rows, {path.stat().st_size / 2**20:.0f} MiB; ratio of seconds (range)")
    for ours, peer in (
        ("read_bridge_four", "read_polars_four"),
        ("read_bridge_four", "read_pandas_four"),
        ("read_bridge_all", "read_polars_all"),
        ("read_bridge_all", "read_pandas_all"),
        ("write_bridge", "write_pandas"),
    ):
        if ours in found:
            cpu = ratio(found, ours, peer, "cpu_seconds")
            print(f"{ours} / {peer}: {ratio(found, ours, peer)}, CPU time {cpu}")
    for name, figures in found.items():
        best = min(each["seconds"] for each in figures)
        print(f"{name}: {best:.2f} s, memory rises by {figures[0]['rise_mib']:.0f} MiB")


if __name__ == "__main__":
    main()
