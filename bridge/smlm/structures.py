r"""What the emitters sit on: structures, laid out once for a movie.

::

    uniform   filaments   network   clusters   pores     mask
     . .  .     \  __/     \_/_      ::  .:     o  o     ##..
    .   . .   ---\/---     / \ \_   .    ::    o  o  o   ##..

Measures are in nm. Labels get fixed places, from which emitters shine again and again; only
:class:`Uniform` and :class:`Mask` give every emitter a place of its own, as ThunderSTORM does.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.spatial import Voronoi, cKDTree

from bridge.smlm.layout import (
    Anywhere,
    Density,
    Labels,
    Layout,
    Nowhere,
    Points,
    View,
    label_line,
    read_mask,
)

_STEP_NM = 5.0  # between the points of a line


class StructureBase(BaseModel):
    """What all structures can do."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @abstractmethod
    def lay_out(self, view: View, rng: np.random.Generator) -> Layout:
        """Put the structure into a view.

        Parameters
        ----------
        view : View
            What to fill.
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        Layout
            Where emitters may be.

        Raises
        ------
        ImageError
            A mask cannot be read.
        """


class Empty(StructureBase):
    """Nothing: background only."""

    kind: Literal["empty"] = "empty"
    """Kind of the structure."""

    def lay_out(self, view: View, rng: np.random.Generator) -> Layout:
        """Put nothing into a view."""
        return Nowhere()


class Uniform(StructureBase):
    """Emitters anywhere; ThunderSTORM's generator without a mask."""

    kind: Literal["uniform"] = "uniform"
    """Kind of the structure."""

    def lay_out(self, view: View, rng: np.random.Generator) -> Layout:
        """Let emitters be anywhere in a view."""
        return Anywhere(view)


class Mask(StructureBase):
    """An image as density, scaled by its maximum to 0 .. 1, as ThunderSTORM's generator does."""

    kind: Literal["mask"] = "mask"
    """Kind of the structure."""
    path: Path
    """Image, axes (y, x), of any size; it is spread over the whole field."""

    def lay_out(self, view: View, rng: np.random.Generator) -> Layout:
        """Read the image, and let emitters be where it is bright."""
        return Density(read_mask(self.path), view)


class Filaments(StructureBase):
    """Curved filaments that cross the field, such as microtubules, labelled on their outside."""

    kind: Literal["filaments"] = "filaments"
    """Kind of the structure."""
    filaments_per_um: Annotated[float, Field(gt=0, le=100)] = 1.25
    """Filaments that enter, for each micrometre of the field's mean edge."""
    labels_per_um: Annotated[float, Field(gt=0, le=10_000)] = 200.0
    """Labels along a filament."""
    diameter_nm: Annotated[float, Field(ge=0, le=1000)] = 40.0
    """Distance of the labels across, in nm: 25 of a microtubule, and the antibodies."""
    bend_radius_nm: Annotated[float, Field(gt=0, le=1e6)] = 4000.0
    """Typical radius of its bends, in nm."""
    bend_length_nm: Annotated[float, Field(gt=0, le=1e6)] = 1500.0
    """Length over which a bend goes over into another, in nm."""

    def lay_out(self, view: View, rng: np.random.Generator) -> Layout:
        """Let filaments enter at the edges and wander until they leave."""
        number = max(1, round(self.filaments_per_um * (view.width_nm + view.height_nm) / 2000))
        paths = [self._wander(view, rng) for _ in range(number)]
        labels = [
            label_line(
                path,
                labels_per_um=self.labels_per_um,
                radius_nm=self.diameter_nm / 2,
                view=view,
                rng=rng,
            )
            for path in paths
        ]
        return Labels(view.keep_inside(np.concatenate(labels)))

    def _wander(self, view: View, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw one filament; gives points (x, y) in nm, ``_STEP_NM`` apart.

        Its curvature is an Ornstein-Uhlenbeck process: it bends over micrometres, never at a point.
        """
        edge = view.margin_nm
        width, height = view.width_nm + 2 * edge, view.height_nm + 2 * edge
        side, along = rng.integers(4), rng.random()
        start = [(0, along), (1, along), (along, 0), (along, 1)][side]
        inwards = [0.0, np.pi, np.pi / 2, -np.pi / 2][side]
        n_steps = int(3 * (width + height) / _STEP_NM)
        memory = np.exp(-_STEP_NM / self.bend_length_nm)
        kicks = np.sqrt(1 - memory**2) / self.bend_radius_nm * rng.normal(size=n_steps)
        curvature = 0.0
        headings = np.empty(n_steps)
        heading = inwards + rng.uniform(-1, 1)
        for index, kick in enumerate(kicks):
            curvature = memory * curvature + kick
            heading += curvature * _STEP_NM
            headings[index] = heading
        x = start[0] * width + _STEP_NM * np.cos(headings).cumsum()
        y = start[1] * height + _STEP_NM * np.sin(headings).cumsum()
        is_out = (x < 0) | (x >= width) | (y < 0) | (y >= height)
        n_inside = int(is_out.argmax()) if is_out.any() else n_steps
        return np.column_stack([x, y])[:n_inside] - edge


class Network(StructureBase):
    """Tubules between junctions of three, such as the endoplasmic reticulum's edge.

    The junctions are the corners of a Voronoi diagram of relaxed random points; each tubule bulges
    a little, and some are missing.
    """

    kind: Literal["network"] = "network"
    """Kind of the structure."""
    meshes_per_um2: Annotated[float, Field(gt=0, le=100)] = 0.8
    """Meshes of the net per square micrometre."""
    labels_per_um: Annotated[float, Field(gt=0, le=10_000)] = 200.0
    """Labels along a tubule."""
    diameter_nm: Annotated[float, Field(ge=0, le=1000)] = 80.0
    """Distance of a tubule's two walls, which carry the labels, in nm."""
    missing_share: Annotated[float, Field(ge=0, lt=1)] = 0.15
    """Share of the tubules that are left out."""

    def lay_out(self, view: View, rng: np.random.Generator) -> Layout:
        """Spin the net."""
        reach_nm = 1500 / math.sqrt(self.meshes_per_um2)  # so that the rim's meshes are closed
        wide = View(view.width_nm, view.height_nm, view.margin_nm + reach_nm)
        n_seeds = max(8, rng.poisson(self.meshes_per_um2 * wide.area_um2))
        diagram = Voronoi(_relax(wide.uniform(n_seeds, rng)[:, :2], wide, rng))
        ridges = np.array([ridge for ridge in diagram.ridge_vertices if -1 not in ridge])
        ridges = ridges[rng.random(len(ridges)) >= self.missing_share]
        labels = [np.empty((0, 3))]
        for first, last in ridges:
            start, end = diagram.vertices[first], diagram.vertices[last]
            length = float(np.hypot(*(end - start)))
            if length < _STEP_NM or length > 4 * reach_nm:
                continue  # a double junction, or a mesh that is open to infinity
            t = np.linspace(0, 1, max(2, int(length / _STEP_NM)))[:, None]
            across = np.array([start[1] - end[1], end[0] - start[0]])
            bulge = 0.12 * rng.normal() * across * np.sin(np.pi * t)
            path = start + t * (end - start) + bulge
            radius = self.diameter_nm / 2
            labels.append(
                label_line(
                    path, labels_per_um=self.labels_per_um, radius_nm=radius, view=view, rng=rng
                )
            )
        return Labels(view.keep_inside(np.concatenate(labels)))


class Clusters(StructureBase):
    """Round clusters at random places, such as receptors in a membrane."""

    kind: Literal["clusters"] = "clusters"
    """Kind of the structure."""
    clusters_per_um2: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Clusters per square micrometre."""
    radius_nm: Annotated[float, Field(gt=0, le=10_000)] = 60.0
    """Standard deviation of the labels around a cluster's middle, along each axis, in nm."""
    labels_per_cluster: Annotated[float, Field(gt=0, le=100_000)] = 40.0
    """Labels of a cluster on average (Poisson)."""

    def lay_out(self, view: View, rng: np.random.Generator) -> Layout:
        """Scatter the clusters."""
        middles = view.uniform(rng.poisson(self.clusters_per_um2 * view.area_um2), rng)
        places = np.repeat(middles, rng.poisson(self.labels_per_cluster, len(middles)), axis=0)
        return Labels(view.keep_inside(places + rng.normal(0, self.radius_nm, places.shape)))


class Pores(StructureBase):
    """Nuclear pores: two rings of eight corners, two labelled proteins in each corner of a ring.

    Measures of Nup96 in U-2 OS cells: Thevathasan et al., Nature Methods 16, 1045 (2019). The rings
    are 50 nm apart along z and turned against each other; seen flat they lie on each other.
    """

    kind: Literal["pores"] = "pores"
    """Kind of the structure."""
    pores_per_um2: Annotated[float, Field(gt=0, le=40)] = 5.0
    """Pores per square micrometre, as long as there is room for them."""
    radius_nm: Annotated[float, Field(gt=0, le=1000)] = 55.0
    """From a pore's middle to its corners, in nm."""
    pair_nm: Annotated[float, Field(ge=0, le=1000)] = 12.0
    """Distance of the two proteins of a corner, along the ring, in nm."""
    rings_nm: Annotated[float, Field(ge=0, le=1000)] = 50.0
    """Distance of the two rings along z, in nm."""
    rings_angle_deg: Annotated[float, Field(ge=-45, le=45)] = 8.8
    """Angle of one ring against the other."""
    labelled_share: Annotated[float, Field(gt=0, le=1)] = 0.6
    """Share of the proteins that carry a label."""
    linkage_nm: Annotated[float, Field(ge=0, le=100)] = 3.0
    """Standard deviation of a label's distance from its protein, along each axis, in nm."""
    least_distance_nm: Annotated[float, Field(ge=0, le=10_000)] = 140.0
    """Between the middles of two pores, in nm."""

    def lay_out(self, view: View, rng: np.random.Generator) -> Layout:
        """Set pores at random, none on another, each turned at random."""
        number = rng.poisson(self.pores_per_um2 * view.area_um2)
        middles = _set_apart(view.uniform(number, rng), self.least_distance_nm)
        corner = np.arange(8) * np.pi / 4
        pair = np.array([-0.5, 0.5]) * self.pair_nm / self.radius_nm
        turn = np.deg2rad(self.rings_angle_deg) * np.array([-0.5, 0.5])
        angle = corner[:, None, None] + pair[:, None] + turn  # (8, 2, 2)
        angle = angle.ravel() + rng.uniform(0, 2 * np.pi, (len(middles), 1))  # (n, 32)
        height = np.broadcast_to(np.array([-0.5, 0.5]) * self.rings_nm, (8, 2, 2)).ravel()
        ring = [self.radius_nm * np.cos(angle), self.radius_nm * np.sin(angle)]
        proteins = np.stack([*ring, np.broadcast_to(height, angle.shape)], axis=2)  # (n, 32, 3)
        places = (middles[:, None] + proteins).reshape(-1, 3)
        places = places[rng.random(len(places)) < self.labelled_share]
        return Labels(view.keep_inside(places + rng.normal(0, self.linkage_nm, places.shape)))


Structure = Annotated[
    Uniform | Empty | Mask | Filaments | Network | Clusters | Pores, Field(discriminator="kind")
]
"""Any structure, told apart by its ``kind``."""


def _relax(seeds: NDArray[np.float64], view: View, rng: np.random.Generator) -> Points:
    """Move points apart, towards the mean of the random points nearest to each (Lloyd)."""
    for _ in range(2):
        samples = view.uniform(40 * len(seeds), rng)[:, :2]
        owner = cKDTree(seeds).query(samples)[1]
        number = np.bincount(owner, minlength=len(seeds))
        sums = [np.bincount(owner, samples[:, axis], minlength=len(seeds)) for axis in (0, 1)]
        seeds = np.where(number[:, None] > 0, np.stack(sums, 1) / number.clip(1)[:, None], seeds)
    return seeds


def _set_apart(points: Points, least_nm: float) -> Points:
    """Keep each point that is far enough from all kept before it."""
    is_kept = np.zeros(len(points), dtype=bool)
    tree = cKDTree(points[:, :2])
    for index, point in enumerate(points[:, :2]):
        is_kept[index] = not is_kept[tree.query_ball_point(point, least_nm)].any()
    return points[is_kept]
