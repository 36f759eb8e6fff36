"""Draw fictitious faces and simple scenes with Pillow.

Everything here is ours. A face is a fixed `Look` (who it is) seen in a varying `Shot` (how it was photographed): the same
person under another shot is another photograph. Drawing happens at three times the final size and is then reduced.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

SIZE = 128
_ZOOM = 3
_S = SIZE * _ZOOM

Colour = tuple[int, int, int]

SKINS: tuple[Colour, ...] = (
    (255, 224, 196),
    (240, 194, 152),
    (214, 160, 116),
    (172, 116, 78),
    (124, 80, 54),
    (86, 54, 38),
)
HAIR: dict[str, Colour] = {
    "black": (28, 26, 30),
    "brown": (104, 62, 30),
    "blond": (236, 204, 104),
    "red": (196, 70, 28),
    "grey": (158, 158, 164),
    "blue": (50, 92, 210),
    "green": (40, 150, 70),
    "pink": (240, 110, 180),
}
EYES: tuple[Colour, ...] = ((70, 44, 24), (36, 100, 190), (46, 140, 70), (110, 110, 116), (150, 90, 20))
CLOTH: dict[str, Colour] = {
    "red": (206, 38, 38),
    "blue": (36, 78, 206),
    "green": (30, 142, 60),
    "yellow": (244, 206, 40),
    "purple": (132, 50, 172),
    "orange": (246, 132, 26),
    "white": (244, 244, 244),
    "black": (24, 24, 26),
}
STYLES = ("short", "long", "curly", "mohawk", "bun", "bob")
MARKS = ("none", "freckles", "mole", "scar", "blush", "none")
SHAPES = ("circle", "square", "triangle", "star")
SHAPE_COLOURS = ("red", "blue", "green", "yellow", "purple", "orange")

PAIR_AT = (0.26, 0.74)

MEASURES = 10


@dataclass(frozen=True)
class Look:
    """What makes a face that person: ten measures in 0..1 and five categories."""

    measures: tuple[float, ...]
    skin: int
    hair: str
    style: str
    eyes: int
    mark: str

    def distance(self, other: Look) -> float:
        """How different two faces are (our choice: categories weigh 1 each, measures add their mean square times 6)."""
        kinds = (
            (self.skin != other.skin)
            + (self.hair != other.hair)
            + (self.style != other.style)
            + 0.5 * (self.eyes != other.eyes)
            + 0.7 * (self.mark != other.mark)
        )
        gaps = [(a - b) ** 2 for a, b in zip(self.measures, other.measures, strict=True)]
        return kinds + 6 * sum(gaps) / len(gaps)


def random_look(rng: np.random.Generator) -> Look:
    return Look(
        measures=tuple(float(x) for x in rng.random(MEASURES)),
        skin=int(rng.integers(len(SKINS))),
        hair=str(rng.choice(list(HAIR))),
        style=str(rng.choice(STYLES)),
        eyes=int(rng.integers(len(EYES))),
        mark=str(rng.choice(MARKS)),
    )


@dataclass(frozen=True)
class Shot:
    """One photograph's circumstances. `hat` is a cloth colour or None; angles in degrees; shifts in parts of the picture."""

    glasses: bool
    hat: str | None
    beard: bool
    shirt: str
    smile: float
    angle: float
    scale: float
    shift: tuple[float, float]
    turn: float
    light: float
    tint: tuple[float, float, float]
    background: tuple[Colour, Colour]
    mirrored: bool
    noise: float
    jpeg: int | None
    seed: int


def random_shot(rng: np.random.Generator) -> Shot:
    def wall() -> Colour:
        r, g, b = rng.integers(90, 235, 3)
        return int(r), int(g), int(b)

    tint = 1 + rng.uniform(-0.05, 0.05, 3)
    return Shot(
        glasses=bool(rng.random() < 0.4),
        hat=str(rng.choice(list(CLOTH))) if rng.random() < 0.35 else None,
        beard=bool(rng.random() < 0.3),
        shirt=str(rng.choice(list(CLOTH))),
        smile=float(rng.uniform(-0.6, 1)),
        angle=float(rng.uniform(-12, 12)),
        scale=float(rng.uniform(0.88, 1.2)),
        shift=(float(rng.uniform(-0.08, 0.08)), float(rng.uniform(-0.06, 0.06))),
        turn=float(rng.uniform(-1, 1)),
        light=float(rng.uniform(0.78, 1.18)),
        tint=(float(tint[0]), float(tint[1]), float(tint[2])),
        background=(wall(), wall()),
        mirrored=bool(rng.random() < 0.3),
        noise=float(rng.uniform(0, 8)),
        jpeg=int(rng.integers(55, 96)) if rng.random() < 0.4 else None,
        seed=int(rng.integers(2**31)),
    )


def _mix(a: Colour, b: Colour, t: float) -> Colour:
    r, g, bl = (round(x + (y - x) * t) for x, y in zip(a, b, strict=True))
    return r, g, bl


def _oval(d: ImageDraw.ImageDraw, x: float, y: float, rx: float, ry: float, fill: Colour) -> None:
    d.ellipse((x - rx, y - ry, x + rx, y + ry), fill=fill)


def _head(look: Look, shot: Shot) -> Image.Image:
    """The person on a transparent ground, upright, 384 x 384."""
    layer = Image.new("RGBA", (_S, _S), (0, 0, 0, 0))
    d = ImageDraw.Draw(layer)
    m = look.measures
    skin, hair = SKINS[look.skin], HAIR[look.hair]
    shade = _mix(skin, (60, 30, 20), 0.28)
    cx, cy = _S / 2, _S * 0.46
    w, h = 66 + 34 * m[0], 88 + 34 * m[1]
    dx = shot.turn * 9
    shirt = CLOTH[shot.shirt]

    if look.style == "long":
        d.rounded_rectangle((cx - w - 20, cy - h * 0.7, cx + w + 20, cy + h + 44), 44, fill=hair)
    elif look.style == "bob":
        d.rounded_rectangle((cx - w - 24, cy - h * 0.7, cx + w + 24, cy + h * 0.55), 34, fill=hair)
    elif look.style == "curly":
        for i in range(15):
            a = math.pi * (0.94 + 1.12 * i / 14)
            _oval(d, cx + math.cos(a) * (w + 8), cy + math.sin(a) * (h + 4), 27, 27, hair)
    elif look.style == "bun":
        _oval(d, cx, cy - h - 24, 34, 30, hair)

    d.rounded_rectangle((cx - 130, cy + h + 22, cx + 130, _S + 60), 60, fill=shirt)
    d.rectangle((cx - 28, cy + h * 0.6, cx + 28, cy + h + 40), fill=shade)
    d.polygon([(cx - 40, cy + h + 22), (cx + 40, cy + h + 22), (cx, cy + h + 58)], fill=shade)
    ear = 11 + 14 * m[2]
    for side in (-1, 1):
        _oval(d, cx + side * (w + 2), cy + 4, ear, ear * 1.35, skin)
    _oval(d, cx, cy, w, h, skin)
    jaw = 0.35 + 0.5 * m[3]
    d.rounded_rectangle((cx - w * jaw, cy + h * 0.3, cx + w * jaw, cy + h * 0.98), 26, fill=skin)

    fx, ey = cx + dx, cy - 14 + 14 * (m[4] - 0.5)
    gap, size = 25 + 17 * m[5], 11 + 8 * m[6]
    if look.mark == "freckles":
        for i in range(12):
            side = -1 if i % 2 else 1
            _oval(d, fx + side * (24 + (i * 7) % 26), cy + 20 + (i * 11) % 24, 4, 4, _mix(skin, (120, 50, 20), 0.6))
    elif look.mark == "blush":
        for side in (-1, 1):
            _oval(d, fx + side * w * 0.55, cy + 32, 20, 13, _mix(skin, (240, 60, 80), 0.5))

    if shot.beard:
        d.chord(
            (cx - w * 0.93, cy - h * 0.35, cx + w * 0.93, cy + h * 1.06), 18, 162, fill=_mix(hair, (40, 30, 30), 0.25)
        )

    for side in (-1, 1):
        x = fx + side * gap
        _oval(d, x, ey, size * 1.35, size, (252, 252, 252))
        _oval(d, x + dx * 0.3, ey, size * 0.78, size * 0.82, EYES[look.eyes])
        _oval(d, x + dx * 0.3, ey, size * 0.36, size * 0.4, (12, 12, 14))
        tilt, thick = 16 * (m[7] - 0.5), 5 + round(6 * m[6])
        brow = _mix(hair, (30, 20, 20), 0.4)
        by = ey - size - 12
        d.line((x - side * 18, by + tilt, x + side * 20, by - tilt), fill=brow, width=thick)
    nose = 16 + 24 * m[8]
    d.polygon([(fx - 4, ey + 8), (fx - 9 - 6 * m[2], ey + 10 + nose), (fx + 9 + 6 * m[2], ey + 10 + nose)], fill=shade)

    my, mw = cy + h * 0.62, 20 + 24 * m[9]
    if shot.beard:
        _oval(d, fx, my, mw * 0.95, 15, skin)
    bend = 15 * shot.smile
    points = [(fx + mw * t, my + bend * (1 - t * t) - bend * 0.4) for t in np.linspace(-1, 1, 13)]
    d.line(points, fill=(150, 30, 40), width=8, joint="curve")
    if look.mark == "mole":
        _oval(d, fx + mw + 10, my - 8, 8, 8, (60, 30, 20))
    elif look.mark == "scar":
        d.line((fx - gap - 20, ey + 14, fx - gap + 10, ey + 58), fill=(190, 70, 80), width=8)

    if look.style == "mohawk":
        d.polygon(
            [
                (cx - 26, cy - h + 26),
                (cx - 34, cy - h - 46),
                (cx, cy - h - 60),
                (cx + 34, cy - h - 46),
                (cx + 26, cy - h + 26),
            ],
            fill=hair,
        )
    else:
        d.chord((cx - w - 5, cy - h - 10, cx + w + 5, cy + h * 0.55), 192, 348, fill=hair)
    if look.style in ("short", "bun", "mohawk"):
        for side in (-1, 1):
            d.rectangle((cx + side * (w - 7) - 8, cy - h * 0.5, cx + side * (w - 7) + 8, cy - 4), fill=hair)

    if shot.glasses:
        for side in (-1, 1):
            x = fx + side * gap
            d.ellipse((x - 25, ey - 23, x + 25, ey + 23), outline=(20, 20, 24), width=7)
        d.line((fx - gap + 24, ey, fx + gap - 24, ey), fill=(20, 20, 24), width=7)
    if shot.hat is not None:
        hat = CLOTH[shot.hat]
        top = cy - h * 0.62
        d.chord((cx - w - 8, cy - h - 44, cx + w + 8, top + 62), 180, 360, fill=hat)
        d.rounded_rectangle((cx - w - 34, top - 16, cx + w + 34, top + 4), 9, fill=_mix(hat, (128, 128, 128), 0.35))
    return layer


def _wall(shot: Shot) -> Image.Image:
    top, low = (np.array(c, dtype=np.float32) for c in shot.background)
    t = np.linspace(0, 1, SIZE, dtype=np.float32)[:, None, None]
    return Image.fromarray(np.broadcast_to(top + (low - top) * t, (SIZE, SIZE, 3)).astype(np.uint8))


def _place(ground: Image.Image, layer: Image.Image, angle: float, scale: float, centre: tuple[float, float]) -> None:
    """Paste `layer`, turned and scaled, with its middle at `centre` (parts of the picture)."""
    side = max(8, round(SIZE * scale))
    small = layer.rotate(angle, resample=Image.Resampling.BILINEAR).resize((side, side), Image.Resampling.BOX)
    ground.paste(small, (round(SIZE * centre[0] - side / 2), round(SIZE * centre[1] - side / 2)), small)


def _expose(image: Image.Image, shot: Shot) -> Image.Image:
    pixels = np.asarray(image, dtype=np.float32) * shot.light * np.array(shot.tint, dtype=np.float32)
    pixels += np.random.default_rng(shot.seed).normal(0, 1, pixels.shape).astype(np.float32) * shot.noise
    out = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    if shot.jpeg is None:
        return out
    buffer = io.BytesIO()
    out.save(buffer, "JPEG", quality=shot.jpeg)
    return Image.open(buffer).convert("RGB")


@dataclass(frozen=True)
class Region:
    """An ellipse on the picture, in parts of its width and height: about where a face or a shape is."""

    x: float
    y: float
    rx: float
    ry: float


def _portrait_place(shot: Shot) -> tuple[float, tuple[float, float]]:
    return shot.scale, (0.5 + shot.shift[0], 0.53 + shot.shift[1])


def _pair_place(shot: Shot, x: float) -> tuple[float, tuple[float, float]]:
    return 0.62 + 0.25 * (shot.scale - 0.88), (x + shot.shift[0] * 0.4, 0.56 + shot.shift[1])


def _face(scale: float, centre: tuple[float, float]) -> Region:
    return Region(centre[0], centre[1] - 0.04 * scale, 0.2 * scale, 0.27 * scale)


def portrait_face(shot: Shot) -> Region:
    return _face(*_portrait_place(shot))


def pair_faces(left: Shot, right: Shot) -> tuple[Region, Region]:
    return _face(*_pair_place(left, PAIR_AT[0])), _face(*_pair_place(right, PAIR_AT[1]))


def portrait(look: Look, shot: Shot) -> Image.Image:
    """One person, 128 x 128 RGB."""
    image = _wall(shot)
    head = _head(look, shot)
    if shot.mirrored:
        head = head.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    _place(image, head, shot.angle, *_portrait_place(shot))
    return _expose(image, shot)


def pair(left: tuple[Look, Shot], right: tuple[Look, Shot]) -> Image.Image:
    """Two people side by side; light and background are those of the left shot."""
    image = _wall(left[1])
    for (look, shot), x in zip((left, right), PAIR_AT, strict=True):
        _place(image, _head(look, shot), shot.angle, *_pair_place(shot, x))
    return _expose(image, left[1])


@dataclass(frozen=True)
class Thing:
    """A coloured shape in a cell (row, column) of a 3 x 3 grid."""

    shape: str
    colour: str
    cell: tuple[int, int]

    @property
    def region(self) -> Region:
        return Region((self.cell[1] + 0.5) / 3, (self.cell[0] + 0.5) / 3, 0.11, 0.11)


def scene(things: tuple[Thing, ...], shot: Shot) -> Image.Image:
    """Shapes on a pale ground, 128 x 128 RGB."""
    rng = np.random.default_rng(shot.seed)
    pale = tuple(_mix(c, (238, 238, 232), 0.75) for c in shot.background)
    image = Image.new("RGB", (_S, _S), pale[0])
    d = ImageDraw.Draw(image)
    d.rectangle((0, round(_S * 0.7), _S, _S), fill=pale[1])
    for thing in things:
        r = rng.uniform(38, 54)
        x = (thing.cell[1] + 0.5) * _S / 3 + rng.uniform(-8, 8)
        y = (thing.cell[0] + 0.5) * _S / 3 + rng.uniform(-8, 8)
        fill = CLOTH[thing.colour]
        if thing.shape == "circle":
            _oval(d, x, y, r, r, fill)
        elif thing.shape == "square":
            d.rectangle((x - r * 0.88, y - r * 0.88, x + r * 0.88, y + r * 0.88), fill=fill)
        else:
            n = 3 if thing.shape == "triangle" else 10
            radii = [r * 1.12] * 3 if n == 3 else [r * 1.15, r * 0.48] * 5
            turn = rng.uniform(-0.15, 0.15) - math.pi / 2
            d.polygon(
                [
                    (x + q * math.cos(turn + 2 * math.pi * i / n), y + q * math.sin(turn + 2 * math.pi * i / n))
                    for i, q in enumerate(radii)
                ],
                fill=fill,
            )
    return _expose(image.resize((SIZE, SIZE), Image.Resampling.BOX), shot)
