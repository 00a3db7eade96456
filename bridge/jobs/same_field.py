"""Which outputs of a package are images of the field that its input shows, and which planes match.

A package says it in its description: what zoobridge's own training wrote into ``config``, types,
postprocessing, names and tags. Where nothing says otherwise, an output of floats is an image.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr
from bioimageio.spec.model import v0_5

from bridge.runtime.predict import Predictor
from bridge.zoo.description import own_config

_TAKES_ITS_FIRST_INPUT: Final = ("xnet",)
_OTHER_TASKS: Final = ("localization",)
_RESTORING_TAGS: Final = re.compile(r"denois|restor|super-?resol|deconv", re.IGNORECASE)
_OTHER_TAGS: Final = re.compile(
    r"segment|classif|detect|track|counting|virtual-?stain|in-silico|label-?free", re.IGNORECASE
)
_OTHER_NAMES: Final = re.compile(
    r"spread|uncertain|sigma|std|varianc|probab|mask|label|flow|boundar|foreground|segment|affinit"
    r"|distance",
    re.IGNORECASE,
)
_OTHER_STEPS: Final = ("sigmoid", "softmax", "binarize")
_RENDERING: Final = "rendering"
_MOST_CHANNELS: Final = 4


@dataclass(frozen=True)
class Match:
    """What of an output is compared with what of the input; of several channels their mean.

    Attributes
    ----------
    of_input, of_output : dict
        Indices per dim; ``c`` may be a list.
    label : dict
        What it is called in a report: plane and channel, from 1.
    """

    of_input: Mapping[str, int | list[int]]
    of_output: Mapping[str, int | list[int]]
    label: Mapping[str, int]


def why_no_images(predictor: Predictor) -> str:
    """Say why a package's outputs, as a whole, aren't images of the input's field, or give ""."""
    description = predictor.package.description
    task = _task_of(description)
    names = predictor.input_names
    if predictor.settings.sum:
        return "the outputs of all frames were added up"
    if task in _OTHER_TASKS:
        return "the model gives places, not an image"
    if len(names) > 1 and task not in _TAKES_ITS_FIRST_INPUT:
        return f"the model takes {len(names)} images, and doesn't say which of them it restores"
    tags = " ".join(map(str, description.tags))
    if not task and _OTHER_TAGS.search(tags) and not _RESTORING_TAGS.search(tags):
        return "by its tags the model doesn't restore images"
    return ""


def why_no_image(description: v0_5.ModelDescr, name: str) -> str:
    """Say why one output isn't an image of the input's field, or give ""."""
    output = next(one for one in description.outputs if str(one.id) == name)
    if np.dtype(str(output.dtype)).kind != "f":
        return "its values are whole numbers: a mask, or labels"
    data = output.data if isinstance(output.data, (list, tuple)) else [output.data]
    if any(hasattr(one, "values") for one in data):
        return "its values are classes"
    steps = [str(step.id) for step in output.postprocessing]
    if set(steps) & set(_OTHER_STEPS):
        return "its values are probabilities"
    if _OTHER_NAMES.search(name):
        return "by its name it isn't an image"
    return ""


def scale_between(image: xr.DataArray, output: xr.DataArray) -> int:
    """Give output pixels per input pixel along y and x; 0 where it isn't one whole number."""
    if not {"y", "x"} <= set(output.dims):
        return 0
    scale = int(output.sizes["y"]) // int(image.sizes["y"])
    is_whole = all(output.sizes[dim] == scale * image.sizes[dim] for dim in "yx")
    return scale if is_whole else 0


def find_matches(
    predictor: Predictor, image: xr.DataArray, output: xr.DataArray, name: str
) -> list[Match]:
    """Pair planes and channels: first, middle and last plane, each channel with its own.

    Renderings of one structure are taken together, as their mean; so are the channels of an input
    that became one image.

    Returns
    -------
    list of Match
        Empty where planes or channels don't belong together.
    """
    dims = [str(dim) for dim in output.dims if dim not in ("c", "y", "x")]
    lost = [str(dim) for dim in image.dims if dim not in (*dims, "c", "y", "x")]
    if any(image.sizes[dim] > 1 for dim in lost):
        return []
    if any(output.sizes[dim] != image.sizes.get(dim, 1) for dim in dims):
        return []
    shape = [int(output.sizes[dim]) for dim in dims]
    n_planes = int(np.prod(shape, dtype=np.int64))
    places = []
    for number in sorted({0, n_planes // 2, n_planes - 1}):
        at = np.unravel_index(number, shape) if shape else ()
        places.append({dim: int(n) for dim, n in zip(dims, at, strict=True)})
    found = []
    for place in places:
        label = {dim: n + 1 for dim, n in place.items() if output.sizes[dim] > 1}
        own = {dim: n for dim, n in place.items() if dim in image.dims}
        own |= dict.fromkeys(lost, 0)
        for of_input, of_output in _pair_channels(predictor, image, output, name):
            given: dict[str, int | list[int]] = {**own}
            made: dict[str, int | list[int]] = {**place}
            if "c" in image.dims:
                given["c"] = of_input
            if "c" in output.dims:
                made["c"] = of_output
            is_one = len(of_output) == 1 and output.sizes.get("c", 1) > 1
            said = {**label, "channel": of_output[0] + 1} if is_one else label
            found.append(Match(given, made, said))
    return found


def _pair_channels(
    predictor: Predictor, image: xr.DataArray, output: xr.DataArray, name: str
) -> list[tuple[list[int], list[int]]]:
    n_given, n_made = int(image.sizes.get("c", 1)), int(output.sizes.get("c", 1))
    if n_given == n_made or (predictor.settings.each_colour and n_made % n_given == 0):
        n_own = n_made // n_given
        groups = [([n], list(range(n * n_own, (n + 1) * n_own))) for n in range(n_given)]
    elif 1 in (n_given, n_made):
        groups = [(list(range(n_given)), list(range(n_made)))]
    else:
        return []
    if any(len(made) > _MOST_CHANNELS for _, made in groups):
        return []
    if _is_of_renderings(predictor.package.description, name):
        return groups
    return [(given, [channel]) for given, made in groups for channel in made]


def _is_of_renderings(description: v0_5.ModelDescr, name: str) -> bool:
    output = next(one for one in description.outputs if str(one.id) == name)
    channels = next((axis for axis in output.axes if axis.type == "channel"), None)
    names = [str(one) for one in getattr(channels, "channel_names", [])]
    return len(names) > 1 and all(one.startswith(_RENDERING) for one in names)


def _task_of(description: v0_5.ModelDescr) -> str:
    return str(own_config(description).get("task") or "")
