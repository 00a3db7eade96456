"""Engines: the same network run by torch, ONNX Runtime or OpenVINO.

A :class:`Network` takes and gives numpy arrays in the tensors' own axis order and may be called
from several threads at once. Nothing here knows of images or tiles.
"""

from __future__ import annotations

import importlib.util
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bridge.errors import DeviceError, MemoryShortage, NetworkError, PackageError
from bridge.runtime.device import Device
from bridge.runtime.geometry import Geometry, read_geometry
from bridge.runtime.memory import keep_freed
from bridge.zoo.onnx_weights import read_onnx
from bridge.zoo.package import Package

if TYPE_CHECKING:
    import torch

Engine = Literal["openvino", "onnxruntime", "torch", "torchscript"]
Precision = Literal["float32", "bfloat16", "float16"]
Arrays = Sequence[NDArray[Any]]

WEIGHTS_OF: dict[Engine, str] = {
    "openvino": "onnx",
    "onnxruntime": "onnx",
    "torch": "pytorch_state_dict",
    "torchscript": "torchscript",
}


class Network(ABC):
    """A loaded network.

    Attributes
    ----------
    engine : Engine
        Who computes.
    device : Device
        Where.
    precision : Precision
        Arithmetic.
    """

    engine: Engine
    device: Device
    precision: Precision = "float32"

    def __call__(self, arrays: Arrays) -> list[NDArray[Any]]:
        """Run one batch.

        Parameters
        ----------
        arrays : sequence of ndarray
            One per input tensor, in the description's order and axis order.

        Returns
        -------
        list of ndarray
            One per output tensor.

        Raises
        ------
        MemoryShortage
            The batch doesn't fit the device.
        NetworkError
            The network refused the arrays, with its own words.
        """
        try:
            return self._run(arrays)
        except MemoryError as error:
            raise MemoryShortage(self.engine, str(error) or "out of memory") from error
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            if _is_out_of_memory(error):
                raise MemoryShortage(self.engine, f"out of memory on {self.device.name}") from error
            shapes = ", ".join(str(a.shape) for a in arrays)
            lines = str(error).strip().splitlines()
            reason = lines[-1] if lines else type(error).__name__
            raise NetworkError(
                f"network ({self.engine})",
                f"it refused inputs of shape {shapes}: {reason}",
                "",
                "If the sizes are what its description allows, tell the package's authors.",
            ) from error

    @abstractmethod
    def _run(self, arrays: Arrays) -> list[NDArray[Any]]: ...


def require_count(outputs: Arrays, geometry: Geometry, network: Network) -> None:
    """Raise NetworkError where a network gave another number of outputs than its description."""
    expected = len(geometry.outputs)
    if len(outputs) != expected:
        raise NetworkError(
            f"network ({network.engine})",
            f"it gave {len(outputs)} outputs",
            f"{expected}, as the package's description says",
            "The description is wrong; tell the package's authors.",
        )


class TorchNetwork(Network):
    """A state dict or TorchScript network in torch: channels last, batch norms folded."""

    def __init__(
        self, module: torch.nn.Module, engine: Engine, device: Device, precision: Precision
    ) -> None:
        import torch  # noqa: PLC0415 - the slowest import there is; only when torch computes

        self.engine = engine
        self.device = device
        self._torch = torch
        module = _freeze_script(module) if engine == "torchscript" else _fold_norms(module)
        module = module.to(device.name)
        if engine == "torch":
            for parameter in module.parameters():
                if parameter.dim() == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self._module = module
        self.precision = precision
        self._dtype = None if precision == "float32" else getattr(torch, precision)

    def _run(self, arrays: Arrays) -> list[NDArray[Any]]:
        torch = self._torch
        kind = self.device.name.partition(":")[0]
        with (
            torch.inference_mode(),
            torch.autocast(kind, dtype=self._dtype, enabled=self._dtype is not None),
        ):
            tensors = [self._to_device(a) for a in arrays]
            result = self._module(*tensors)
        outputs = result if isinstance(result, (tuple, list)) else [result]
        return [
            (o.float() if o.is_floating_point() and o.dtype != torch.float64 else o)
            .cpu()
            .contiguous()
            .numpy()
            for o in outputs
        ]

    def _to_device(self, array: NDArray[Any]) -> Any:
        torch = self._torch
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if not self.device.is_cpu:
            tensor = tensor.pin_memory() if self.device.name.startswith("cuda") else tensor
            tensor = tensor.to(self.device.name, non_blocking=True)
        if tensor.dim() == 4:
            return tensor.contiguous(memory_format=torch.channels_last)
        if tensor.dim() == 5:
            return tensor.contiguous(memory_format=torch.channels_last_3d)
        return tensor


def _fold_norms(module: torch.nn.Module) -> torch.nn.Module:
    """Fold batch norms into convolutions where torch.fx can trace the network, else leave it."""
    from torch.fx.experimental.optimization import fuse  # noqa: PLC0415

    module = module.eval().requires_grad_(False)
    try:
        traced = fuse(module)
        _reuse_memory(traced)
    except Exception:  # noqa: BLE001 - any code may stand in forward(); unfolded is only slower
        return module
    return traced


def _reuse_memory(traced: Any) -> None:
    """Let a ReLU write over its convolution's output where nothing else reads that."""
    import torch  # noqa: PLC0415

    modules = dict(traced.named_modules())
    for node in traced.graph.nodes:
        source: Any = node.args[0] if node.args else None
        if getattr(source, "op", "") != "call_module" or len(source.users) > 1:
            continue
        is_relu = node.target in (torch.relu, torch.nn.functional.relu) or (
            node.op == "call_module" and isinstance(modules[node.target], torch.nn.ReLU)
        )
        if is_relu and isinstance(modules[source.target], torch.nn.modules.conv._ConvNd):
            node.op, node.target, node.kwargs = "call_function", torch.relu_, {}
    traced.recompile()


def _freeze_script(module: torch.nn.Module) -> torch.nn.Module:
    import warnings  # noqa: PLC0415

    import torch  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript itself is deprecated, packages in it are not
        try:
            return torch.jit.freeze(module.eval())  # type: ignore[no-any-return]
        except RuntimeError:  # frozen already, or without weights to freeze
            return module


class OnnxNetwork(Network):
    """ONNX weights in ONNX Runtime."""

    engine = "onnxruntime"

    def __init__(self, model: bytes | str, device: Device) -> None:
        import onnxruntime as ort  # noqa: PLC0415 - only when it computes

        self.device = device
        options = ort.SessionOptions()
        options.intra_op_num_threads = device.threads
        options.log_severity_level = 3
        options.enable_mem_pattern = False  # it doubled the memory at the same speed
        available = ort.get_available_providers()
        providers = ["CPUExecutionProvider"]
        if device.name.startswith("cuda"):
            if "CUDAExecutionProvider" not in available:
                raise DeviceError(
                    "engine onnxruntime",
                    f"its providers are {', '.join(available)}",
                    f"CUDAExecutionProvider for {device.name}",
                    "Install onnxruntime-gpu, or use --engine torch.",
                )
            number = int(device.name.partition(":")[2] or 0)
            providers = [("CUDAExecutionProvider", {"device_id": number}), *providers]  # type: ignore[list-item]
        elif not device.is_cpu:
            raise DeviceError(
                "engine onnxruntime", f"cannot use {device.name}", "", "Use --engine torch."
            )
        try:
            self._session = ort.InferenceSession(model, options, providers=providers)
        except Exception as error:  # onnxruntime's errors have no common base
            raise PackageError(
                "ONNX weights", f"ONNX Runtime cannot load them: {_first_line(error)}", "", ""
            ) from error
        self._names = [i.name for i in self._session.get_inputs()]
        self._types = [_numpy_type(i.type) for i in self._session.get_inputs()]

    def _run(self, arrays: Arrays) -> list[NDArray[Any]]:
        feed = {
            name: np.ascontiguousarray(array, dtype=dtype)
            for name, array, dtype in zip(self._names, arrays, self._types, strict=True)
        }
        try:
            return list(self._session.run(None, feed))
        except Exception as error:  # onnxruntime's errors have no common base
            raise RuntimeError(_first_line(error)) from error


class OpenvinoNetwork(Network):
    """ONNX weights in OpenVINO, on the CPU; one request per calling thread."""

    engine = "openvino"

    def __init__(self, model: bytes | str, device: Device, precision: Precision) -> None:
        import openvino  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - optional

        if not device.is_cpu:
            raise DeviceError("engine openvino", f"is used on the CPU only, not on {device.name}")
        self.device = device
        self.precision = precision
        hints = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
        try:
            core = openvino.Core()
            settings = {
                "INFERENCE_PRECISION_HINT": hints[precision],
                "INFERENCE_NUM_THREADS": device.threads,
                "PERFORMANCE_HINT": "LATENCY",
            }
            self._compiled = core.compile_model(core.read_model(model), "CPU", settings)
        except Exception as error:  # openvino raises its own RuntimeErrors and others
            raise PackageError(
                "ONNX weights", f"OpenVINO cannot load them: {_first_line(error)}", "", ""
            ) from error
        self._types = [p.get_element_type().to_dtype() for p in self._compiled.inputs]
        self._local = threading.local()

    def _run(self, arrays: Arrays) -> list[NDArray[Any]]:
        if not hasattr(self._local, "request"):
            self._local.request = self._compiled.create_infer_request()
        feed = [np.ascontiguousarray(a, dtype=t) for a, t in zip(arrays, self._types, strict=True)]
        results = self._local.request.infer(feed, share_inputs=True, share_outputs=False)
        return [np.asarray(results[port]) for port in self._compiled.outputs]


def free_sizes(model: bytes | str, dims: Sequence[Sequence[str]]) -> bytes | str:
    """Take fixed sizes out of an ONNX graph's inputs, so that other sizes can be tried.

    Parameters
    ----------
    model : bytes or str
        The serialised graph, or the path of one with external data (left as it is).
    dims : sequence of sequence of str
        Per input its dims; all but the channels (``c``) become free.

    Returns
    -------
    bytes or str
        The graph; the one given where its sizes are free already.
    """
    if isinstance(model, str):
        return model
    import onnx  # noqa: PLC0415 - only for ONNX weights

    graph = onnx.load_from_string(model)
    constants = {i.name for i in graph.graph.initializer}
    inputs = [i for i in graph.graph.input if i.name not in constants]
    is_changed = False
    for number, (tensor, names) in enumerate(zip(inputs, dims, strict=False)):
        for dim, name in zip(tensor.type.tensor_type.shape.dim, names, strict=False):
            if name != "c" and dim.HasField("dim_value"):
                dim.dim_param = f"{name}{number}"
                is_changed = True
    if not is_changed:
        return model
    del graph.graph.value_info[:]
    for tensor in graph.graph.output:
        tensor.type.tensor_type.ClearField("shape")
    return bytes(graph.SerializeToString())


def usable_engines(package: Package, device: Device, precision: Precision) -> dict[Engine, str]:
    """List the engines, the likely fastest first, each with why it cannot be used ("" if it can).

    Parameters
    ----------
    package : Package
        Whose weights are looked at.
    device : Device
        Where it should run.
    precision : Precision
        ``float32`` or a shorter one; ONNX Runtime computes in the weights' own precision.

    Returns
    -------
    dict
    """
    order: tuple[Engine, ...] = ("openvino", "onnxruntime", "torch", "torchscript")
    if not device.is_cpu:
        order = ("torch", "torchscript", "onnxruntime")
    return {engine: _why_not(engine, package, device, precision) for engine in order}


def _why_not(engine: Engine, package: Package, device: Device, precision: Precision) -> str:
    weights = package.weights.get(WEIGHTS_OF[engine])
    if weights is None:
        return f"the package has no {WEIGHTS_OF[engine]} weights"
    if weights.problem:
        return weights.problem
    if engine == "openvino" and importlib.util.find_spec("openvino") is None:
        return "OpenVINO is not installed (pip install 'zoobridge[openvino]')"
    if engine == "onnxruntime" and precision != "float32":
        return f"it computes in the weights' own precision, not in {precision}"
    return ""


def load_network(
    package: Package, engine: Engine, device: Device, *, precision: Precision, trust: bool
) -> Network:
    """Load a package's network for one engine.

    Raises
    ------
    PackageError
        The weights cannot be loaded; TrustError where they need code to be run.
    DeviceError
        The engine cannot use the device.
    """
    if engine in {"torch", "torchscript"}:
        import torch  # noqa: PLC0415 - the slowest import there is

        from bridge.zoo import weights  # noqa: PLC0415 - imports torch

        if device.is_cpu:
            torch.set_num_threads(device.threads)
            keep_freed()
        module = weights.load_torch(package, WEIGHTS_OF[engine], trust=trust)  # type: ignore[arg-type]
        return TorchNetwork(module, engine, device, precision)
    source = read_onnx(package)
    model = free_sizes(
        source if isinstance(source, bytes) else str(source),
        [t.dims for t in read_geometry(package.description).inputs],
    )
    if engine == "openvino":
        return OpenvinoNetwork(model, device, precision)
    return OnnxNetwork(model, device)


def _numpy_type(name: str) -> type[Any]:
    kinds = {
        "tensor(float)": np.float32,
        "tensor(double)": np.float64,
        "tensor(float16)": np.float16,
        "tensor(uint8)": np.uint8,
        "tensor(uint16)": np.uint16,
        "tensor(int32)": np.int32,
        "tensor(int64)": np.int64,
        "tensor(bool)": np.bool_,
    }
    if name not in kinds:
        raise PackageError("ONNX weights", f"an input is of type {name}", "a numeric tensor", "")
    return kinds[name]


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _is_out_of_memory(error: Exception) -> bool:
    text = str(error).lower()
    return any(
        hint in text
        for hint in (
            "out of memory",
            "can't allocate memory",
            "failed to allocate",
            "bad_alloc",
            "bad allocation",
        )
    )
