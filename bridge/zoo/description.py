"""Reading a description (rdf.yaml, bioimageio.yaml) as a model of format 0.5.

No file that the description names is opened here, and nothing is fetched: descriptions are
checked by bioimageio.spec with its input and output checks off.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import loguru
from bioimageio.spec import InvalidDescr, ValidationContext
from bioimageio.spec.model import v0_4, v0_5
from ruyaml import YAML
from ruyaml.error import YAMLError

from bridge.errors import PackageError
from bridge.zoo import legacy

PREFERRED_NAMES: Final = ("rdf.yaml", "bioimageio.yaml")
MAX_BYTES: Final = 8 * 2**20
MAX_NODES: Final = 200_000  # a few aliases can stand for more values than fit into memory
MAX_DEPTH: Final = 100
NM_PER_UNIT: Final = {"nanometer": 1.0, "micrometer": 1e3, "millimeter": 1e6, "angstrom": 0.1}
"""Units of the format's space axes that microscopes have."""

_KINDS = {
    "dataset": "a dataset",
    "notebook": "a notebook",
    "application": "an application",
    "collection": "a collection",
    "generic": "a generic resource",
}


def find_description(folder: Path) -> Path:
    """Give the description file of a package's folder.

    Raises
    ------
    PackageError
        There is none, or several and none has a preferred name.
    """
    for name in PREFERRED_NAMES:
        if (folder / name).is_file():
            return folder / name
    endings = (*PREFERRED_NAMES, "model.yaml")
    found = sorted(p.name for p in folder.iterdir() if p.is_file() and p.name.endswith(endings))
    expected = "a description named rdf.yaml or bioimageio.yaml"
    if not found:
        raise PackageError(str(folder), "holds no description", expected)
    if len(found) > 1:
        raise PackageError(
            str(folder),
            f"holds several descriptions: {', '.join(found)}",
            expected,
            "Give the path of the one you mean",
        )
    return folder / found[0]


def read_description(path: Path) -> tuple[v0_5.ModelDescr, tuple[str, ...]]:
    """Read and validate a description of format 0.4 or 0.5.

    Parameters
    ----------
    path : Path
        The YAML file; names in it are taken relative to its folder.

    Returns
    -------
    v0_5.ModelDescr
        The model's description, in format 0.5.
    tuple of str
        Sentences worth a warning, such as about a conversion.

    Raises
    ------
    PackageError
        It is not the valid description of a model in a format that is known.
    """
    content = read_content(path)
    version = _check_kind_and_version(path, content)
    notes: list[str] = []
    linked = _without_model_links(content)
    if linked:
        notes.append(f"The link of input {linked} to another model (output_of) was not followed.")
    context = ValidationContext(
        root=path.parent.absolute(),
        file_name=path.name,
        perform_io_checks=False,
        log_warnings=False,
    )
    with quiet() as caught:
        if version[1] == 4:
            old = v0_4.ModelDescr.load(content, context=context)
            if isinstance(old, InvalidDescr):
                raise _invalid(path, old)
            content = legacy.prepare(old, content)
            description = v0_5.ModelDescr.load(content, context=context)
            if not isinstance(description, InvalidDescr):
                with context:
                    legacy.restore(old, description)
            notes.append(
                f"The description has format {'.'.join(map(str, version))} "
                "and was converted to format 0.5."
            )
        else:
            description = v0_5.ModelDescr.load(content, context=context)
    if isinstance(description, InvalidDescr):
        raise _invalid(path, description)
    notes.extend(caught)
    known = v0_5.ModelDescr.implemented_format_version_tuple
    if version > known:
        notes.append(
            f"The description has format {'.'.join(map(str, version))}, newer than "
            f"{'.'.join(map(str, known))}, the newest one known here; it was read as that one."
        )
    return description, tuple(notes)


def read_content(path: Path) -> dict[str, Any]:
    """Read a description's YAML as a mapping; refuses what is too large, deep or no mapping."""
    expected = "a YAML file in UTF-8 that describes a model"
    try:
        if path.stat().st_size > MAX_BYTES:
            raise PackageError(str(path), f"is larger than {MAX_BYTES // 2**20} MiB", expected)
        content: Any = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise PackageError(str(path), "is not UTF-8", expected) from error
    except OSError as error:
        found = f"cannot be read ({error.strerror or error})"
        raise PackageError(str(path), found, expected) from error
    except YAMLError as error:
        raise PackageError(str(path), f"is not YAML: {_first_line(error)}", expected) from error
    except RecursionError as error:
        raise PackageError(str(path), "is nested too deep", expected) from error
    except (ValueError, TypeError, KeyError, AttributeError, AssertionError) as error:
        # the parser's own slips: impossible dates, lists as keys, broken directives
        raise PackageError(str(path), f"is not YAML: {_first_line(error)}", expected) from error
    if content is None:
        raise PackageError(str(path), "is empty", expected)
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise PackageError(str(path), "is no mapping of names to values", expected)
    if not _is_small(content):
        raise PackageError(str(path), "holds too many values or nests them too deep", expected)
    return content


@contextmanager
def quiet() -> Iterator[list[str]]:
    """Keep bioimageio.spec from printing; the list holds its Python warnings afterwards."""
    messages: list[str] = []
    loguru.logger.disable("bioimageio")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield messages
        messages.extend(f"{item.message}." for item in caught if item.category is UserWarning)
    finally:
        loguru.logger.enable("bioimageio")


def own_config(description: v0_5.ModelDescr) -> dict[str, Any]:
    """Give what ``config.zoobridge`` of a package says; empty where there is nothing."""
    said = description.config.model_dump().get("zoobridge")
    return said if isinstance(said, dict) else {}


def pixel_size_nm(
    description: v0_5.ModelDescr, tensor: v0_5.InputTensorDescr, dim: str
) -> float | None:
    """Give the pixel size that an input is made for.

    Parameters
    ----------
    description : ModelDescr
        The package's.
    tensor : InputTensorDescr
        One of its inputs.
    dim : str
        Id of one of the input's axes, as ``x``.

    Returns
    -------
    float or None
        Edge of a pixel in nm, from the axis's scale and unit; where it has no unit, what
        ``config.zoobridge`` says. deepImageJ takes a scale for a factor between input and output:
        packages whose images keep their size have no other place for it. None: it isn't said.
    """
    axis = next((one for one in tensor.axes if str(one.id) == dim), None)
    if not isinstance(axis, v0_5.SpaceInputAxis):
        return None
    per_unit = NM_PER_UNIT.get(str(axis.unit))
    if per_unit is not None:
        return float(axis.scale) * per_unit
    said = own_config(description).get("pixel_size_nm") if axis.unit is None else None
    return float(said) if isinstance(said, int | float) else None


def invalid_reasons(description: InvalidDescr, *, limit: int = 4) -> list[str]:
    """Give readable reasons, ``field: what is wrong``, why a description is invalid."""
    reasons: list[str] = []
    for detail in description.validation_summary.details:
        for error in detail.errors:
            # names of classes stand in the location where a field may hold one of several
            loc = ".".join(str(part) for part in error.loc if not _is_class_name(str(part)))
            message = _first_line(error.msg).removeprefix("Value error, ")
            reason = f"{loc}: {message}" if loc else message
            if reason not in reasons:
                reasons.append(reason)
    if len(reasons) > limit:
        reasons[limit:] = [f"and {len(reasons) - limit} more"]
    return reasons or ["bioimageio.spec gives no reason"]


def _invalid(path: Path, description: InvalidDescr) -> PackageError:
    return PackageError(
        str(path),
        "the description is invalid: " + "; ".join(invalid_reasons(description)),
        "a description that follows the format of the BioImage Model Zoo",
        "Correct the fields named here",
    )


def _check_kind_and_version(path: Path, content: Mapping[str, Any]) -> tuple[int, int, int]:
    """Give the format's version; refuse what is no model or has a format unknown here."""
    kind = content.get("type")
    if kind is None and "weights" not in content:
        expected = "type: model"
        raise PackageError(str(path), "is no description of a model: it has no type", expected)
    if kind not in (None, "model"):
        raise PackageError(str(path), f"describes {_KINDS.get(str(kind), repr(kind))}", "a model")
    found = content.get("format_version")
    expected = "a format_version from 0.4.0 to 0.5"
    if found is None:
        raise PackageError(str(path), "has no format_version", expected)
    match = re.fullmatch(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?", str(found))
    if match is None:
        raise PackageError(str(path), f"has format_version {found!r}", expected)
    version = (int(match[1]), int(match[2]), int(match[3] or 0))
    if version[:2] > (0, 5):
        raise PackageError(
            str(path), f"has format {found}, newer than this program", expected, "Update zoobridge"
        )
    if version[:2] < (0, 4):
        raise PackageError(
            str(path),
            f"has format {found}, which is no longer read",
            expected,
            "Convert it with `bioimageio update-format`",
        )
    return version


def _without_model_links(content: dict[str, Any]) -> str:
    """Drop ``output_of`` of all inputs (validation would fetch that model); give their names."""
    inputs = content.get("inputs")
    names = []
    for tensor in inputs if isinstance(inputs, list) else []:
        if isinstance(tensor, dict) and tensor.pop("output_of", None) is not None:
            names.append(str(tensor.get("id", "input")))
    return ", ".join(names)


def _is_small(content: object) -> bool:
    """Tell whether the values, counted through all aliases, are few and not nested deep."""
    n_nodes = 0
    pending: list[tuple[object, int]] = [(content, 0)]
    while pending:
        node, depth = pending.pop()
        n_nodes += 1
        if n_nodes > MAX_NODES or depth > MAX_DEPTH:
            return False
        if isinstance(node, dict):
            pending.extend((value, depth + 1) for value in node.values())
        elif isinstance(node, list | tuple | set):
            pending.extend((value, depth + 1) for value in node)
    return True


def _is_class_name(part: str) -> bool:
    return re.match(r"[A-Z_]\w*[a-z]\w*", part) is not None or "[" in part


def _first_line(error: object, *, limit: int = 200) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= limit else text[: limit - 3] + "..."
