"""A picture as a list of simple shapes, drawn as SVG for the page or as PNG for a chat.

Called by `bot.chart`, which decides what is where. One scene, two pens: what the page shows is what
the thread got. Knows nothing of incidents; colours are roles until a theme names them.
"""

import io
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from html import escape

from PIL import Image, ImageDraw, ImageFont

Point = tuple[float, float]
SHARPNESS = 2  # a PNG is drawn this many times larger and reduced: smooth edges


class Ink(StrEnum):
    """What a shape stands for; the theme gives it a colour."""

    TEXT = "text"
    FAINT = "faint"
    GRID = "grid"
    BAND = "band"
    NEW = "new"
    OLD = "old"
    LIMIT = "limit"
    MARK = "mark"


@dataclass(frozen=True)
class Theme:
    """Colours by role. New and old are blue and orange, which the colour-blind tell apart; each
    also has its own stroke and end."""

    paper: str
    text: str
    faint: str
    grid: str
    band: str
    new: str
    old: str
    limit: str
    mark: str

    def colour(self, ink: Ink) -> str:
        """Return the colour of a role."""
        return str(getattr(self, ink.value))


LIGHT = Theme(
    paper="#ffffff",
    text="#1f2328",
    faint="#5a6370",
    grid="#d8dde3",
    band="#7d8896",
    new="#0b63b5",
    old="#b85400",
    limit="#8b1a4a",
    mark="#1f2328",
)
DARK = Theme(
    paper="#14171c",
    text="#e8ebef",
    faint="#a3acb8",
    grid="#333a44",
    band="#8d98a8",
    new="#6cb4ff",
    old="#ffa14f",
    limit="#ff8fb8",
    mark="#e8ebef",
)
# For a page that follows the system: it sets `color-scheme: light dark`, and both are in one SVG.
PAGE = Theme(
    **{
        name: f"light-dark({light}, {getattr(DARK, name)})"
        for name, light in vars(LIGHT).items()
        if name != "paper"
    },
    paper="none",
)


@dataclass(frozen=True)
class Box:
    """A filled rectangle; `strength` is its opacity."""

    left: float
    top: float
    right: float
    bottom: float
    ink: Ink
    strength: float = 1.0


@dataclass(frozen=True)
class Stroke:
    """A line through points; `dash` is (on, off) in pixels."""

    points: tuple[Point, ...]
    ink: Ink
    width: float = 1.0
    dash: tuple[float, float] | None = None


@dataclass(frozen=True)
class Shape:
    """A filled polygon."""

    points: tuple[Point, ...]
    ink: Ink


@dataclass(frozen=True)
class Words:
    """A text on its baseline; `anchor` is start, middle or end."""

    at: Point
    text: str
    ink: Ink
    size: float = 12.0
    anchor: str = "start"
    backed: bool = False  # paper behind it, so that a line below does not cross the letters


Part = Box | Stroke | Shape | Words


@dataclass(frozen=True)
class Scene:
    """A whole picture; `says` is the same in one sentence, for those who cannot see it."""

    width: int
    height: int
    parts: tuple[Part, ...]
    says: str


def to_svg(scene: Scene, theme: Theme = PAGE) -> str:
    """Return the scene as an SVG element; every text in it is escaped."""
    says = escape(scene.says, quote=True)
    body = "".join(_svg(part, theme) for part in scene.parts)
    paper = f'<rect width="100%" height="100%" fill="{theme.paper}"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {scene.width} {scene.height}" '
        f'role="img" aria-label="{says}" font-family="system-ui, sans-serif">'
        f"<title>{says}</title>{paper if theme.paper != 'none' else ''}{body}</svg>"
    )


def to_png(scene: Scene, theme: Theme = LIGHT, scale: float = 2.0) -> bytes:
    """Return the scene as PNG, `scale` pixels per unit."""
    zoom = scale * SHARPNESS
    size = (round(scene.width * zoom), round(scene.height * zoom))
    image = Image.new("RGB", size, theme.paper)
    for part in scene.parts:
        _paint(image, part, theme, zoom)
    small = (round(scene.width * scale), round(scene.height * scale))
    reduced = image.resize(small, Image.Resampling.LANCZOS)
    kept = io.BytesIO()
    reduced.save(kept, "PNG", optimize=True)
    return kept.getvalue()


def text_width(text: str, size: float) -> float:
    """Return about how wide a text is; a layout must not depend on the pen's font."""
    return len(text) * size * 0.56


def _svg(part: Part, theme: Theme) -> str:
    colour = theme.colour(part.ink)
    if isinstance(part, Box):
        return (
            f'<rect x="{part.left:.1f}" y="{part.top:.1f}" width="{part.right - part.left:.1f}" '
            f'height="{part.bottom - part.top:.1f}" fill="{colour}" '
            f'fill-opacity="{part.strength:g}"/>'
        )
    if isinstance(part, Stroke):
        dash = f' stroke-dasharray="{part.dash[0]:g} {part.dash[1]:g}"' if part.dash else ""
        return (
            f'<polyline points="{_points(part.points)}" fill="none" stroke="{colour}" '
            f'stroke-width="{part.width:g}" stroke-linejoin="round"{dash}/>'
        )
    if isinstance(part, Shape):
        return f'<polygon points="{_points(part.points)}" fill="{colour}"/>'
    halo = ""
    if part.backed and theme.paper != "none":
        halo = f' stroke="{theme.paper}" stroke-width="3" paint-order="stroke"'
    return (
        f'<text x="{part.at[0]:.1f}" y="{part.at[1]:.1f}" font-size="{part.size:g}" '
        f'text-anchor="{part.anchor}" fill="{colour}"{halo}>{escape(part.text)}</text>'
    )


def _points(points: Sequence[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _paint(image: Image.Image, part: Part, theme: Theme, zoom: float) -> None:
    pen = ImageDraw.Draw(image, "RGBA")
    colour = theme.colour(part.ink)
    if isinstance(part, Box):
        red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        corners = [(part.left * zoom, part.top * zoom), (part.right * zoom, part.bottom * zoom)]
        pen.rectangle(corners, fill=(red, green, blue, round(255 * part.strength)))
    elif isinstance(part, Stroke):
        for piece in _dashes(part.points, part.dash):
            scaled = [(x * zoom, y * zoom) for x, y in piece]
            pen.line(scaled, fill=colour, width=max(1, round(part.width * zoom)), joint="curve")
    elif isinstance(part, Shape):
        pen.polygon([(x * zoom, y * zoom) for x, y in part.points], fill=colour)
    else:
        _write(pen, part, theme, zoom)


def _write(pen: ImageDraw.ImageDraw, part: Words, theme: Theme, zoom: float) -> None:
    anchor = {"start": "ls", "middle": "ms", "end": "rs"}[part.anchor]
    pen.text(
        (part.at[0] * zoom, part.at[1] * zoom),
        part.text,
        fill=theme.colour(part.ink),
        font=_font(round(part.size * zoom)),
        anchor=anchor,
        stroke_width=round(1.5 * zoom) if part.backed else 0,
        stroke_fill=theme.paper,
    )


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)  # Pillow brings it along; no font of the machine is needed


def _dashes(points: Sequence[Point], dash: tuple[float, float] | None) -> list[list[Point]]:
    """Return the pieces of a line that are drawn: the whole of it, or its dashes."""
    if dash is None:
        return [list(points)]
    pieces: list[list[Point]] = []
    on, left = True, dash[0]
    piece: list[Point] = [points[0]]
    for start, end in itertools.pairwise(points):
        here, rest = start, math.dist(start, end)
        while rest > 0:
            step = min(left, rest)
            share = step / rest
            here = (here[0] + (end[0] - here[0]) * share, here[1] + (end[1] - here[1]) * share)
            rest, left = rest - step, left - step
            if on:
                piece.append(here)
            if left <= 1e-9:
                if on:
                    pieces.append(piece)
                on, left = not on, dash[1] if on else dash[0]
                piece = [here]
    return [*pieces, piece] if on and len(piece) > 1 else pieces
