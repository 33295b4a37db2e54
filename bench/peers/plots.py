"""Plots of bench/peers/run's results as SVG, written by hand: nothing to install, and the
files are small enough to read. Colours keep their server from plot to plot, and both a light
and a dark page can show them."""

import math
import re
import statistics
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 80, 170, 50, 55
COLOURS = {"ringcast": "#d1495b", "ringcast-spin": "#e58f65", "ringcast-tls": "#a23b72", "bun": "#2e86ab",
           "bare": "#8d99ae", "bare-coalesced": "#5c677d", "bare-spin": "#5c677d", "beast": "#6a994e",
           "ws": "#bc9c22", "nchan": "#3d5a80", "faye": "#9c6644", "rails": "#7b2cbf"}


def middle(row, name, figure=None):
    rounds = row["figures"].get(name)
    values = [r[figure or row["figure"]] for r in rounds or [] if (figure or row["figure"]) in r]
    return statistics.median(values) if values else None


def readable(value):
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


class Canvas:
    def __init__(self, title, y_label):
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
            f'font-size="12" fill="#888">',
            f'<text x="{LEFT}" y="22" font-size="15" font-weight="bold">{escape(title)}</text>',
            f'<text x="{LEFT}" y="40">{escape(y_label)}</text>']

    def line(self, x1, y1, x2, y2, colour="#888", width=1, opacity=0.3):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
                          f'stroke-width="{width}" stroke-opacity="{opacity}"/>')

    def text(self, x, y, text, anchor="middle", colour="#888"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>')

    def rect(self, x, y, width, height, colour):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{max(height, 1):.1f}" '
                          f'fill="{colour}"/>')

    def path(self, points, colour):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        self.parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]

    def write(self, path):
        path.write_text("\n".join(self.parts) + "\n</svg>\n")
        return path


class LogScale:
    """Values to heights, logarithmic, from a power of ten to one; draws its grid."""

    def __init__(self, canvas, values, right=WIDTH - RIGHT):
        self.low = math.floor(math.log10(min(values)))
        self.high = max(math.ceil(math.log10(max(values))), self.low + 1)
        for power in range(self.low, self.high + 1):
            y = self(10**power)
            canvas.line(LEFT, y, right, y)
            canvas.text(LEFT - 8, y + 4, readable(10**power), "end")

    def __call__(self, value):
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def lines(path, title, y_label, x_names, series, titles):
    """series: (server, dash?, [value or None for each x]). All scales are logarithmic in y."""
    series = [(name, label, values) for name, label, values in series if any(v for v in values)]
    if not series:
        return None
    canvas = Canvas(title, y_label)
    scale = LogScale(canvas, [v for _, _, values in series for v in values if v])
    step = (WIDTH - LEFT - RIGHT) / max(len(x_names) - 1, 1)
    for i, name in enumerate(x_names):
        canvas.text(LEFT + i * step, HEIGHT - BOTTOM + 20, name)
    ends = []
    for name, label, values in series:
        points = [(LEFT + i * step, scale(v)) for i, v in enumerate(values) if v]
        canvas.path(points, COLOURS.get(name, "#888"))
        ends.append([points[-1][1], label, COLOURS.get(name, "#888")])
    # Labels at the lines' ends, pushed apart where they would overlap.
    ends.sort()
    for i in range(1, len(ends)):
        ends[i][0] = max(ends[i][0], ends[i - 1][0] + 14)
    for y, label, colour in ends:
        canvas.text(WIDTH - RIGHT + 10, y + 4, label, "start", colour)
    return canvas.write(path)


def bars(path, title, y_label, values, titles):
    values = [(name, v) for name, v in values if v and v > 0]
    if not values:
        return None
    canvas = Canvas(title, y_label)
    scale = LogScale(canvas, [v for _, v in values], WIDTH - 20)
    room = (WIDTH - LEFT - 20) / len(values)
    for i, (name, value) in enumerate(values):
        x, y = LEFT + i * room + room * 0.15, scale(value)
        canvas.rect(x, y, room * 0.7, HEIGHT - BOTTOM - y, COLOURS.get(name, "#888"))
        canvas.text(x + room * 0.35, y - 6, readable(value))
        for k, word in enumerate(re.split(r" \+ | on ", titles.get(name, name).replace("Boost.", ""))):
            canvas.text(x + room * 0.35, HEIGHT - BOTTOM + 18 + 14 * k, word)
    return canvas.write(path)


def write_all(results, titles, folder):
    """The plots that these results are enough for."""
    made = []
    sizes = (100, 1000, 5000)
    for window, words in ((1, "one message in flight"), (64, "64 messages in flight")):
        found = [results.get(f"fanout-{size}-w{window}") for size in sizes]
        names = [n for n in titles if sum(1 for row in found if row and n in row["figures"]) > 1]
        made.append(lines(
            folder / f"deliveries-w{window}.svg", f"Deliveries a second, {words}", "one core, more is better",
            [f"{size:,} subscribers" for size in sizes],
            [(n, titles[n], [middle(row, n, "per_second") if row else None for row in found]) for n in names], titles))
    if row := results.get("load-80"):
        keys = ("p50", "p90", "p99", "p99_9", "p99_99", "max")
        made.append(lines(
            folder / "latency.svg", "Latency, 1,000 subscribers at 80 % of Bun's capacity",
            "microseconds from the intended time, less is better",
            [key.replace("_", ".") for key in keys],
            [(n, titles[n], [middle(row, n, f"latency_{key}_us") for key in keys]) for n in row["figures"]], titles))
    for name, file, title, label in (
            ("fanout-1000-w1", "cpu-w1", "CPU of one delivery to 1,000, one message in flight", "nanoseconds, less is better"),
            ("fanout-1000-w64", "cpu-w64", "CPU of one delivery to 1,000, 64 in flight", "nanoseconds, less is better"),
            ("memory", "memory", "User memory of an idle connection", "bytes, less is better")):
        if row := results.get(name):
            made.append(bars(folder / f"{file}.svg", title, label,
                             [(n, middle(row, n)) for n in titles if n in row["figures"]], titles))
    return [path for path in made if path]
