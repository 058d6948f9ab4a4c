"""Draws a curve as an SVG: x by its logarithm, y from zero, every point with its value.

Knows neither what was measured nor where it goes. The same figures give the same bytes, so that a change of a picture
is a change of a figure. Colours follow the reader's light or dark, on a card of their own.
"""

import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 640, 340
LEFT, RIGHT, TOP, BOTTOM = 64, 36, 64, 52
# Of what stands on a card: light, dark.
COLOURS = {
    "card": ("#ffffff", "#151b23"), "text": ("#1f2328", "#e6edf3"), "faint": ("#59636e", "#9198a1"),
    "grid": ("#d8dee4", "#30363d"), "line0": ("#0969da", "#58a6ff"), "line1": ("#bc4c00", "#f0883e"),
    "line2": ("#1a7f37", "#3fb950"),
}
LABEL_HEIGHT = 14


class Plot:
    """`lines` is a list of (name, points), and a point is (x, y, low, high)."""

    def __init__(self, title, x_title, y_title, lines):
        self.title, self.x_title, self.y_title, self.lines = title, x_title, y_title, lines
        self.xs = sorted({x for _, points in lines for x, *_ in points})
        self.steps = steps(max(high for _, points in lines for *_, high in points))

    def svg(self):
        body = [*self.frame(), *self.names()]
        for place in range(len(self.lines)):
            body += self.line(place)
        body += self.labels()
        return "\n".join([
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
            f' role="img" aria-label="{escape(self.title)}">',
            f"<style>{style()}</style>", *body, "</svg>", "",
        ])

    def frame(self):
        yield f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="6"/>'
        yield text(LEFT, 26, self.title, "title")
        yield text(LEFT, 48, self.y_title, "faint")
        yield text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, self.x_title, "faint middle")
        for step in self.steps:
            y = self.y(step)
            yield f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
            yield text(LEFT - 8, y + 4, figure(step), "faint end")
        for x in self.xs:
            yield text(self.x(x), HEIGHT - BOTTOM + 18, figure(x), "faint middle")

    def names(self):
        """Which line is which, from the right; one line alone needs no name."""
        right = WIDTH - RIGHT
        for place, (name, _) in reversed(list(enumerate(self.lines if len(self.lines) > 1 else []))):
            yield text(right, 48, name, f"ink{place} end")
            right -= 7 * len(name) + 16

    def line(self, place):
        points = self.lines[place][1]
        for x, _, low, high in points:
            yield f'<path class="spread line{place}" d="M{self.x(x):.1f} {self.y(low):.1f}V{self.y(high):.1f}"/>'
        way = "L".join(f"{self.x(x):.1f} {self.y(y):.1f}" for x, y, *_ in points)
        yield f'<path class="line{place}" d="M{way}"/>'
        for x, y, *_ in points:
            yield f'<circle class="ink{place}" cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="3.5"/>'

    def labels(self):
        """Above a point and its spread; of several lines the lowest has its own below, if there is room."""
        for x in self.xs:
            here = sorted(
                (y, low, high, place)
                for place, (_, points) in enumerate(self.lines) for at, y, low, high in points if at == x
            )
            ceiling = HEIGHT
            for rank, (y, low, high, place) in enumerate(here):
                at = self.y(low) + LABEL_HEIGHT + 4
                if rank > 0 or len(here) == 1 or at > HEIGHT - BOTTOM:
                    at = ceiling = min(self.y(high) - 8, ceiling - LABEL_HEIGHT)
                yield text(self.x(x), at, figure(y, "#"), f"ink{place} middle")

    def x(self, x):
        first, last = math.log(self.xs[0]), math.log(self.xs[-1])
        inner = WIDTH - LEFT - RIGHT - 48
        return LEFT + 24 + (inner * (math.log(x) - first) / (last - first) if last > first else inner / 2)

    def y(self, y):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y / self.steps[-1]


def steps(most):
    """Some five round steps from zero to well above `most`, where labels find their place."""
    size = 10 ** math.floor(math.log10(most))
    size = next(size * part for part in (0.1, 0.2, 0.25, 0.5, 1, 2, 2.5) if size * part * 6 >= most * 1.15)
    return [round(size * step, 6) for step in range(math.ceil(most * 1.15 / size) + 1)]


def text(x, y, words, kind):
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'


def figure(number, zeros=""):
    """Three digits of what is small, down to its last zeros with "#", and thousands apart in what is large."""
    if number >= 100 or number == int(number):
        return f"{number:,.0f}"
    return f"{number:{zeros}.3g}"


def style():
    common = (
        "text{font:12px system-ui,sans-serif}.title{font-size:15px;font-weight:600}.middle{text-anchor:middle}"
        ".end{text-anchor:end}path{fill:none;stroke-width:2}.grid{stroke-width:1}.spread{stroke-width:5;opacity:.35}"
    )
    dark = "@media(prefers-color-scheme:dark){" + colours(1) + "}"
    return common + colours(0) + dark


def colours(theme):
    of = {name: pair[theme] for name, pair in COLOURS.items()}
    lines = "".join(f".line{n}{{stroke:{of[f'line{n}']}}}.ink{n}{{fill:{of[f'line{n}']}}}" for n in range(3))
    return (
        f"text{{paint-order:stroke;stroke:{of['card']};stroke-width:3px}}"
        f".card{{fill:{of['card']};stroke:{of['grid']}}}.title{{fill:{of['text']}}}.faint{{fill:{of['faint']}}}"
        f".grid{{stroke:{of['grid']}}}{lines}"
    )
