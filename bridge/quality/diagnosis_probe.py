"""One forward pass, watched from below: what its last ReLU is given, and which layers die.

The operators themselves are watched (``TorchDispatchMode``), not the modules, so that functions in
a ``forward`` and networks in TorchScript are seen as well. Of an ONNX graph the last ReLU's input
is asked for as one more output; its layers are not seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils._python_dispatch import TorchDispatchMode

_MOST_IMAGE_CHANNELS: Final = 4

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Layer:
    """What one activation was given.

    Attributes
    ----------
    name : str
        The convolution before it, by its name in the state dict.
    silent_share : float
        Share of its channels that are above 0 nowhere.
    n_pixels : int
        Pixels of each channel; a norm over one pixel is silent by itself.
    """

    name: str
    silent_share: float
    n_pixels: int


@dataclass(frozen=True)
class RunningNorm:
    """A batch norm that uses statistics from its training.

    Attributes
    ----------
    name : str
        By its name in the state dict.
    least_variance : float
        Least of its running variances.
    variance_ratio : float
        Running variance over the variance it was given, median over channels; NaN if not run.
    """

    name: str
    least_variance: float
    variance_ratio: float


@dataclass(frozen=True, eq=False)
class Seen:
    """What one forward pass showed.

    Attributes
    ----------
    outputs : tuple of ndarray
        The network's outputs, in the description's order.
    before : tuple of (ndarray or None)
        For each output what its last ReLU or clamp was given; None where there is none.
    layers : tuple of Layer
        Activations in the order they ran; empty where they can't be seen.
    norms : tuple of RunningNorm
        Batch norms with running statistics.
    unseen : tuple of str
        Sentences on what these weights don't show.
    """

    outputs: tuple[Image, ...]
    before: tuple[Image | None, ...]
    layers: tuple[Layer, ...] = ()
    norms: tuple[RunningNorm, ...] = ()
    unseen: tuple[str, ...] = ()


def watch_torch(network: torch.nn.Module, inputs: Sequence[NDArray[Any]]) -> Seen:
    """Run a network once and watch it.

    Parameters
    ----------
    network : Module
        In evaluation mode, on the CPU; of Python or of TorchScript.
    inputs : sequence of ndarray, (b, c, y, x)
        As the network gets them.

    Returns
    -------
    Seen
    """
    names = {value.data_ptr(): name for name, value in network.state_dict().items()}
    watch = _Watch(names)
    with torch.no_grad(), watch:
        result = network(*(torch.from_numpy(np.ascontiguousarray(a)) for a in inputs))
    outputs = list(result) if isinstance(result, (tuple, list)) else [result]
    return Seen(
        outputs=tuple(o.float().numpy() for o in outputs),
        before=tuple(watch.before(o) for o in outputs),
        layers=tuple(watch.layers),
        norms=tuple(_with_unused(watch.norms, network.state_dict())),
    )


def _with_unused(
    norms: Mapping[str, RunningNorm], state: Mapping[str, torch.Tensor]
) -> list[RunningNorm]:
    """Add norms that the state dict has, but that didn't run as batch norms (folded, or shared)."""
    found = dict(norms)
    for name, value in state.items():
        layer = name.removesuffix(".running_var")
        if layer != name and layer not in found:
            found[layer] = RunningNorm(layer, float(value.min()), float("nan"))
    return list(found.values())


@dataclass
class _Cut:
    """An operator that cuts negative values off, with copies of what went in and came out."""

    given: torch.Tensor
    made: torch.Tensor


@dataclass
class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    names: Mapping[int, str]
    layers: list[Layer] = field(default_factory=list)
    norms: dict[str, RunningNorm] = field(default_factory=dict)
    cuts: list[_Cut] = field(default_factory=list)
    last: str = "input"

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__
        cuts = name.rstrip("_") in ("relu", "clamp", "clamp_min", "hardtanh")
        given = args[0].detach().clone() if cuts and _is_image(args[0]) else None
        if name.rstrip("_") in ("relu", "leaky_relu", "gelu", "elu", "prelu", "silu"):
            self._note_activation(args[0])
        elif name in ("convolution", "mkldnn_convolution", "addmm"):
            weight = args[1] if name != "addmm" else args[2]
            self.last = self.names.get(weight.data_ptr(), self.last).removesuffix(".weight")
        elif "batch_norm" in name:
            self._note_norm(args)
        made = func(*args, **(kwargs or {}))
        if given is not None:
            self.cuts.append(_Cut(given, made.detach().clone()))
        return made

    def _note_activation(self, values: torch.Tensor) -> None:
        if values.dim() < 3:
            return
        silent = (values <= 0).flatten(2).all(dim=2).float().mean()
        self.layers.append(Layer(self.last, float(silent), values[0, 0].numel()))

    def _note_norm(self, args: tuple[Any, ...]) -> None:
        tensors = [a for a in args[:5] if isinstance(a, torch.Tensor)]
        if len(args) < 5 or not isinstance(args[4], torch.Tensor) or tensors[0].dim() < 3:
            return
        values, running = args[0], args[4]
        name = self.names.get(running.data_ptr(), self.last).removesuffix(".running_var")
        own = values.transpose(0, 1).flatten(1).var(dim=1, correction=0)
        has_variance = bool((own > 0).any())  # one pixel has none
        ratio = float((running / own)[own > 0].median()) if has_variance else float("nan")
        self.norms[name] = RunningNorm(name, float(running.min()), ratio)

    def before(self, output: torch.Tensor) -> Image | None:
        """Find what the last cut before an output was given, through the mean of its channels."""
        given: torch.Tensor | None = None
        for cut in reversed(self.cuts):  # a clamp may follow a ReLU: the first of them counts
            if _gives(cut.made, output) if given is None else _is_same(cut.made, given):
                given = cut.given
        return None if given is None else np.asarray(given.float().numpy())


def _is_image(value: Any) -> bool:
    return (
        isinstance(value, torch.Tensor)
        and value.is_floating_point()
        and value.dim() == 4
        and value.shape[1] <= _MOST_IMAGE_CHANNELS
    )


def _gives(made: torch.Tensor, output: torch.Tensor) -> bool:
    return _is_same(made, output) or (
        output.dim() == 4
        and output.shape[1] == 1
        and made.shape[2:] == output.shape[2:]
        and _is_same(made.mean(dim=1, keepdim=True), output)
    )


def _is_same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, equal_nan=True, atol=1e-7)


def watch_onnx(model: bytes | str, inputs: Sequence[NDArray[Any]]) -> Seen:
    """Run an ONNX graph once, with what its last ReLUs are given as further outputs.

    Parameters
    ----------
    model : bytes or str
        The serialised graph, or its path.
    inputs : sequence of ndarray
        In the graph's order.

    Returns
    -------
    Seen
        Without layers.
    """
    import onnx  # noqa: PLC0415 - only for ONNX weights
    import onnxruntime  # noqa: PLC0415

    graph = onnx.load(model) if isinstance(model, str) else onnx.load_from_string(model)
    makers = {name: node for node in graph.graph.node for name in node.output}
    wanted = [_cut_input(makers, output.name) for output in graph.graph.output]
    n_outputs = len(graph.graph.output)
    known = {output.name for output in graph.graph.output}
    for name in dict.fromkeys(w for w in wanted if w and w not in known):
        graph.graph.output.append(onnx.ValueInfoProto(name=name))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = {
        i.name: np.ascontiguousarray(a) for i, a in zip(session.get_inputs(), inputs, strict=True)
    }
    names = [o.name for o in session.get_outputs()]
    made = dict(zip(names, session.run(names, feed), strict=True))
    return Seen(
        outputs=tuple(np.asarray(made[name], np.float32) for name in names[:n_outputs]),
        before=tuple(np.asarray(made[w], np.float32) if w else None for w in wanted),
        norms=tuple(_onnx_norms(graph)),
        unseen=("An ONNX graph shows the last ReLU's input, but not which layers die.",),
    )


def _cut_input(makers: Mapping[str, Any], name: str) -> str:
    """Name what the ReLU or clip that makes an output is given; "" where there is none."""
    node, found = makers.get(name), ""
    while node is not None and node.op_type in ("Relu", "Clip", "ReduceMean", "Identity", "Cast"):
        if node.op_type in ("Relu", "Clip"):
            found = node.input[0]
        node = makers.get(node.input[0])
    return found


def _onnx_norms(model: Any) -> list[RunningNorm]:
    import onnx  # noqa: PLC0415

    values = {i.name: i for i in model.graph.initializer}
    found = []
    for node in model.graph.node:
        if node.op_type == "BatchNormalization" and node.input[4] in values:
            variance = onnx.numpy_helper.to_array(values[node.input[4]])
            name = node.input[4].removesuffix(".running_var")
            found.append(RunningNorm(name, float(variance.min()), float("nan")))
    return found


@dataclass(frozen=True)
class WeightsLook:
    """What a state dict shows of whether it was ever trained and loaded.

    Attributes
    ----------
    missing, unexpected : tuple of str
        Names that only the network, or only the file has.
    n_norms, n_untouched : int
        Norms, and those still at their start: all scales equal and all shifts 0.
    n_biases, n_zero : int
        Convolutions with a bias, and those whose biases are all 0.
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    n_norms: int
    n_untouched: int
    n_biases: int
    n_zero: int


def look_at_weights(network: torch.nn.Module, stored: Mapping[str, Any] | None) -> WeightsLook:
    """Compare a network's weights with their file, and with how networks start.

    Parameters
    ----------
    network : Module
        With its weights loaded.
    stored : mapping or None
        The file's tensors by name; None where the network came with them (TorchScript).
    """
    state = dict(network.state_dict())
    n_norms = n_untouched = n_biases = n_zero = 0
    for name, bias in state.items():
        weight = state.get(name.removesuffix("bias") + "weight")
        if not name.endswith(".bias") or not isinstance(weight, torch.Tensor):
            continue
        is_zero = not bool(bias.any())
        if weight.dim() == 1:
            n_norms += 1
            n_untouched += is_zero and bool((weight == weight[0]).all())
        elif weight.dim() >= 3:
            n_biases += 1
            n_zero += is_zero
    keys = set(state if stored is None else stored)
    return WeightsLook(
        missing=tuple(sorted(set(state) - keys)),
        unexpected=tuple(sorted(keys - set(state))),
        n_norms=n_norms,
        n_untouched=n_untouched,
        n_biases=n_biases,
        n_zero=n_zero,
    )
