"""The shell's face, mostly as real processes: what a macro's ``exec`` or a script would see."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile

from bridge import __version__
from bridge.cli import main

HERE = Path(__file__).parent
TOYS = (
    "import sys; from toy_jobs import JOBS; from bridge.cli import main; sys.exit(main(jobs=JOBS))"
)
HEAVY = ("torch", "numpy", "xarray", "bioimageio", "pandas", "tifffile", "onnxruntime", "rich")


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(HERE), "ZOOBRIDGE_HOME": str(home)}


@pytest.fixture
def toys(tmp_path):
    """Give a function that runs the shell with toy jobs in a process of its own."""

    def run(*words: str, **settings) -> subprocess.CompletedProcess[str]:
        env = environment(tmp_path) | settings.pop("env", {})
        return subprocess.run(
            [sys.executable, "-c", TOYS, *words],
            capture_output=True,
            encoding="utf-8",
            env=env,
            check=False,
            timeout=120,
            **settings,
        )

    return run


@pytest.fixture
def toys_here(monkeypatch, tmp_path):
    """Give a function that runs the shell with toy jobs in this process."""
    monkeypatch.setenv("ZOOBRIDGE_HOME", str(tmp_path))
    monkeypatch.syspath_prepend(str(HERE))
    import toy_jobs  # noqa: PLC0415 - found only now

    return lambda *words: main(words, jobs=toy_jobs.JOBS)


def status_of(done: subprocess.CompletedProcess[str]) -> dict:
    """Read the last line, as a macro does."""
    assert done.stdout.endswith("}\n"), done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_success_ends_with_one_json_line_and_exit_code_0(toys):
    done = toys("echo", "--input", "a.tif")
    status = status_of(done)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1
    assert (status["zoobridge"], status["ok"], status["job"]) == (1, True, "echo")
    assert status["outputs"]["input"] == ["a.tif"]
    assert 0 < status["seconds"] < 60
    assert "Echoed." in done.stderr


def test_file_names_survive_the_shell(toys):
    names = ["a,b.tif", "[c] d.tif", "1.tif", "Zellkörper µm.tif", "-x", '{"a":1}', "ends\\"]
    status = status_of(toys("echo", "--input", *names, "--overwrite", "--input", names[0]))
    assert status["outputs"]["input"] == [*names, names[0]]
    assert status["outputs"]["overwrite"] is True


def test_umlauts_survive_a_plain_c_locale(toys):
    done = toys("echo", "--input", "ä.tif", env={"LC_ALL": "C", "PYTHONIOENCODING": "ascii"})
    assert done.stdout.isascii()
    assert status_of(done)["outputs"]["input"] == ["ä.tif"]


def test_subcommands_take_names_without_option(toys):
    status = status_of(toys("toys", "named", "--loud", "one", "two"))
    assert status["job"] == "toys named"
    assert status["outputs"] == {"name": "one", "others": ["two"], "loud": True}


def test_a_refusal_ends_with_its_four_parts_and_exit_code_2(toys):
    done = toys("refuse")
    status = status_of(done)
    assert done.returncode == 2
    assert status["error"] == {
        "kind": "ImageError",
        "what": "Zellkörper.tif",
        "found": "has 3 channels",
        "expected": "1 channel",
        "remedy": "Choose one.",
    }
    assert status["ok"] is False
    assert status["warnings"] == ["the image is odd"]
    assert "Error: Zellkörper.tif: has 3 channels. Expected 1 channel. Choose one." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "job", "found", "remedy"),
    [
        ([], None, "no command was given", "--help"),
        (["ehco"], None, "there is no command 'ehco'", "Did you mean echo?"),
        (["toys"], None, "no command was given", "zoobridge toys --help"),
        (["toys", "nmaed"], None, "there is no command 'toys nmaed'", "toys named"),
        (["--unknown"], None, "there is no command '--unknown'", "--help"),
        (["echo"], "echo", "--input was not given", "--help"),
        (["echo", "--input", "a", "--tile", "-1"], "echo", "'-1'", "--help"),
        (["echo", "--tlie", "5"], "echo", "there is no option --tlie", "Did you mean --tile?"),
        (["refuse", "stray"], "refuse", "'stray' belongs to no option", "--option stray"),
    ],
)
def test_usage_errors_end_in_json_too(toys_here, capsys, words, job, found, remedy):
    assert toys_here(*words) == 2
    out, err = capsys.readouterr()
    status = json.loads(out.splitlines()[-1])
    assert (status["ok"], status["job"], status["error"]["kind"]) == (False, job, "InputError")
    assert status["error"]["found"] == found
    assert remedy in status["error"]["remedy"]
    assert err.startswith("Error: ")


def test_an_unexpected_error_is_a_sentence_with_a_log_file(toys):
    done = toys("crash")
    status = status_of(done)
    assert done.returncode == 1
    assert status["error"]["kind"] == "UnexpectedError"
    assert status["error"]["found"] == "IndexError: list index out of range"
    assert "This is a bug" in done.stderr
    assert "Traceback" not in done.stderr
    log_path = Path(status["error"]["remedy"].rpartition("log file ")[2].rstrip("."))
    assert "raise IndexError" in log_path.read_text()


def test_debugging_lets_the_trace_through(toys):
    done = toys("crash", env={"ZOOBRIDGE_DEBUG": "1"})
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "IndexError: list index out of range" in done.stderr


def test_a_library_that_ends_the_process_does_not_end_without_a_status(toys):
    done = toys("quit")
    assert done.returncode == 1
    assert status_of(done)["error"]["found"] == "SystemExit: 0"


def test_a_job_that_cannot_be_loaded_is_a_crash_with_a_status(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ZOOBRIDGE_HOME", str(tmp_path))
    for words in (["gone"], ["gone", "--help"]):
        assert main(words, jobs={("gone",): "no_such_module:Job"}) == 1
        status = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert "no_such_module" in status["error"]["found"]


def test_a_result_that_counts_as_failed_keeps_its_outputs(toys):
    done = toys("black")
    status = status_of(done)
    assert done.returncode == 1
    assert status["error"]["kind"] == "VerdictError"
    assert (status["outputs"], status["report"]) == ({"image": "black.tif"}, "black.json")
    assert status["warnings"] == ["the range is odd"]
    assert "[a], b.tif" in done.stderr
    assert "Warning: the range is odd" in done.stderr
    assert "Error: black.tif: is black." in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="prints through the C library of POSIX systems")
def test_whatever_is_printed_goes_to_standard_error(toys):
    done = toys("chatter")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert status_of(done)["outputs"] == {"nothing": None}
    for printed in (
        "printed by Python",
        "written to the first stdout",
        "written to descriptor 1",
        "echoed by a child",
        "warned by Python",
        "printed by C",
    ):
        assert printed in done.stderr


def test_of_a_damaged_file_only_the_sentence_is_told(tmp_path):
    whole = tmp_path / "whole.tif"
    tifffile.imwrite(whole, np.arange(3 * 64 * 64, dtype=np.uint16).reshape(3, 64, 64), imagej=True)
    (tmp_path / "cut.tif").write_bytes(whole.read_bytes()[:-9000])
    words = ["detect", "--input", "cut.tif", "--output", "found.csv", "--radius-nm", "200"]
    done = subprocess.run(
        [sys.executable, "-m", "bridge", *words],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert "1 of the 3 planes" in status_of(done)["error"]["found"]
    (told,) = done.stderr.splitlines()
    assert told.startswith("Error: cut.tif: the file is cut off")


@pytest.mark.skipif(os.name == "nt", reason="prints through the C library of POSIX systems")
@pytest.mark.filterwarnings("ignore:warned by Python")
def test_standard_output_is_given_back_to_a_caller_in_this_process(toys_here, capfd):
    assert toys_here("chatter") == 0
    print("after the job")
    os.write(1, b"")
    out, err = capfd.readouterr()
    first, last = out.splitlines()
    assert json.loads(first)["ok"] is True
    assert last == "after the job"
    assert "printed by C" in err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("job", "n_signals"), [("forever", 1), ("deaf", 2)])
def test_a_signal_stops_a_long_job_and_a_second_one_a_deaf_job(tmp_path, number, job, n_signals):
    with subprocess.Popen(
        [sys.executable, "-c", TOYS, job],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(tmp_path),
    ) as process:
        try:
            assert process.stderr.readline() == "at work\n"
            for _ in range(n_signals):
                process.send_signal(number)
                process.stderr.readline()  # the empty line that begins the answer to the first
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    status = json.loads(out.splitlines()[-1])
    assert process.returncode == 130, err
    assert (status["ok"], status["error"]["kind"]) == (False, "Cancelled")
    assert "Traceback" not in err


@pytest.mark.skipif(os.name == "nt", reason="closes descriptors as POSIX shells do")
@pytest.mark.parametrize(
    ("redirection", "exit_code"),
    [(">&-", 0), ("2>&-", 0), (">&- 2>&-", 0), ("> /dev/full", 1), ("2> /dev/full", 0)],
)
def test_closed_or_full_streams_are_no_reason_to_fail(tmp_path, redirection, exit_code):
    command = f'"$0" -c "$1" echo --input a {redirection}'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable, TOYS],
        capture_output=True,
        text=True,
        env=environment(tmp_path),
        check=False,
    )
    assert done.returncode == exit_code, done.stderr
    if not redirection.startswith(">"):
        assert status_of(done)["ok"] is True


@pytest.mark.parametrize("words", [["--help"], ["echo", "--input", "a"]])
def test_a_reader_who_went_away_is_no_error(tmp_path, words):
    with subprocess.Popen(
        [sys.executable, "-c", TOYS, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(tmp_path),
    ) as process:
        process.stdout.close()
        err = process.stderr.read().decode()
        process.wait(60)
    assert process.returncode == 0
    assert "BrokenPipe" not in err
    assert "Traceback" not in err


def test_the_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"zoobridge {__version__}\n"


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["nothing", "--help"]])
def test_the_overview_lists_every_command(toys_here, capsys, words):
    assert toys_here(*words) == 0
    out = capsys.readouterr().out
    for line in ("echo         Give back what was asked for.", "toys named", "--version"):
        assert line.split()[0] in out
    assert "A second paragraph" not in out


def test_the_help_of_a_group_lists_its_commands_only(toys_here, capsys):
    assert toys_here("toys", "--help") == 0
    out = capsys.readouterr().out
    assert "toys named" in out
    assert "refuse" not in out


def test_the_help_of_a_job_has_types_ranges_and_defaults(toys_here, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert toys_here("echo", "--help") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Usage: zoobridge echo --input TEXT... [OPTIONS]"
    assert "A second paragraph, only for the job's own help." in lines
    text = " ".join(" ".join(lines).split())
    for part in (
        "--input TEXT... Any texts. [required]",
        "--output PATH A path. [default out]",
        "--tile N Tile edge in pixels. [0 <= N <= 8192; default 0]",
        "--sigma-px X Width of something. [0 < X]",
        "--device auto|cpu Where to run. [default auto]",
        "--[no-]overwrite Replace what is there. [default no]",
        "--[no-]keep Keep what is there. [default yes]",
    ):
        assert part in text


def test_help_wins_over_wrong_words_but_not_behind_two_dashes(toys_here, capsys):
    assert toys_here("echo", "--tile", "x", "--help") == 0
    assert toys_here("toys", "named", "--", "--help") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["outputs"]["name"] == "--help"


def test_the_shell_is_quick_and_loads_nothing_heavy():
    code = (
        "import sys; from bridge.cli import main; main(['--help']);"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        seconds.append(time.perf_counter() - started)
        assert done.stderr.strip() == "[]"
        assert "predict" in done.stdout
    assert min(seconds) < 1.0  # 0.3 s on two slow cores


def test_the_installed_command_is_this_shell():
    command = Path(sys.executable).parent / "zoobridge"
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"zoobridge {__version__}"


def test_a_job_run_from_another_thread_leaves_signals_alone(toys_here, capsys):
    before = signal.getsignal(signal.SIGINT)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(toys_here, "echo", "--input", "a").result() == 0
    assert signal.getsignal(signal.SIGINT) is before
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["ok"] is True
