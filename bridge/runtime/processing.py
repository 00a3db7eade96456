"""Pre- and postprocessing as the description declares it, by ``bioimageio.core``'s own operators.

Statistics are those of the whole, unpadded image, taken once before the first tile, so that all
tiles are treated alike: per batch item where the operator asks for a sample's statistics, over all
items where its axes include the batch.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, overload

import numpy as np
from bioimageio.core._op_base import SimpleOperator
from bioimageio.core.axis import AxisId
from bioimageio.core.common import MemberId
from bioimageio.core.proc_ops import (
    EnsureDtype,
    FixedZeroMeanUnitVariance,
    Processing,
    get_proc,
)
from bioimageio.core.sample import Sample
from bioimageio.core.stat_measures import (
    DatasetMean,
    DatasetQuantile,
    DatasetStd,
    DatasetVar,
    Measure,
    MeasureValue,
    SampleMean,
    SampleQuantile,
    SampleStd,
    SampleVar,
    Stat,
)
from bioimageio.core.tensor import Tensor
from bioimageio.spec.model import v0_5
from numpy.typing import NDArray

from bridge.errors import ImageError, PackageError
from bridge.runtime import statistics
from bridge.runtime.colours import of_same_colour
from bridge.runtime.geometry import COLOUR, Geometry, TensorGeometry
from bridge.runtime.windows import TensorSource
from bridge.zoo import trust
from bridge.zoo.description import own_config
from bridge.zoo.package import Package

Statistics = Stat
"""Values per measure, as ``bioimageio.core``'s operators look them up."""

_MEANS = (SampleMean, DatasetMean)
_STDS = (SampleStd, DatasetStd)
_VARIANCES = (SampleVar, DatasetVar)
_QUANTILES = (SampleQuantile, DatasetQuantile)
_DATASET = (DatasetMean, DatasetStd, DatasetVar, DatasetQuantile)


class Pipeline:
    """A package's pre- and postprocessing.

    Parameters
    ----------
    package : Package
        Whose description declares it.
    geometry : Geometry
        The package's tensors.
    trusted : bool
        Whether custom operators may run; without it, TrustError if there are any.
    """

    def __init__(self, package: Package, geometry: Geometry, *, trusted: bool = False) -> None:
        self._geometry = geometry
        description = package.description
        self._pre = {
            str(t.id): [_operator(p, t, package, trusted) for p in t.preprocessing]
            for t in description.inputs
        }
        self._post = {
            str(t.id): [_operator(p, t, package, trusted) for p in t.postprocessing]
            for t in description.outputs
        }
        self._plain = {name: _as_arithmetic(ops) for name, ops in self._pre.items()}
        self._least_range = least_ranges(package)
        self.clipped: dict[str, int] = {}
        """Output values per tensor that were clipped, since a cast to integers would wrap them."""

    @property
    def needs_whole_output(self) -> bool:
        """Whether postprocessing needs the network's whole output at once or its statistics."""
        outputs = {t.name for t in self._geometry.outputs}
        operators = [op for ops in self._post.values() for op in ops]
        return any(
            not isinstance(op, SimpleOperator)
            or any(str(m.member_id) in outputs for m in op.required_measures)
            for op in operators
        )

    @property
    def needs_all_outputs(self) -> bool:
        """Whether postprocessing needs statistics over the outputs of all batch items."""
        outputs = [t.name for t in self._geometry.outputs]
        return any(isinstance(m, _DATASET) for m in self.measures(outputs))

    @property
    def is_pointwise(self) -> bool:
        """Whether postprocessing can be done block by block once the statistics are known."""
        return all(isinstance(op, SimpleOperator) for ops in self._post.values() for op in ops)

    def measures(self, names: Sequence[str]) -> set[Measure]:
        """Give the statistics of the named tensors that any operator needs."""
        operators = [op for ops in [*self._pre.values(), *self._post.values()] for op in ops]
        return {m for op in operators for m in op.required_measures if str(m.member_id) in names}

    def measure(
        self,
        sources: Mapping[str, TensorSource],
        items: list[Mapping[str, int]],
        *,
        of_all_items: bool,
    ) -> Statistics:
        """Take the statistics of some tensors, streaming their pixels.

        Parameters
        ----------
        sources : mapping
            Per tensor name, where its pixels are.
        items : list of mapping
            The batch items to take them over.
        of_all_items : bool
            True for the measures over the whole batch, False for those of one item.
        """
        found: Statistics = {}
        for name, source in sources.items():
            least = self._least_range.get(name, 0.0)
            wanted = [m for m in self.measures([name]) if isinstance(m, _DATASET) == of_all_items]
            for group_dim in (None, "c"):
                group = [m for m in wanted if _group_dim(m, source.tensor) == group_dim]
                if group:
                    measured = _measure_group(group, source, items, group_dim)
                    found.update(_widen(measured, least) if least else measured)
        return found

    def preprocess(self, name: str, array: NDArray[Any], stat: Statistics) -> NDArray[Any]:
        """Apply an input's preprocessing to one window, in the tensor's axis order.

        Raises
        ------
        ImageError
            Values don't fit the integer type that the description asks for.
        """
        plain = self._plain[name]
        if plain is not None:
            for op, apply in zip(self._pre[name], plain, strict=True):
                if isinstance(op, EnsureDtype):
                    _check_fits(array, op, name)
                array = apply(array)
            return array
        tensor = self._geometry.input(name)
        sample = _sample({name: (array, tensor)}, stat)
        for op in self._pre[name]:
            if isinstance(op, EnsureDtype):
                _check_fits(np.asarray(sample.members[MemberId(name)].data.data), op, name)
            op(sample)
        return np.asarray(sample.members[MemberId(name)].data.data)

    def postprocess(
        self, arrays: Mapping[str, NDArray[Any]], stat: Statistics
    ) -> dict[str, NDArray[Any]]:
        """Apply the outputs' postprocessing to one window of each, in the tensors' axis order."""
        tensors = {t.name: t for t in self._geometry.outputs}
        if not any(
            _changes(op, array) for name, array in arrays.items() for op in self._post[name]
        ):
            return dict(arrays)
        sample = _sample({n: (a, tensors[n]) for n, a in arrays.items()}, stat)
        for name in arrays:
            for op in self._post[name]:
                if isinstance(op, EnsureDtype):
                    self._clip(sample, op, name)
                op(sample)
        return {n: np.asarray(sample.members[MemberId(n)].data.data) for n in arrays}

    def _clip(self, sample: Sample, op: EnsureDtype, name: str) -> None:
        limits = _integer_limits(op)
        if limits is None:
            return
        tensor = sample.members[MemberId(name)]
        values = np.asarray(tensor.data.data)
        n_outside = int(((values < limits.min) | (values > limits.max)).sum())
        if n_outside:
            self.clipped[name] = self.clipped.get(name, 0) + n_outside
            sample.members[MemberId(name)] = Tensor(
                np.clip(values, limits.min, limits.max), dims=tensor.dims
            )


class ItemStatistics(Sequence[Statistics]):
    """Statistics per batch item, taken when its first tile is read; the last few are kept.

    Those over all items are taken over the items of one colour.
    """

    _KEPT = 64

    def __init__(
        self,
        pipeline: Pipeline,
        sources: Mapping[str, TensorSource],
        items: list[Mapping[str, int]],
    ) -> None:
        self._pipeline = pipeline
        self._sources = sources
        self._items = items
        self._lock = threading.Lock()
        self._shared: dict[int | None, Statistics] = {}
        self._own: OrderedDict[int, Statistics] = OrderedDict()

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, number: int) -> Statistics: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Statistics]: ...
    def __getitem__(self, number: int | slice) -> Statistics | Sequence[Statistics]:
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        with self._lock:
            item = self._items[number]
            colour = item.get(COLOUR)
            if colour not in self._shared:
                alike = of_same_colour(self._items, item)
                self._shared[colour] = self._pipeline.measure(
                    self._sources, alike, of_all_items=True
                )
            if number not in self._own:
                own = self._pipeline.measure(self._sources, [item], of_all_items=False)
                self._own[number] = {**self._shared[colour], **own}
                if len(self._own) > self._KEPT:
                    self._own.popitem(last=False)
            return self._own[number]


def least_ranges(package: Package) -> dict[str, float]:
    """Give what the range of an input is at least taken for when it is stretched, by its name.

    ``config.zoobridge.least_range`` of a package; no operation of the specification can say it.
    """
    told = own_config(package.description).get("least_range")
    if not isinstance(told, dict):
        return {}
    return {str(name): float(v) for name, v in told.items() if isinstance(v, int | float) and v > 0}


def _widen(measured: Statistics, least: float) -> Statistics:
    """Raise the upper ones of quantiles that lie nearer than the least range.

    So an image of noise only isn't stretched to full contrast.
    """
    numbers = {
        m: v
        for m, v in measured.items()
        if isinstance(m, _QUANTILES) and isinstance(v, float)  # one for all channels
    }
    if numbers:
        floor = min(numbers.values()) + least
        middle = (min(m.q for m in numbers) + max(m.q for m in numbers)) / 2
        measured = dict(measured)
        measured.update({m: max(v, floor) for m, v in numbers.items() if m.q > middle})
    return measured


def _operator(
    descriptor: Any,
    tensor: v0_5.InputTensorDescr | v0_5.OutputTensorDescr,
    package: Package,
    trusted: bool,
) -> Processing:
    if isinstance(descriptor, v0_5.CustomProcessingDescr):
        trust.require(
            package.sha256,
            f"the custom operator '{descriptor.callable}' of tensor '{tensor.id}'",
            source=package.source,
            trust=trusted,
            root=package.root,
        )
    try:
        return get_proc(descriptor, tensor)
    except Exception as error:
        raise PackageError(
            f"tensor '{tensor.id}'",
            f"its operator '{descriptor.id}' cannot be used: {error}",
            "an operator that bioimageio.core knows",
            "",
        ) from error


def _as_arithmetic(
    ops: Sequence[Processing],
) -> list[Callable[[NDArray[Any]], NDArray[Any]]] | None:
    """Give operators as arithmetic of plain arrays; None where one of them is more than that.

    The same numbers, without the 2 ms that named axes cost for each small frame of a movie.
    """
    found: list[Callable[[NDArray[Any]], NDArray[Any]]] = []
    for op in ops:
        if isinstance(op, EnsureDtype):
            found.append(partial(np.ndarray.astype, dtype=np.dtype(op.dtype), copy=False))
        elif type(op) is FixedZeroMeanUnitVariance and np.ndim(op.mean) == np.ndim(op.std) == 0:
            found.append(partial(_scale, mean=np.asarray(op.mean), std=np.asarray(op.std + op.eps)))
        else:
            return None
    return found


def _scale(
    array: NDArray[Any], *, mean: NDArray[np.float64], std: NDArray[np.float64]
) -> NDArray[Any]:
    scaled: NDArray[Any] = (array - mean) / std
    return scaled


def _sample(arrays: Mapping[str, tuple[NDArray[Any], TensorGeometry]], stat: Statistics) -> Sample:
    members = {
        MemberId(name): Tensor(array, dims=tuple(AxisId(a) for a in tensor.axis_ids))
        for name, (array, tensor) in arrays.items()
    }
    return Sample(members=members, stat=stat, id=None)


def _changes(op: Processing, array: NDArray[Any]) -> bool:
    """Tell whether an operator may change an array: a cast to the type it has does not."""
    return not (isinstance(op, EnsureDtype) and array.dtype == np.dtype(op.dtype))


def _integer_limits(op: EnsureDtype) -> np.iinfo[Any] | None:
    dtype = np.dtype(op.dtype)
    return np.iinfo(dtype) if dtype.kind in "iu" else None


def _check_fits(values: NDArray[Any], op: EnsureDtype, name: str) -> None:
    limits = _integer_limits(op)
    if limits is None or values.size == 0 or values.dtype == np.dtype(op.dtype):
        return
    low, high = values.min(), values.max()
    if low < limits.min or high > limits.max:
        raise ImageError(
            f"input '{name}'",
            f"values from {low:g} to {high:g}",
            f"{limits.min} to {limits.max}: the model takes {op.dtype}",
            "Convert the image first, with the scaling the model was trained with.",
        )


def _group_dim(measure: Measure, tensor: TensorGeometry) -> str | None:
    """Give ``c`` where the measure is one value per channel, None where it is one value."""
    if measure.axes is None:
        return None
    reduced = {
        d for d, a in zip(tensor.dims, tensor.axis_ids, strict=True) if AxisId(a) in measure.axes
    }
    kept = [d for d in tensor.dims if d not in reduced and d != "b"]
    if set(kept) - {"c"}:
        raise PackageError(
            f"tensor '{tensor.name}'",
            f"its statistics are kept along {', '.join(kept)}",
            "statistics over all axes but the channels",
            "zoobridge cannot normalise such a model tile by tile.",
        )
    return "c" if kept else None


def _measure_group(
    measures: list[Measure],
    source: TensorSource,
    items: list[Mapping[str, int]],
    group_dim: str | None,
) -> Statistics:
    def blocks() -> Any:
        return source.blocks(items, group_dim)

    quantile_keys = {
        (m.q, getattr(m, "method", "linear")) for m in measures if isinstance(m, _QUANTILES)
    }
    ordered = statistics.quantiles(blocks, quantile_keys) if quantile_keys else {}
    has_moments = any(not isinstance(m, _QUANTILES) for m in measures)
    moments = statistics.moments(blocks) if has_moments else None
    channel_id = next(
        (a for d, a in zip(source.tensor.dims, source.tensor.axis_ids, strict=True) if d == "c"), ""
    )

    def value(numbers: NDArray[np.float64]) -> MeasureValue:
        if group_dim is None:
            return float(numbers[0])
        return Tensor(numbers, dims=(AxisId(channel_id),))

    found: Statistics = {}
    for m in measures:
        if isinstance(m, _QUANTILES):
            found[m] = value(ordered[m.q, getattr(m, "method", "linear")])
        elif moments is not None and isinstance(m, _MEANS):
            found[m] = value(moments.mean)
        elif moments is not None and isinstance(m, _STDS):
            found[m] = value(moments.std)
        elif moments is not None and isinstance(m, _VARIANCES):
            found[m] = value(moments.std**2)
    return found
