"""Reading a package's ONNX weights; apart from PyTorch's, which take seconds to import."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from bridge.errors import PackageError
from bridge.zoo.package import Package


def read_onnx(package: Package) -> bytes | Path:
    """Give a package's ONNX file for a runtime to load.

    Returns
    -------
    bytes or Path
        The file's content; its path where the tensors are in a second file beside it.

    Raises
    ------
    PackageError
        There is no usable ONNX file, or it refers to files that the description does not name.
    """
    import onnx  # noqa: PLC0415 - only packages with ONNX weights need it
    from google.protobuf.message import (  # type: ignore[import-untyped] # noqa: PLC0415
        DecodeError,
    )

    path = package.weights_file("onnx")
    content = package.read(path)
    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, ValueError, RuntimeError) as error:
        raise PackageError(f"{path.name} of {package.source}", "is no ONNX model") from error
    if not model.graph.node and not model.graph.output:
        raise PackageError(f"{path.name} of {package.source}", "is no ONNX model: it is empty")
    locations = set(_external_files(model))
    if not locations:
        return content
    entry = package.description.weights.onnx
    assert entry is not None  # weights_file found it
    declared = None if entry.external_data is None else package.file(entry.external_data)
    for location in sorted(locations):
        if declared is None or (path.parent / location).resolve() != declared:
            raise PackageError(
                f"{path.name} of {package.source}",
                f"takes tensors from a file {location!r} that the description does not name",
                "a model in one file, or external_data in the description",
                "Save the ONNX model again as a single file",
            )
    return path


def _external_files(node: object) -> Iterator[str]:
    """Give the file of every tensor in an ONNX message that is stored outside of it."""
    import onnx  # noqa: PLC0415 - only packages with ONNX weights need it
    from google.protobuf.message import Message  # noqa: PLC0415

    if isinstance(node, onnx.TensorProto):
        if node.data_location == onnx.TensorProto.EXTERNAL:
            yield next((e.value for e in node.external_data if e.key == "location"), "")
    elif isinstance(node, Message):
        for field, value in node.ListFields():
            if field.message_type is not None:
                yield from _external_files(value)
    elif isinstance(node, Iterable) and not isinstance(node, str | bytes):
        for item in node:
            yield from _external_files(item)
