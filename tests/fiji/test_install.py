from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.cli import main
from bridge.errors import InputError, OutputError
from bridge.fiji import install as installing
from bridge.fiji.folder import recognise
from bridge.fiji.install import install, plan_install, stale_files, uninstall
from bridge.fiji.manifest import read_manifest
from bridge.fiji.pythons import check_python, find_program
from bridge.zoo.places import embedded_dir

JARS = ("ij-1.54p", "scijava-common-2.100.1", "imagej-legacy-2.0.4", "scripting-groovy-1.0.1")
LAYOUTS = {
    "Linux, new": ("Fiji", "Fiji", "fiji-linux-x64"),
    "Linux, old": ("Fiji.app", "Fiji.app", "ImageJ-linux64"),
    "Windows": ("Fiji.app", "Fiji.app", "fiji-windows-x64.exe"),
    "macOS, new, by its bundle": ("Fiji", "Fiji/Fiji.app", "Fiji.app/Contents/MacOS/fiji-macos"),
    "macOS, new, by the folder around": ("Fiji", ".", "Fiji.app/Contents/MacOS/fiji-macos"),
    "macOS, old, inside": ("Fiji.app", "Fiji.app/Contents/MacOS", "Contents/MacOS/ImageJ-macosx"),
    "by its program": ("Fiji.app", "Fiji.app/fiji-linux-x64", "fiji-linux-x64"),
}
"""Where Fiji is, what the user names, and what starts it inside Fiji."""

Tree = dict[str, tuple[bytes | None, int]]


def make_fiji(root: Path, program: str = "fiji-linux-x64", jars: tuple[str, ...] = JARS) -> Path:
    for folder in ("jars", "plugins", "scripts", "macros"):
        (root / folder).mkdir(parents=True)
    for jar in jars:
        (root / "jars" / f"{jar}.jar").touch()
    (root / program).parent.mkdir(parents=True, exist_ok=True)
    (root / program).touch()
    (root / "macros" / "StartupMacros.txt").write_text("theirs")
    return root


def make_imagej(root: Path) -> Path:
    (root / "plugins").mkdir(parents=True)
    (root / "ij.jar").touch()
    return root


def set_python_mode(fiji: Path, environment: Path | str) -> None:
    config = fiji / "config" / "jaunch" / "fiji.cfg"
    config.parent.mkdir(parents=True)
    config.write_text(f"max-heap = 75%\nlaunch-mode = PYTHON\npython-dir={environment}\n")


def tree(root: Path) -> Tree:
    """Every file's bytes and date, and every folder."""
    return {
        path.relative_to(root).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        if path.is_file()
        else (None, 0)
        for path in root.rglob("*")
    }


@pytest.fixture
def fiji(tmp_path: Path) -> Path:
    return make_fiji(tmp_path / "Fiji.app")


@pytest.fixture(scope="module")
def without_zoobridge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real environment whose Python has nothing installed."""
    folder = tmp_path_factory.mktemp("bare") / "env"
    command = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(command, check=True)
    return folder


# ---- What a folder is ----


@pytest.mark.parametrize("layout", LAYOUTS)
def test_fiji_is_recognised_in_every_layout(tmp_path, layout):
    name, given_path, program = LAYOUTS[layout]
    root = make_fiji(tmp_path / name, program)
    folder = recognise(tmp_path / given_path)
    assert (folder.root, folder.name, folder.has_scijava) == (root, "Fiji", True)
    assert folder.program == program
    assert folder.jar_version("scijava-common") == "2.100.1"
    assert folder.jar_version("appose") is None


@pytest.mark.parametrize("jar", ["ij.jar", "ImageJ.app/Contents/Java/ij.jar"])
def test_plain_imagej_is_recognised(tmp_path, jar):
    path = tmp_path / "ImageJ" / jar
    path.parent.mkdir(parents=True)
    path.touch()
    folder = recognise(tmp_path)
    assert (folder.root, folder.name, folder.has_scijava) == (
        tmp_path / "ImageJ",
        "plain ImageJ",
        False,
    )


def test_python_mode_is_read_from_its_settings(fiji):
    set_python_mode(fiji, "python/linux64")
    folder = recognise(fiji)
    assert folder.name == "Fiji in Python mode"
    assert folder.python_dir == fiji / "python" / "linux64"


def test_what_is_no_fiji_is_refused_with_the_reason(tmp_path):
    with pytest.raises(InputError, match="neither Fiji nor ImageJ is in it"):
        recognise(tmp_path)
    with pytest.raises(InputError, match="No such file"):
        recognise(tmp_path / "missing")


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_linked_jars_are_refused_because_fiji_looks_beside_the_real_ones(tmp_path, fiji):
    other = tmp_path / "other"
    other.mkdir()
    (other / "jars").symlink_to(fiji / "jars")
    with pytest.raises(InputError, match="looks for its scripts beside the real one"):
        recognise(other)


# ---- Which Python ----


def test_this_python_is_asked_and_answers():
    found = check_python(sys.executable)
    assert found.program == Path(sys.executable).absolute()
    assert found.version == ".".join(map(str, sys.version_info[:3]))
    assert found.command is not None


def test_a_python_without_zoobridge_is_refused_with_the_line_to_type(without_zoobridge):
    with pytest.raises(InputError, match="cannot import bridge") as caught:
        check_python(str(without_zoobridge))
    assert f'"{find_program(str(without_zoobridge))}" -m pip install' in caught.value.remedy


def test_what_is_no_python_is_refused(tmp_path):
    with pytest.raises(InputError, match="there is no such program"):
        check_python("no-such-python")
    with pytest.raises(InputError, match="no Python is in this folder"):
        check_python(str(tmp_path))
    other = shutil.which("git") or shutil.which("where")
    with pytest.raises(InputError, match="does not answer as a Python would"):
        check_python(str(other))


def test_the_python_of_python_mode_must_have_zoobridge(fiji, without_zoobridge):
    set_python_mode(fiji, without_zoobridge)
    with pytest.raises(InputError, match="cannot import bridge") as caught:
        plan_install(fiji)
    assert "--kind groovy" in caught.value.remedy
    assert tree(fiji).keys().isdisjoint({"zoobridge"})


def test_another_python_than_fijis_own_is_refused_in_python_mode(fiji, without_zoobridge):
    set_python_mode(fiji, without_zoobridge)
    with pytest.raises(InputError, match="this Fiji runs in"):
        plan_install(fiji, python=sys.executable)


def test_python_mode_without_a_python_is_refused(fiji):
    set_python_mode(fiji, "python/linux64")
    with pytest.raises(InputError, match="no Python is in it"):
        plan_install(fiji)


# ---- What is put where ----


def test_fiji_gets_groovy_entries_the_client_macros_and_the_python(fiji, capsys):
    assert main(["fiji", "install", str(fiji)]) == 0
    out, err = capsys.readouterr()
    entries = {path.suffix for path in (fiji / "scripts/Plugins/ZooBridge").iterdir()}
    assert entries == {".groovy"}
    assert (fiji / "scripts/Plugins/ZooBridge/ZooBridge_Predict.groovy").is_file()
    client = Path(installing.__file__).with_name("ZooBridge.groovy")
    assert (fiji / "zoobridge/ZooBridge.groovy").read_bytes() == client.read_bytes()
    told = json.loads((fiji / "zoobridge/install.json").read_text())
    assert told["python"] == str(Path(sys.executable).absolute())
    assert told["kind"] == "groovy"
    assert "Found Fiji" in err
    assert "Python: " in err
    assert "the slower way is used" in err, "there is no Appose among the jars"
    assert json.loads(out.splitlines()[-1])["outputs"]["appose"] is None


def test_with_appose_its_version_is_told(fiji, capsys):
    (fiji / "jars" / "appose-0.11.0.jar").touch()
    assert main(["fiji", "install", str(fiji)]) == 0
    _, err = capsys.readouterr()
    assert "appose 0.11.0" in err
    assert "slower" not in err


def test_fiji_in_python_mode_gets_python_entries(fiji):
    set_python_mode(fiji, Path(sys.executable).absolute().parents[1])
    plan = plan_install(fiji)
    install(plan)
    assert plan.kind == "python"
    entries = {path.suffix for path in (fiji / "scripts/Plugins/ZooBridge").iterdir()}
    assert entries == {".py"}
    assert not (fiji / "zoobridge/ZooBridge.groovy").exists()


def test_plain_imagej_gets_macros_that_know_their_zoobridge(tmp_path):
    root = make_imagej(tmp_path / "ImageJ")
    plan = plan_install(tmp_path)
    install(plan)
    assert plan.kind == "macros"
    text = (root / "plugins/ZooBridge/predict_folder.ijm").read_text("ascii")
    assert plan.python.command is not None
    line = next(line for line in text.splitlines() if line.startswith("command = "))
    assert line.endswith(f'"{plan.python.command.as_posix()}");')
    assert not (root / "scripts").exists()


def test_plain_imagej_cannot_get_scripts(tmp_path):
    make_imagej(tmp_path / "ImageJ")
    with pytest.raises(InputError, match="cannot run the groovy scripts"):
        plan_install(tmp_path, kind="groovy")


def test_another_kind_replaces_the_first(fiji):
    install(plan_install(fiji))
    install(plan_install(fiji, kind="python"))
    entries = {path.suffix for path in (fiji / "scripts/Plugins/ZooBridge").iterdir()}
    assert entries == {".py"}, "never two commands of one name"
    before = tree(fiji)
    install(plan_install(fiji, kind="python"))
    assert tree(fiji) == before


# ---- Twice, and back ----


@pytest.mark.parametrize("kind", ["groovy", "python", "macros"])
def test_twice_changes_nothing_and_uninstall_restores_the_folder(fiji, kind, capsys):
    before = tree(fiji)
    plan = plan_install(fiji, kind=kind)
    install(plan)
    first = tree(fiji)
    assert set(before) < set(first)
    folders = {path: path.stat().st_mtime_ns for path in fiji.rglob("*") if path.is_dir()}
    changes = install(plan_install(fiji, kind=kind))
    assert (changes.written, changes.removed, changes.kept) == ([], [], [])
    assert tree(fiji) == first
    assert {path: path.stat().st_mtime_ns for path in folders} == folders
    assert main(["fiji", "uninstall", str(fiji)]) == 0
    assert tree(fiji) == before
    assert main(["fiji", "uninstall", str(fiji)]) == 2
    assert "zoobridge is not installed in it" in capsys.readouterr().err


@given(
    theirs=st.sets(
        st.sampled_from(
            [
                "scripts/Plugins/ZooBridge/Mine_Too.groovy",
                "scripts/Plugins/Other_One.py",
                "macros/ZooBridge/mine.ijm",
                "zoobridge/notes.txt",
                "plugins/ZooBridge/mine.ijm",
                "luts/fire.lut",
            ]
        )
    ),
    kinds=st.lists(st.sampled_from(["groovy", "python", "macros"]), min_size=1, max_size=3),
    without=st.sets(st.sampled_from(["scripts", "macros", "plugins"])),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_is_there_comes_back(tmp_path_factory, plans, theirs, kinds, without):
    fiji = make_fiji(tmp_path_factory.mktemp("x") / "Fiji.app")
    for name in without:
        shutil.rmtree(fiji / name)
    for name in theirs:
        (fiji / name).parent.mkdir(parents=True, exist_ok=True)
        (fiji / name).write_text(name)
    before = tree(fiji)
    for kind in kinds:
        install(plans(fiji, kind))
    assert uninstall(recognise(fiji)).kept == []
    assert tree(fiji) == before


@pytest.fixture(scope="module")
def plans() -> Callable[[Path, str], installing.Plan]:
    """Plans for a folder, with this Python asked only once."""
    python = check_python(sys.executable)

    def plan(root: Path, kind: str) -> installing.Plan:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(installing, "_python_for", lambda *_: python)
            return plan_install(root, kind=kind)  # type: ignore[arg-type]

    return plan


@pytest.mark.parametrize("stop_at", range(0, 20, 3))
def test_an_interrupted_install_can_be_repeated_or_undone(fiji, plans, monkeypatch, stop_at):
    before = tree(fiji)
    replace, count = Path.replace, iter(range(1000))

    def interrupted(path: Path, target: Path) -> Path:
        if next(count) == stop_at:
            raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        install(plans(fiji, "groovy"))
    if stop_at:  # the list of what is there comes first
        copy = fiji.parent / "copy" / "Fiji.app"
        shutil.copytree(fiji, copy)
        uninstall(recognise(copy))
        assert tree(copy).keys() == before.keys()
    install(plans(fiji, "groovy"))
    assert not list(fiji.rglob("*.part"))
    uninstall(recognise(fiji))
    assert tree(fiji) == before


def test_an_interrupted_change_of_kind_can_be_undone(fiji, plans, monkeypatch):
    before = tree(fiji)
    install(plans(fiji, "groovy"))
    replace, count = Path.replace, iter(range(1000))

    def interrupted(path: Path, target: Path) -> Path:
        if next(count) == 5:
            raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        install(plans(fiji, "python"))
    assert uninstall(recognise(fiji)).kept == []
    assert tree(fiji) == before


# ---- What is in the way ----


def test_a_foreign_file_of_the_same_name_is_refused_and_nothing_written(fiji, plans):
    theirs = fiji / "scripts/Plugins/ZooBridge/ZooBridge_Predict.groovy"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("// mine\n")
    before = tree(fiji)
    with pytest.raises(OutputError, match=r"in the way: .*ZooBridge_Predict\.groovy"):
        install(plans(fiji, "groovy"))
    with pytest.raises(OutputError, match=r"in the way: .*ZooBridge_Predict\.groovy"):
        install(plans(fiji, "python"))
    assert tree(fiji) == before


def test_a_file_that_somebody_changed_is_kept_and_named(fiji, plans, capsys):
    before = tree(fiji)
    install(plans(fiji, "groovy"))
    macro = fiji / "macros/ZooBridge/predict_folder.ijm"
    macro.write_text("// my own model\n")
    assert install(plans(fiji, "groovy")).kept == ["macros/ZooBridge/predict_folder.ijm"]
    assert macro.read_text() == "// my own model\n"
    assert main(["fiji", "uninstall", str(fiji)]) == 2
    assert "macros/ZooBridge/predict_folder.ijm" in capsys.readouterr().err
    assert macro.read_text() == "// my own model\n"
    assert not (fiji / "scripts/Plugins").exists()
    assert main(["fiji", "uninstall", str(fiji), "--force"]) == 0
    assert tree(fiji) == before


def test_files_of_an_earlier_zoobridge_are_renewed_and_removed(fiji, plans):
    before = tree(fiji)
    plan = plans(fiji, "groovy")
    entry = "scripts/Plugins/ZooBridge/ZooBridge_Predict.groovy"
    gone = "scripts/Plugins/ZooBridge/ZooBridge_Gone.groovy"
    earlier = {**plan.files, entry: b"// earlier\n", gone: b"// gone\n"}
    install(installing.replace(plan, files=earlier))
    manifest = read_manifest(fiji)
    assert manifest is not None
    assert stale_files(recognise(fiji), manifest) == [entry]
    changes = install(plan)
    assert (changes.written, changes.removed, changes.kept) == ([entry], [gone], [])
    uninstall(recognise(fiji))
    assert tree(fiji) == before


def test_a_damaged_list_is_refused_and_cannot_point_outside(fiji, plans, tmp_path):
    install(plans(fiji, "groovy"))
    victim = tmp_path / "victim.txt"
    victim.write_text("x")
    path = fiji / "zoobridge/install.json"
    told = json.loads(path.read_text())
    hashed = installing.sha256(b"x")
    for damaged in (
        "{",
        "[]",
        json.dumps({**told, "files": {"../victim.txt": hashed}}),
        json.dumps({**told, "files": {str(victim): hashed}}),
        json.dumps({**told, "folders": [".."]}),
        json.dumps({**told, "kind": "else"}),
        json.dumps({**told, "surprise": 1}),
    ):
        path.write_text(damaged)
        with pytest.raises(OutputError, match="does not tell what was installed"):
            uninstall(recognise(fiji))
    assert victim.exists()


@pytest.mark.skipif(os.name == "nt", reason="folders have other rights on Windows")
def test_a_read_only_fiji_is_refused_with_nothing_written(plans):
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to other users
        Path(folder).chmod(0o755)
        _try_read_only(make_fiji(Path(folder) / "Fiji.app"), plans)


def _try_read_only(fiji: Path, plans: Callable[[Path, str], installing.Plan]) -> None:
    before = tree(fiji)
    plan = plans(fiji, "groovy")
    for folder in (fiji, *(path for path in fiji.rglob("*") if path.is_dir())):
        folder.chmod(0o555)
    try:
        refusal = _as_ordinary_user(lambda: install(plan))
        assert "you may not write there" in refusal
    finally:
        for folder in (fiji, *(path for path in fiji.rglob("*") if path.is_dir())):
            folder.chmod(0o755)
    assert tree(fiji) == before


def _as_ordinary_user(work: Callable[[], object]) -> str:
    """Give the error of work done without an administrator's rights."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setuid(65534)
        try:
            work()
            said = "nothing"
        except BaseException as error:  # noqa: BLE001 - told to the parent
            said = str(error)
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answers:
        said = answers.read()
    os.waitpid(child, 0)
    return said


def test_a_path_that_macros_cannot_hold_is_told(fiji, plans, monkeypatch):
    python = check_python(sys.executable)
    odd = installing.replace(python, command=Path("/home/zoë/bin/zoobridge"))
    monkeypatch.setattr(installing, "_python_for", lambda *_: odd)
    plan = plan_install(fiji)
    assert "zoobridge.command" in plan.notes[-1]
    macro = plan.files["macros/ZooBridge/predict_folder.ijm"]
    assert b'"zoobridge.command", "zoobridge");' in macro


# ---- In a real ImageJ2 ----

ASK_IMAGEJ = """
import json, os, sys
import scyjava, imagej
folder, home, answer = sys.argv[1:]
scyjava.config.set_java_constraints(fetch="auto")
scyjava.config.endpoints.clear()
scyjava.config.add_options([f"-Duser.home={home}", f"-Djava.util.prefs.userRoot={home}"])
ij = imagej.init(folder, mode="headless")
commands = scyjava.jimport("ij.Menus").getCommands().keySet()
run = ij.py.run_macro
found = {
    "commands": sorted(str(c) for c in commands if str(c).startswith("ZooBridge")),
    "models": str(run(
        'run("ZooBridge Macro Extensions"); status = "";'
        'count = Ext.zooModels("", status); return count + status;'
    )["result"]),
    "predicted": str(run(
        'newImage("cells", "16-bit ramp", 64, 64, 1); run("ZooBridge Predict", "model=deep-storm");'
        'selectImage("cells-deep-storm"); return "" + getWidth();'
    )["result"]),
}
with open(answer, "w") as file:
    json.dump(found, file)
os._exit(0)
"""


@pytest.mark.fiji
@pytest.mark.slow
@pytest.mark.skipif("ZOOBRIDGE_FIJI" not in os.environ, reason="ZOOBRIDGE_FIJI names no folder")
@pytest.mark.parametrize("kind", ["groovy", "python"])
def test_a_real_imagej_finds_the_commands_and_is_restored(tmp_path, kind):
    fiji = tmp_path / "Fiji.app"
    shutil.copytree(recognise(Path(os.environ["ZOOBRIDGE_FIJI"])).root, fiji)
    before = tree(fiji)
    plan = plan_install(fiji, kind=kind)
    install(plan)
    answer = tmp_path / "answer.json"
    done = subprocess.run(
        [sys.executable, "-c", ASK_IMAGEJ, str(fiji), str(tmp_path), str(answer)],
        env={**os.environ, "ZOOBRIDGE_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert answer.exists(), done.stdout + done.stderr
    found = json.loads(answer.read_text())
    entries = [path for path in plan.files if path.startswith("scripts/")]
    assert found["commands"] == sorted(Path(p).stem.replace("_", " ") for p in entries)
    count, status = found["models"][0], json.loads(found["models"][1:])
    n_embedded = sum(1 for package in embedded_dir().iterdir() if package.is_dir())
    assert (count, status["ok"]) == (str(n_embedded), True)
    assert found["predicted"] == "512"
    uninstall(recognise(fiji))
    assert tree(fiji) == before
