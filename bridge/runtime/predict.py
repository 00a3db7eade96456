"""Run a package on an image of any size: bind, choose, plan, execute, judge, report.

:class:`Predictor` keeps a package's loaded network for many images and may be used by several
threads at once. Files are the business of the jobs; here images and sinks are values.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import xarray as xr

from bridge.errors import ImageError, MemoryShortage, VerdictError
from bridge.progress import Progress, silent
from bridge.runtime import execute, memory, verdict
from bridge.runtime.bind import Bound, bind
from bridge.runtime.blocks import ArraySink, ScratchSink, finish_whole
from bridge.runtime.choose import (
    ASSUMED_BYTES_PER_PIXEL,
    Choice,
    bytes_per_pixel,
    choose_network,
    enlargement,
    measure_dim,
)
from bridge.runtime.colours import colour_names, merging, require_no_choice, split_colours
from bridge.runtime.device import find_device
from bridge.runtime.engine import Engine, Precision
from bridge.runtime.examples import Examples
from bridge.runtime.execute import Layout, Sink, Work
from bridge.runtime.geometry import COLOUR, read_geometry
from bridge.runtime.locality import Measured, declared_locality, settle_locality
from bridge.runtime.noise import given_inputs, with_noise
from bridge.runtime.plan import Locality, TilePlan, common_rule, pad_to_valid, plan_tiles
from bridge.runtime.processing import ItemStatistics, Pipeline
from bridge.runtime.report import describe_run, gather_warnings
from bridge.runtime.summing import FrameSum, frames_of, require_frames
from bridge.zoo.package import Package

_CPU_BUDGET_BYTES = 800 << 20
_FEWEST_PIXELS = 64 * 64
_SMALL_WORK_PIXELS = 4e6
_MOST_GPU_BATCH = 32
_DIMS = ("t", COLOUR, "c", "z", "y", "x")


@dataclass(frozen=True)
class Settings:
    """How to run; the defaults choose.

    Attributes
    ----------
    tile : int
        Longest edge of a window in input pixels; 0 lets memory decide.
    halo : int or None
        Input pixels read around what is kept of a tile; None takes what the network needs.
    batch : int
        Tiles per forward pass; 0 chooses.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
    engine : str
        ``auto``, ``openvino``, ``onnxruntime``, ``torch`` or ``torchscript``.
    precision : str
        ``float32``, ``bfloat16`` or ``float16``.
    channel : int
        Channel of the image to use, from 1; 0 for all.
    each_colour : bool
        Whether each channel of the image is run by itself, with statistics of its own, and the
        results become the channels of one composite; those that a network makes of one colour
        stay together.
    trust : bool
        Whether the package's own code may run.
    threads : int
        CPU threads of one forward pass; 0 for one per core.
    sum : bool
        Whether the outputs of all frames (t) are added up to one image, float32.
    """

    tile: int = 0
    halo: int | None = None
    batch: int = 0
    device: str = "auto"
    engine: Engine | Literal["auto"] = "auto"
    precision: Precision = "float32"
    channel: int = 0
    each_colour: bool = False
    trust: bool = False
    threads: int = 0
    sum: bool = False


@dataclass(frozen=True)
class OutputSpec:
    """What a sink for one output has to hold.

    Attributes
    ----------
    name : str
        The output's id.
    dims, shape, dtype
        Of the output image.
    attrs : dict
        ``pixel_size_nm``, ``channel_names``, ``frame_interval_s`` where known.
    fingerprint : str
        Names the tiles; two runs with the same one write the same steps.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attrs: Mapping[str, Any]
    fingerprint: str


SinkFactory = Callable[[OutputSpec], AbstractContextManager[Sink]]


@dataclass(frozen=True)
class Outcome:
    """What a run did.

    Attributes
    ----------
    report : dict
        JSON values: package, engine and why, plan, ranges, seconds.
    warnings : list of str
        What a user should look at.
    flaw : VerdictError or None
        What is wrong with the output, where the caller wanted to judge that himself.
    """

    report: dict[str, Any]
    warnings: list[str] = field(default_factory=list)
    flaw: VerdictError | None = None


class Predictor:
    """A package, ready to run on many images.

    Parameters
    ----------
    package : Package
        An opened package.
    settings : Settings
        How to run it.

    Raises
    ------
    DeviceError, PackageError
        The device is not here, or the description cannot be used.
    InputError
        Each colour is asked for, and one of them.
    """

    def __init__(self, package: Package, settings: Settings | None = None) -> None:
        self.package = package
        self.settings = settings or Settings()
        if self.settings.each_colour:
            require_no_choice(self.settings.channel)
        self.geometry = read_geometry(package.description)
        self.device = find_device(self.settings.device, threads=self.settings.threads)
        self._pipeline = self._new_pipeline()
        self._lock = threading.Lock()
        self._choice: Choice | None = None
        self._examples = Examples(package, self.geometry, self._pipeline)
        self._measured: dict[str, Measured] = {}

    def run(
        self,
        images: Mapping[str, xr.DataArray],
        sinks: SinkFactory,
        progress: Progress = silent,
        *,
        takes_flawed: bool = False,
    ) -> Outcome:
        """Run the package on one image (or one per input).

        Parameters
        ----------
        images : mapping
            Per input name; lazy images are read window by window.
        sinks : callable
            Gives, per output, a context manager whose value is written to. It commits when left
            without an error.
        progress : Progress
            Told after every batch of tiles.
        takes_flawed : bool
            Whether a bad verdict is given back instead of raised: a dark part of a movie is no
            error.

        Returns
        -------
        Outcome

        Raises
        ------
        ImageError
            An image doesn't fit the model, or has no frames to be summed.
        VerdictError
            An output, or the sum of its frames, is constant, black, NaN or saturated; nothing is
            committed.
        MemoryShortage
            Not even the smallest tile fits.
        """
        started = time.perf_counter()
        if self.settings.each_colour:
            images = split_colours(images)
        images = with_noise(images, self.package.description, self.geometry)
        bound = bind(images, self.package.description, self.geometry, channel=self.settings.channel)
        if self.settings.sum:
            require_frames(bound)
        if COLOUR in bound.batch_sizes:
            first = bound.sources[self.geometry.inputs[0].name].image
            sinks = merging(sinks, colour_names(first))
        choice = self._choose(bound)
        most_pixels = self._most_pixels(bound)
        while True:
            plan, notes = self._plan(bound, most_pixels)
            try:
                work = self._execute(bound, choice, plan, sinks, progress, takes_flawed)
                break
            except MemoryShortage:
                if plan.window_pixels <= _FEWEST_PIXELS:
                    raise
                most_pixels = plan.window_pixels // 2
                progress(0, 1, "out of memory: again with smaller tiles")
        seconds = time.perf_counter() - started
        warnings = [*choice.warnings, *bound.warnings, *notes]
        warnings = gather_warnings(warnings, self.package, work, self._examples)
        report = describe_run(self.package, asdict(self.settings), choice, work, self._reaches())
        return Outcome({**report, "seconds": round(seconds, 3)}, warnings, work.flaw)

    def run_in_memory(
        self,
        images: Mapping[str, xr.DataArray],
        progress: Progress = silent,
        *,
        takes_flawed: bool = False,
    ) -> tuple[dict[str, xr.DataArray], Outcome]:
        """Run the package on one image (or one per input), and keep its outputs in memory.

        Parameters and errors are those of :meth:`run`.

        Returns
        -------
        dict of DataArray, Outcome
            One image per output, with its ``pixel_size_nm``; and what was done.
        """
        found: dict[str, ArraySink] = {}

        def sink(spec: OutputSpec) -> ArraySink:
            found[spec.name] = ArraySink(spec.name, spec.dims, spec.shape, spec.dtype, spec.attrs)
            return found[spec.name]

        outcome = self.run(images, sink, progress, takes_flawed=takes_flawed)
        return {name: made.image for name, made in found.items()}, outcome

    @property
    def input_names(self) -> list[str]:
        """The inputs that have to be given; noise, where a package asks for it, is drawn."""
        return given_inputs(self.package.description)

    def _new_pipeline(self) -> Pipeline:
        return Pipeline(self.package, self.geometry, trusted=self.settings.trust)

    # -- choosing ------------------------------------------------------------------------------

    def _choose(self, bound: Bound) -> Choice:
        with self._lock:
            if self._choice is None:
                pixels = math.prod(bound.sizes.values()) * math.prod(bound.batch_sizes.values())
                self._choice = choose_network(
                    self.package,
                    self.geometry,
                    self._examples.contents,
                    engine=self.settings.engine,
                    device=self.device,
                    precision=self.settings.precision,
                    trust=self.settings.trust,
                    is_small=pixels < _SMALL_WORK_PIXELS,
                )
            return self._choice

    # -- planning ------------------------------------------------------------------------------

    def _most_pixels(self, bound: Bound) -> int:
        """Give how many reference pixels one window may have."""
        free = memory.available_bytes()
        if self.device.name.startswith("cuda"):
            import torch  # noqa: PLC0415

            budget = int(torch.cuda.mem_get_info(self.device.name)[0] * 0.6)
        else:
            budget = int(min(_CPU_BUDGET_BYTES, 0.4 * free))
        padded = math.prod(self._padded(bound).values())
        if padded * ASSUMED_BYTES_PER_PIXEL * enlargement(self.geometry) <= budget:
            return padded
        assert self._choice is not None
        with self._lock:
            cost = bytes_per_pixel(
                self.package, self._choice.network, self.geometry, self._examples.contents
            )
        return max(_FEWEST_PIXELS, int(budget / cost))

    def _padded(self, bound: Bound) -> dict[str, int]:
        sizes = {}
        for dim, n in bound.sizes.items():
            measured = self._measured.get(dim)
            rule = measured.rule if measured else common_rule(self.geometry, dim)
            stride = measured.locality.stride if measured else 1
            sizes[dim] = pad_to_valid(n, rule, stride, dim=dim)
        return sizes

    def _plan(self, bound: Bound, most_pixels: int) -> tuple[TilePlan, list[str]]:
        tile = self.settings.tile
        whole = self._padded(bound)
        rules = {d: common_rule(self.geometry, d) for d in self.geometry.tiled}
        fits_whole = math.prod(whole.values()) <= most_pixels and all(
            (not tile or n <= tile) and (rules[d].step or n == rules[d].minimum)
            for d, n in whole.items()
        )
        if fits_whole:
            localities = {d: Locality(0, 0, 1) for d in self.geometry.tiled}
            plan = plan_tiles(self.geometry, bound.sizes, localities, most_pixels=most_pixels)
            return plan, []
        localities = {}
        doubts: dict[str, str] = {}
        for dim in self.geometry.tiled:
            measured = self._measure(dim)
            rules[dim] = measured.rule
            localities[dim], doubts[dim] = settle_locality(
                declared_locality(self.geometry, dim), measured, halo=self.settings.halo
            )
        plan = plan_tiles(
            self.geometry,
            bound.sizes,
            localities,
            most_pixels=most_pixels,
            longest=tile or None,
            rules=rules,
        )
        return plan, _plan_notes(plan, doubts, tile)

    def _measure(self, dim: str) -> Measured:
        with self._lock:
            if dim not in self._measured:
                assert self._choice is not None
                self._measured[dim] = measure_dim(
                    self.package, self._choice.network, self.geometry, self._examples.contents, dim
                )
            return self._measured[dim]

    def _reaches(self) -> dict[str, dict[str, Any]]:
        return {d: asdict(measured.locality) for d, measured in self._measured.items()}

    # -- running -------------------------------------------------------------------------------

    def _execute(
        self,
        bound: Bound,
        choice: Choice,
        plan: TilePlan,
        sinks: SinkFactory,
        progress: Progress,
        takes_flawed: bool,
    ) -> Work:
        pipeline = self._new_pipeline()
        items = bound.items
        layouts = {t.name: self._layout(t.name, bound, choice) for t in self.geometry.outputs}
        work = Work(
            network=choice.network,
            geometry=self.geometry,
            pipeline=pipeline,
            plan=plan,
            sources=bound.sources,
            items=items,
            statistics=ItemStatistics(pipeline, bound.sources, items),
            layouts=layouts,
            sinks={},
            batch=self._batch(plan, len(items)),
            least_bright=verdict.least_bright(self.package.description),
        )
        work.seen.update({name: work.new_tally(name) for name in bound.sources})
        with ExitStack() as stack:
            finals = {
                name: stack.enter_context(
                    self._sink(self._spec(name, bound, layouts[name], plan), sinks)
                )
                for name in layouts
            }
            if plan.is_blended or pipeline.needs_whole_output:
                self._run_to_whole(work, finals, progress)
            else:
                done: Sequence[frozenset[str]] = [
                    getattr(sink, "finished", frozenset()) for sink in finals.values()
                ]
                work = replace(
                    work, sinks=finals, done=frozenset.intersection(*map(frozenset, done))
                )
                execute.run(work, progress)
            for name, sink in finals.items():
                if isinstance(sink, FrameSum):
                    work.tallies[name] = sink.finish()
            try:
                self._judge(work)
            except VerdictError as flaw:
                if not takes_flawed:
                    raise
                work.flaw = flaw
        return work

    def _run_to_whole(self, work: Work, finals: Mapping[str, Sink], progress: Progress) -> None:
        """Keep raw outputs until they are whole, then finish them: all, or for a sum each frame."""
        by_frame = self.settings.sum and not work.pipeline.needs_all_outputs
        parts = frames_of(work) if by_frame else iter([work])
        n_steps = len(work.items) * len(work.plan)
        count = 0
        for part in parts:

            def tell(done: int, total: int, note: str = "", *, before: int = count) -> None:
                progress(before + done, n_steps, note)

            with ExitStack() as stack:
                scratch = {
                    name: stack.enter_context(ScratchSink(layout, adds=part.plan.is_blended))
                    for name, layout in part.layouts.items()
                }
                raw = replace(part, sinks=scratch, is_raw=True, tallies={}, colour_tallies={})
                execute.run(raw, tell)
                finish_whole(part, scratch, finals)
            count += len(part.items) * len(part.plan)

    def _sink(self, spec: OutputSpec, sinks: SinkFactory) -> AbstractContextManager[Sink]:
        return FrameSum(spec, sinks) if self.settings.sum else sinks(spec)

    def _judge(self, work: Work) -> None:
        image = next(iter(work.seen.values()))
        typical = next(iter(self._examples.typical.values()), None)
        for name, tally in work.tallies.items():
            if self._dtype(name).kind != "f" and verdict.flaw(tally):
                continue  # a mask or label image may well be empty; the report warns of it
            label = f"output '{name}'" if len(work.tallies) > 1 else "the output"
            made = self._examples.typical_output.get(name)
            verdict.judge(label, tally, image, typical, made)
        for name in work.least_bright:
            is_partly_seen = name in work.seen and work.done
            found = work.seen.get(name) or work.tallies.get(name)
            if found is not None and not is_partly_seen:
                verdict.judge_brightness(f"the image '{name}'", found)

    def _batch(self, plan: TilePlan, n_items: int) -> int:
        limit = self.geometry.max_batch
        most = len(plan) * n_items if limit is None else limit
        wanted = self.settings.batch or (1 if self.device.is_cpu else _MOST_GPU_BATCH)
        if not self.settings.batch and not self.device.is_cpu:
            cost = ASSUMED_BYTES_PER_PIXEL * enlargement(self.geometry) * plan.window_pixels
            wanted = min(wanted, max(1, int(memory.available_bytes() * 0.2 / cost)))
        return max(1, min(wanted, most))

    def _layout(self, name: str, bound: Bound, choice: Choice) -> Layout:
        tensor = next(t for t in self.geometry.outputs if t.name == name)
        sizes = dict(bound.batch_sizes)
        for dim in tensor.tiled:
            sizes[dim] = tensor.affines[dim].size(bound.sizes[dim])
        if "c" in tensor.dims:
            n_channels = tensor.n_channels or self._count_channels(name, choice)
            if n_channels > 1:
                sizes["c"] = n_channels
        small = [d for d in tensor.tiled if sizes[d] < 1]
        if small:
            raise ImageError(
                "image",
                f"{bound.sizes[small[0]]} pixels along {small[0]}",
                "an image large enough for the network to give at least one pixel",
                "",
            )
        dims = tuple(d for d in _DIMS if d in sizes)
        return Layout(tensor, dims, tuple(sizes[d] for d in dims))

    def _count_channels(self, name: str, choice: Choice) -> int:
        """Run the test input to see how many channels an output has that doesn't say."""
        outputs = choice.network([self._examples.contents[t.name] for t in self.geometry.inputs])
        position = [t.name for t in self.geometry.outputs].index(name)
        return int(outputs[position].shape[self.geometry.outputs[position].dims.index("c")])

    def _spec(self, name: str, bound: Bound, layout: Layout, plan: TilePlan) -> OutputSpec:
        source = bound.sources[self.geometry.inputs[0].name].image
        reference: Mapping[str, float] = source.attrs.get("pixel_size_nm", {})
        pixel_size_nm = {
            d: float(nm / layout.tensor.affines[d].ratio) if d in layout.tensor.tiled else nm
            for d, nm in reference.items()
            if d in layout.dims and (d not in layout.tensor.tiled or layout.tensor.affines[d].ratio)
        }
        descriptor = next(o for o in self.package.description.outputs if str(o.id) == name)
        attrs: dict[str, Any] = {"pixel_size_nm": pixel_size_nm}
        if "c" in layout.dims:
            channels = next((a for a in descriptor.axes if a.type == "channel"), None)
            names = [str(n) for n in getattr(channels, "channel_names", [])]
            if len(names) == dict(zip(layout.dims, layout.shape, strict=True))["c"]:
                attrs["channel_names"] = names
        if "frame_interval_s" in source.attrs:
            attrs["frame_interval_s"] = source.attrs["frame_interval_s"]
        fingerprint = f"{self.package.sha256} {plan.axes} {self.settings}"
        dtype = self._dtype(name)
        return OutputSpec(name, layout.dims, layout.shape, dtype, attrs, fingerprint)

    def _dtype(self, name: str) -> np.dtype[Any]:
        """Give the type an output is kept in: float32 for all floats, integers as they are."""
        outputs = self.package.description.outputs
        dtype = np.dtype(str(next(o for o in outputs if str(o.id) == name).dtype))
        if dtype.kind == "b":
            return np.dtype(np.uint8)
        return np.dtype(np.float32) if dtype.kind == "f" else dtype


def _plan_notes(plan: TilePlan, doubts: Mapping[str, str], tile: int) -> list[str]:
    """Say what a user should know of a plan; doubts about dims that were not cut don't matter."""
    by_doubt: dict[str, list[str]] = {}
    for dim, axis in plan.axes.items():
        if len(axis.starts) > 1 and doubts.get(dim):
            by_doubt.setdefault(doubts[dim], []).append(dim)
    notes = [f"Along {' and '.join(dims)}: {doubt}" for doubt, dims in by_doubt.items()]
    if plan.is_blended:
        notes.append(
            "The network's output depends on the whole image (global statistics or attention), so "
            "tiles cannot be exact: they overlap and are blended. A larger --tile avoids it."
        )
    longest = max((a.window for a in plan.axes.values()), default=0)
    if tile and longest > tile:
        notes.append(f"The network needs tiles of at least {longest} pixels; {tile} was asked for.")
    return notes


def predict_arrays(
    package: Package,
    images: Mapping[str, xr.DataArray],
    settings: Settings | None = None,
    progress: Progress = silent,
) -> tuple[dict[str, xr.DataArray], Outcome]:
    """Run a package on images in memory.

    Parameters
    ----------
    package : Package
        An opened package.
    images : mapping
        Per input name.
    settings : Settings, optional
        How to run it.
    progress : Progress
        Told after every batch.

    Returns
    -------
    dict of DataArray, Outcome
        One image per output, with its ``pixel_size_nm``; and what was done.
    """
    return Predictor(package, settings).run_in_memory(images, progress)
