"""The job ``pairs``: a folder of pairs to learn from, out of files or simulated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from bridge.errors import ImageError, InputError
from bridge.jobs.base import Job, Result, Table
from bridge.progress import Progress

if TYPE_CHECKING:
    import xarray as xr

    from bridge.jobs.pairs_page import Shown
    from bridge.restoration.exposure import PairConditions
    from bridge.restoration.match import Match
    from bridge.restoration.pairs import Grids
    from bridge.restoration.prepare import JudgedPair, RawPair

_FEW = 3  # pairs, below which a large field is cut into blocks
_BLOCK_PX = 128
_GAP_PX = 16
_NOTES_SHOWN = 6


class Pairs(Job):
    """Make a folder of image pairs to train on: matched, registered, judged, and split by field.

    From two folders (widefield or confocal, and STED, confocal or STORM images of the same places),
    or simulated. Pairs that aren't pairs are refused and shown. Kind xmicroscopy makes triples of
    widefield, undersampled and full super-resolution images, from tables of localizations or from
    rendered images (target).
    """

    label: ClassVar[str] = "ZooBridge Pairs"
    command: ClassVar[tuple[str, ...]] = ("pairs",)

    output: Path
    """Folder to write."""
    input: str = ""
    """Folder of blurred images (or one image); a sub-folder's name says what is in them."""
    target: str = ""
    """Folder of sharp images of the same places, of equal names or with one word changed."""
    kind: Literal["pairs", "xmicroscopy"] = "pairs"
    """What is made: pairs, or triples for X-Microscopy."""
    simulate: Literal["none", "confocal-sted", "widefield-confocal", "widefield-storm"] = "none"
    """Simulate instead of reading files; widefield-storm is for kind xmicroscopy."""
    fields: Annotated[int, Field(ge=1, le=100_000)] = 40
    """How many fields to simulate."""
    structure: str = ""
    """What is in the images, where no sub-folder says it; for simulations what to draw."""
    input_pixel_nm: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """Edge of an input pixel in nm; left out, the files say it."""
    target_pixel_nm: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """Edge of a target pixel in nm; left out, the files say it."""
    input_fwhm_nm: Annotated[float, Field(gt=0, le=10_000)] | None = None
    """Width of the input's PSF at half its height in nm, if known; written down."""
    target_fwhm_nm: Annotated[float, Field(gt=0, le=10_000)] | None = None
    """Width of the target's PSF in nm, if known; written down."""
    resample: bool = False
    """Resample targets whose pixels don't fit the input's a whole number of times."""
    block_px: Annotated[int, Field(ge=0, le=8192)] = 0
    """Edge of blocks to cut fields into, in input pixels; 0 cuts only where there are too few."""
    max_shift_px: Annotated[float, Field(gt=0, le=1000)] = 24.0
    """Longest way of a target to its input, in input pixels."""
    min_agreement: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Least correlation of details between an input and its blurred target."""
    table: str = ""
    """Table of localizations, or a folder of them (xmicroscopy)."""
    widefield: str = ""
    """Widefield image of the same field, or a folder of them (xmicroscopy)."""
    sparse: str = ""
    """Undersampled renderings of the targets' fields (xmicroscopy); left out, they are drawn."""
    dense: str = ""
    """Dense renderings of the targets' fields (xmicroscopy); left out, the targets are taken."""
    localizations: Annotated[int, Field(ge=1, le=100_000_000)] = 10_000
    """Localizations in an undersampled image (xmicroscopy)."""
    subsamplings: Annotated[int, Field(ge=1, le=100)] = 3
    """Undersampled images of each field (xmicroscopy)."""
    srm_pixel_nm: Annotated[float, Field(gt=0, le=1000)] = 20.0
    """Edge of a super-resolution pixel in nm (xmicroscopy); rendered images keep theirs."""
    table_pixel_nm: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """Edge of a camera pixel in nm, for tables that count in pixels (xmicroscopy)."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the split, of simulations and of subsamplings."""
    overwrite: bool = False
    """Replace a folder of pairs that is there."""

    def run(self, progress: Progress) -> Result:
        """Match, register, judge, split, and write the folder with its page."""
        self._check()
        if self.kind == "xmicroscopy":
            from bridge.jobs.storm_rendered import make_rendered_fields
            from bridge.jobs.storm_triples import make_storm_fields

            if self.target:
                return make_rendered_fields(self, progress)
            return make_storm_fields(self, progress)
        return self._simulate(progress) if self.simulate != "none" else self._read(progress)

    def _check(self) -> None:
        """Refuse combinations that mean nothing."""
        what = "zoobridge pairs"
        is_read = bool(self.input or self.target)
        if self.kind == "xmicroscopy":
            self._check_storm(what)
            return
        if self.table or self.widefield or self.sparse or self.dense:
            raise InputError(
                what,
                "table, widefield, sparse and dense are for kind xmicroscopy",
                "",
                "Give --kind xmicroscopy.",
            )
        if self.simulate == "widefield-storm":
            raise InputError(what, "widefield-storm makes no pairs", "", "Give --kind xmicroscopy.")
        if is_read == (self.simulate != "none"):
            found = "both files and a simulation are asked for" if is_read else "there is no input"
            raise InputError(
                what, found, "--input and --target, or --simulate", f"See {what} --help."
            )
        if is_read and not (self.input and self.target):
            raise InputError(what, "only one side is given", "--input and --target")

    def _check_storm(self, what: str) -> None:
        """Refuse combinations that mean nothing for X-Microscopy."""
        if self.input:
            raise InputError(
                what, "input is for kind pairs", "widefield, with table or with target"
            )
        if (self.sparse or self.dense) and not self.target:
            raise InputError(
                what, "sparse and dense belong to full renderings", "--target", "Give them too."
            )
        if self.target and (self.table or self.simulate != "none" or not self.widefield):
            found = "only renderings are given" if not self.widefield else "two sources are given"
            raise InputError(what, found, "--target and --widefield, without --table or --simulate")

    def _simulate(self, progress: Progress) -> Result:
        from bridge.jobs.pairs_page import write_pairs_page
        from bridge.restoration.exposure import PairConditions
        from bridge.restoration.pair_folder import PairSettings, new_pairs
        from bridge.restoration.simulated import draw_fields

        conditions = PairConditions.presets()[self.simulate]
        if self.structure:
            conditions = _draw_only(conditions, self.structure)
        settings = PairSettings(
            scale=conditions.scale,
            input_pixel_size_nm=conditions.pixel_size_nm * conditions.scale,
            target_pixel_size_nm=conditions.pixel_size_nm,
            input_fwhm_nm=conditions.input_fwhm_nm,
            target_fwhm_nm=conditions.target_fwhm_nm,
            source=f"simulated, {self.simulate}",
            seed=self.seed,
            conditions=conditions.model_dump(mode="json"),
        )
        shown: list[Shown] = []
        with new_pairs(self.output, settings, overwrite=self.overwrite) as writer:
            drawn = draw_fields(conditions, n_fields=self.fields, seed=self.seed)
            for number, field in enumerate(drawn):
                progress(number, self.fields, "fields")
                writer.add(
                    field.name,
                    field.structure,
                    field.part,
                    input=field.input,
                    target=field.target,
                    truth=field.truth,
                    figures={"signal_share": field.signal},
                )
                if field.places is not None:
                    (writer.part / "places").mkdir(exist_ok=True)
                    field.places.to_csv(writer.part / "places" / f"{field.name}.csv", index=False)
                if len(shown) < _NOTES_SHOWN * 2:
                    shown.append((field.name, field.structure, field.input, field.target))
            write_pairs_page(writer.part, f"Simulated pairs: {self.simulate}", shown, [], [])
        progress(self.fields, self.fields, "done")
        return self._result(writer.rows, [], [])

    def _read(self, progress: Progress) -> Result:
        from bridge.jobs.pairs_page import write_pairs_page, write_refusals
        from bridge.restoration.match import match_files
        from bridge.restoration.new_folder import check_folder
        from bridge.restoration.pair_folder import SETTINGS, PairSettings, new_pairs
        from bridge.restoration.split import split_fields

        check_folder(self.output, marker=SETTINGS, overwrite=self.overwrite)
        matches = match_files(self.input, self.target)
        notes = [f"{path} has no partner and is left out." for path in matches.alone]
        raw, grids, sizes = self._open(matches.found, notes, progress)
        judged = self._judge(raw, grids.scale, progress)
        kept = [pair for pair in judged if not pair.refused]
        refused = [pair for pair in judged if pair.refused]
        notes += [f"{pair.name} is refused: {pair.refused}." for pair in refused]
        if not kept:
            return self._nothing_left(write_refusals(self.output, refused), refused, notes)
        origins = {pair.origin: pair.structure for pair in kept}
        by = "origin" if len(origins) >= _FEW else "name"
        parts = split_fields({getattr(p, by): p.structure for p in kept}, seed=self.seed)
        settings = PairSettings(
            scale=grids.scale,
            input_pixel_size_nm=sizes[0],
            target_pixel_size_nm=sizes[1],
            input_fwhm_nm=self.input_fwhm_nm,
            target_fwhm_nm=self.target_fwhm_nm,
            source=f"{Path(self.input).name} and {Path(self.target).name}",
            seed=self.seed,
        )
        with new_pairs(self.output, settings, overwrite=self.overwrite) as writer:
            for pair in kept:
                writer.add(
                    pair.name,
                    pair.structure,
                    parts[getattr(pair, by)],
                    input=pair.input,
                    target=pair.target,
                    figures=pair.figures(),
                )
            shown = [(p.name, p.structure, p.input, p.target) for p in kept[: _NOTES_SHOWN * 2]]
            write_pairs_page(
                writer.part, "Pairs", shown, refused, notes, rows=writer.rows, grids=grids
            )
        progress(1, 1, "done")
        matched = [f"{m.paths[0].name} and {m.paths[1].name}: {m.name}" for m in matches.found]
        return self._result(writer.rows, notes, matched, grids=grids)

    def _open(
        self, found: tuple[Match, ...], notes: list[str], progress: Progress
    ) -> tuple[list[RawPair], Grids, tuple[float | None, float | None]]:
        """Read all files, look at their values, and bring each pair onto fitting grids."""
        from bridge.restoration.pairs import (
            compare_depths,
            examine_values,
            find_grids,
            fit_grids,
            pixel_size_of,
            same_grids,
        )
        from bridge.restoration.prepare import RawPair

        raw, grids = [], {}
        dtypes: dict[str, set[str]] = {"input": set(), "target": set()}
        sizes: tuple[float | None, float | None] = (None, None)
        for number, match in enumerate(found):
            progress(number, len(found), "reading")
            pair = (
                self._plane(match.paths[0], self.input_pixel_nm),
                self._plane(match.paths[1], self.target_pixel_nm),
            )
            for side, image, path in zip(("input", "target"), pair, match.paths, strict=True):
                notes += examine_values(image, what=str(path))
                dtypes[side].add(image.attrs["dtype"])
            what = " and ".join(str(path) for path in match.paths)
            grids[what] = find_grids(*pair, what=what)
            small, large = fit_grids(*pair, grids[what], resample=self.resample, what=what)
            structure = match.structure or self.structure or "pairs"
            name = f"{match.structure}_{match.name}" if match.structure else match.name
            raw.append(RawPair(name, structure, small, large))
            coarse_nm, fine_nm = (pixel_size_of(one) for one in pair)
            if coarse_nm is None and fine_nm is not None:
                coarse_nm = fine_nm * grids[what].scale
            if coarse_nm is not None:
                sizes = coarse_nm, coarse_nm / grids[what].scale
        notes += compare_depths(dtypes)
        return raw, same_grids(grids), sizes

    def _plane(self, path: Path, pixel_size_nm: float | None) -> xr.DataArray:
        from bridge.restoration.pair_folder import read_plane

        image = read_plane(path)
        if pixel_size_nm is not None:
            image.attrs["pixel_size_nm"] = dict.fromkeys("yx", pixel_size_nm)
        return image

    def _judge(self, raw: list[RawPair], scale: int, progress: Progress) -> list[JudgedPair]:
        """Register and judge pairs, whole or cut into blocks."""
        from bridge.restoration.prepare import Rules, cut_pair, judge_pair

        rules = Rules(self.max_shift_px, self.min_agreement)
        block_px = self.block_px or (_BLOCK_PX if len(raw) < _FEW else 0)
        judged = []
        for number, pair in enumerate(raw):
            progress(number, len(raw), f"registering {pair.name}")
            strangers = [other.target for other in raw if other is not pair]
            whole = judge_pair(pair, scale=scale, rules=rules, strangers=strangers)
            is_large = block_px and min(pair.input.shape) >= 2 * block_px + _GAP_PX
            if whole.refused or not is_large:
                judged.append(whole)
                continue
            blocks = cut_pair(pair, whole.found, scale=scale, block_px=block_px, gap_px=_GAP_PX)
            for block in blocks:
                strangers = [other.target for other in blocks if other is not block]
                judged.append(judge_pair(block, scale=scale, rules=rules, strangers=strangers))
        return judged

    def _nothing_left(self, page: Path, refused: list[JudgedPair], notes: list[str]) -> Result:
        best = max(refused, key=lambda pair: pair.found.detail_correlation)
        error = ImageError(
            f"{self.input} and {self.target}",
            f"none of {len(refused)} pairs is one; the best, {best.name}: {best.refused}",
            f"images of the same places, whose details agree by {self.min_agreement:g} or more",
            f"Look at {page}.",
        )
        return Result(outputs={"page": str(page)}, warnings=notes, report=str(page), error=error)

    def _result(
        self,
        rows: list[dict[str, object]],
        notes: list[str],
        matched: list[str],
        *,
        grids: Grids | None = None,
    ) -> Result:
        counts: dict[str, int] = {}
        for row in rows:
            counts[str(row["part"])] = counts.get(str(row["part"]), 0) + 1
        told = ", ".join(f"{n} {part}" for part, n in counts.items())
        page = str(self.output / "page.html")
        summary = [*matched[:_NOTES_SHOWN], f"{len(rows)} fields in {self.output}: {told}."]
        if grids is not None:
            summary.append(
                f"The scale is {grids.scale} (found by {grids.came_from}: {grids.ratio:.4g})."
            )
        return Result(
            outputs={
                "folder": str(self.output),
                "page": page,
                "n_fields": len(rows),
                **{f"n_{part}": n for part, n in counts.items()},
                **({"scale": grids.scale} if grids else {}),
            },
            warnings=notes,
            report=page,
            summary=[*summary, f"Look at {page}."],
            tables=[_tabulate(rows)],
        )


def _draw_only(conditions: PairConditions, structure: str) -> PairConditions:
    """Keep to structures that were asked for by name, one or more between commas."""
    from bridge.restoration.exposure import PairConditions
    from bridge.restoration.fields import STRUCTURES

    wanted = [word.strip() for word in structure.split(",")]
    unknown = [word for word in wanted if word not in STRUCTURES]
    if unknown:
        raise InputError("--structure", f"'{unknown[0]}'", f"some of {', '.join(STRUCTURES)}")
    return PairConditions.model_validate(conditions.model_dump() | {"structures": wanted})


def _tabulate(rows: list[dict[str, object]]) -> Table:
    columns = list(rows[0])
    cells = [
        [f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows[:20]
    ]
    return Table(title="The first fields", columns=columns, rows=cells)
