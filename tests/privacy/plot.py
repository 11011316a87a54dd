"""Accuracy against epsilon as an SVG, with error bars."""

import math
import statistics

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 20, 50
COLOURS = ["#555555", "#0b6e99", "#d9730d"]


def chart(lines, without_noise):
    """`lines` are names with points (epsilon, accuracies); epsilon is drawn in logarithms."""
    values = [value for _, points in lines for _, found in points for value in found]
    low, high = 10 * math.floor(min(values) / 10), 100
    epsilons = [epsilon for epsilon, _ in lines[0][1]]

    def x(epsilon):
        place = math.log2(epsilon / epsilons[0]) / math.log2(epsilons[-1] / epsilons[0])
        return LEFT + 20 + place * (WIDTH - LEFT - RIGHT - 40)

    def y(accuracy):
        return HEIGHT - BOTTOM - (accuracy - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [*grid(low, high, epsilons, x, y), *ceiling(statistics.mean(without_noise), y)]
    for place, (name, points) in enumerate(lines):
        shift = 4 * (place - (len(lines) - 1) / 2)
        parts += series(name, place, [(x(at) + shift, found) for at, found in points], y)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def text(x, y, words, anchor="middle", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{words}</text>'


def line(x1, y1, x2, y2, style):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {style}/>'


def grid(low, high, epsilons, x, y):
    for accuracy in range(low, high + 1, 10):
        yield line(LEFT, y(accuracy), WIDTH - RIGHT, y(accuracy), 'stroke="#dddddd"')
        yield text(LEFT - 8, y(accuracy) + 4, accuracy, "end")
    for epsilon in epsilons:
        yield text(x(epsilon), HEIGHT - BOTTOM + 18, epsilon)
    yield text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, "ε after 30 rounds (δ = 1e-5)")
    yield text(16, HEIGHT / 2, "accuracy, %", "middle", f'transform="rotate(-90 16 {HEIGHT / 2})"')


def ceiling(accuracy, y):
    style = 'stroke="#555555" stroke-dasharray="2 4"'
    yield line(LEFT, y(accuracy), WIDTH - RIGHT, y(accuracy), style)
    yield text(LEFT + 6, y(accuracy) - 6, "clipped, without noise", "start", 'fill="#555555"')


def series(name, place, points, y):
    colour = COLOURS[place]
    means = [(x, statistics.mean(found)) for x, found in points]
    path = " ".join(f"{x:.1f},{y(mean):.1f}" for x, mean in means)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for (x, found), (_, mean) in zip(points, means):
        reach = statistics.pstdev(found)
        yield line(x, y(mean - reach), x, y(mean + reach), f'stroke="{colour}"')
        yield f'<circle cx="{x:.1f}" cy="{y(mean):.1f}" r="3" fill="{colour}"/>'
    row = HEIGHT - BOTTOM - 18 * (3 - place)
    yield line(WIDTH - 250, row, WIDTH - 226, row, f'stroke="{colour}" stroke-width="2"')
    yield text(WIDTH - 220, row + 4, name, "start")
