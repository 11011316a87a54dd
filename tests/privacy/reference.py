"""Compares what `dp_reference` prints, on standard input, with dp-accounting and with published
formulas: within 1e-3 of Rényi accounting, and never below a privacy loss distribution's epsilon.
"""

import json
import re
import sys

import accounting

TOLERANCE = 1e-3
# Beyond 2^16 nothing is counted.
LARGEST_CHARGE = 2**16


def of_row(name):
    """What epsilon of this name should be, and what it may not fall below."""
    *numbers, delta = [float(number) for number in re.findall(r"(?<=[A-Za-z_])\d[\d.e-]*", name)]
    if name.startswith("gauss_"):
        z, rounds = numbers
        return accounting.gaussian_epsilons(z, int(rounds), delta)
    if name.startswith("zcdp_"):
        return accounting.zcdp_epsilon(numbers[0], delta), 0.0
    honest, coordinates, units, sigma, rounds = numbers
    honest, coordinates, rounds = int(honest), int(coordinates), int(rounds)
    d2, d1 = accounting.sensitivity(units, coordinates)
    total = honest * sigma**2
    if name.startswith("skellam_"):
        def divergence(alpha):
            return accounting.skellam(alpha, d2, d1, total)
    else:
        def divergence(alpha):
            return accounting.discrete_gaussians(alpha, d2, d1, sigma, honest, coordinates)
    floor = accounting.gaussian_epsilons(total**0.5 / d2, rounds, delta)[1]
    return accounting.epsilon(divergence, rounds, delta), floor


def complaint(name, found):
    expected, floor = of_row(name)
    if found is None:
        return None if expected > LARGEST_CHARGE else f"{name} is null, {expected:.6f} expected"
    if abs(found / expected - 1) > TOLERANCE:
        return f"{name} is {found:.6f}, {expected:.6f} expected"
    if found < floor:
        return f"{name} is {found:.6f}, below {floor:.6f} of its privacy loss distribution"
    return None


def main():
    rows = json.load(sys.stdin)
    complaints = [text for text in (complaint(*row) for row in rows.items()) if text]
    for text in complaints:
        print(text)
    print(f"{len(rows)} rows, {len(complaints)} differ")
    return 1 if complaints or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
