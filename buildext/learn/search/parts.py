"""The parts that the latency model is fitted to: a small design over the space.

Every kind of block is measured in every stage where the space has it, three times: narrow, middling
and wide, with one to three blocks, each behind the halving convolution that leads into it; and
again with pooled queries. Every decoder is measured on the narrowest and the widest encoder that
the space has, the stem likewise.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from buildext.atomic import atomic_path
from buildext.learn.networks.decoders.table import build_decoder
from buildext.learn.networks.encoders.searched import Stage, conv_norm
from buildext.learn.networks.encoders.searched_plan import ATTENDING, TAP, StagePlan
from buildext.learn.networks.exportable import make_exportable
from buildext.learn.networks.heads import ConvHead, SubpixelHead
from buildext.learn.search.config import DecoderSpace, EngineSection, SpaceSection
from buildext.learn.search.timing import time_part
from buildext.learn.search.work import STEM, Work, Works, count, kinds_of_stage
from buildext.progress import Progress

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sample:
    """Something that was measured: its work, and its time on the engine.

    Attributes:
        name: for people, and unique in a search.
        works: by kind.
        latency_ms: measured.
    """

    name: str
    works: Works
    latency_ms: float


class StemPart(nn.Module):
    """The two convolutions in front of the stages."""

    def __init__(self, half: int, embed: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(*conv_norm(3, half, 3, 2), nn.ReLU())
        self.stem.extend([*conv_norm(half, embed, 3, 2), nn.ReLU()])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """`(N, 3, H, W)` to `(N, C, H/4, W/4)`."""
        out: torch.Tensor = self.stem(images)
        return out


class DecoderPart(nn.Module):
    """A decoder and its head on maps of given widths, the image's first."""

    def __init__(self, decoder: DecoderSpace, channels: Sequence[int]) -> None:
        super().__init__()
        subpixel = decoder.head == "subpixel"
        depth = len(channels) - 1
        widths = decoder.widths_at(depth)
        built = build_decoder(decoder.name, channels, 2**depth, widths, subpixel)
        self.decoder = built.module
        head = SubpixelHead if subpixel else ConvHead
        self.head = head(built.out_channels, 1, built.out_stride)
        make_exportable(self)

    def forward(self, *maps: torch.Tensor) -> torch.Tensor:
        """Maps at strides 2, 4 … to logits."""
        # Decoders never look at the image; its size is twice that of the first map.
        out: torch.Tensor = self.head(self.decoder([maps[0], *maps]))
        return out


@dataclass(frozen=True, slots=True)
class Part:
    """Something to measure.

    Attributes:
        name: for people, and unique in a search.
        module: with random weights.
        shapes: of its inputs.
        kinds: of its parts, by path.
    """

    name: str
    module: nn.Module
    shapes: tuple[tuple[int, ...], ...]
    kinds: dict[str, str]


def parts_of(space: SpaceSection, tile_px: int) -> Iterator[Part]:
    """The design."""
    torch.manual_seed(0)
    widths = [stage.widths for stage in space.stages]
    for half, width in ((min(space.half), min(widths[0])), (max(space.half), max(widths[0]))):
        embed = 8 * round(max(space.condense) * width / 8)
        image = (1, 3, tile_px, tile_px)
        yield Part(f"stem {half} {embed}", StemPart(half, embed), (image,), {"stem": STEM})
    for number, stage in enumerate(space.stages, start=1):
        before = [8 * round(max(space.condense) * w / 8) for w in widths[0]]
        before = list(widths[number - 2]) if number > 1 else before
        for plan, width_in in _stage_plans(stage.kinds, stage.widths, before):
            yield _stage_part(plan, width_in, number, tile_px)
        pooling = [kind for kind in stage.kinds if kind in ATTENDING and True in stage.pooled]
        for kind in pooling if number > 1 else ():
            for pick in (min, _middle, max):
                plan = StagePlan(kind, pick(stage.widths), 1, pooled=True)
                yield _stage_part(plan, pick(before), number, tile_px)
    for decoder in space.decoders:
        for pick in (min, max):
            channels = [3, pick(space.half), *(pick(w) for w in widths)]
            sides = [tile_px >> level for level in range(1, len(channels))]
            shapes = tuple((1, c, s, s) for c, s in zip(channels[1:], sides, strict=True))
            kinds = dict.fromkeys(("decoder", "head"), decoder.name)
            name = f"{decoder.label} on {' '.join(map(str, channels[1:]))}"
            yield Part(name, DecoderPart(decoder, channels), shapes, kinds)


def measure_parts(
    space: SpaceSection, engine: EngineSection, folder: Path, progress: Progress
) -> list[Sample]:
    """Measure all parts of the design that have no file in `folder` yet."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = list(parts_of(space, engine.tile_px))
    progress.start("measuring parts", len(parts))
    samples = []
    for part in parts:
        path = folder / f"{hashlib.sha256(part.name.encode()).hexdigest()[:16]}.json"
        try:
            sample = _read(path)
        except (FileNotFoundError, ValueError, KeyError):
            sample = _measure(part, engine)
            with atomic_path(path, overwrite=True) as temporary:
                temporary.write_text(json.dumps(asdict(sample), indent=1) + "\n", "utf-8")
        samples.append(sample)
        progress.advance()
    progress.finish()
    return samples


def _measure(part: Part, engine: EngineSection) -> Sample:
    part.module.eval()
    latency_ms = time_part(part.module, part.shapes, engine)
    inputs = tuple(torch.zeros(shape, device="meta") for shape in part.shapes)
    _, works = count(part.module.to("meta"), inputs, part.kinds)
    log.info("%s: %.3f ms", part.name, latency_ms)
    return Sample(part.name, works, latency_ms)


def _read(path: Path) -> Sample:
    values = json.loads(path.read_text("utf-8"))
    works = {kind: Work(**work) for kind, work in values["works"].items()}
    return Sample(values["name"], works, values["latency_ms"])


def _stage_plans(
    kinds: Sequence[str], widths: Sequence[int], before: Sequence[int]
) -> Iterator[tuple[StagePlan, int]]:
    """Narrow with two blocks, middling with three, wide with one."""
    for kind in kinds:
        for pick, blocks in ((min, 2), (_middle, 3), (max, 1)):
            plan = StagePlan(kind, pick(widths), 0 if kind == TAP else blocks)
            yield plan, pick(before)


def _stage_part(plan: StagePlan, width_in: int, number: int, tile_px: int) -> Part:
    side = tile_px // 4 if number == 1 else tile_px >> number
    stage = Stage(plan, width_in, number)
    name = f"stage{number} {plan} from {width_in}"
    return Part(name, stage, ((1, width_in, side, side),), kinds_of_stage(stage))


def _middle(values: Sequence[int]) -> int:
    return sorted(values)[len(values) // 2]
