"""Compares sampler tables, on standard input, with probabilities of 80 digits."""

import json
import sys

from mpmath import mp, mpf

DIGITS = 80
# The recurrence upward loses as many as the table spans, twice.
LOST = 120


def skellam(variance, count):
    """P(|Z| = k) / 2 from k = 1 on, and P(Z = 0): exp(-v) I_k(v), by the recurrence upward from
    two values of mpmath's own."""
    mp.dps = DIGITS + LOST
    found = [mp.besseli(0, variance), mp.besseli(1, variance)]
    for k in range(1, count):
        found.append(found[k - 1] - 2 * k / variance * found[k])
    return [value * mp.exp(-variance) for value in found]


def discrete_gaussian(variance, count):
    """The same in proportion to exp(-k^2 / (2 v)), over twice as many values."""
    mp.dps = DIGITS
    found = [mp.exp(-mpf(k) ** 2 / (2 * variance)) for k in range(2 * count + 40)]
    total = found[0] + 2 * mp.fsum(found[1:])
    return [value / total for value in found]


LAWS = {"skellam": skellam, "discrete_gaussian": discrete_gaussian}


def thresholds(law, variance, count):
    """floor(2^127 P(|Z| <= k)) for k below count."""
    found = LAWS[law](variance, count)
    below, rows = mpf(0), []
    for k in range(count):
        below += found[k] if k == 0 else 2 * found[k]
        rows.append(int(mp.floor(2**127 * below)))
    return rows


def main():
    wrong, compared = 0, 0
    for table in json.load(sys.stdin):
        mp.dps = DIGITS + LOST
        variance = mpf(table["numerator"]) / table["denominator"] / table["parts"]
        found = [int(threshold, 16) for threshold in table["thresholds"]]
        compared += len(found)
        for k, expected in enumerate(thresholds(table["law"], variance, len(found))):
            if abs(found[k] - expected) > table["off_by_at_most"]:
                wrong += 1
                print(f"{table['law']} {variance}: threshold {k} is off by {found[k] - expected}")
    print(f"{compared} thresholds, {wrong} differ")
    return 1 if wrong or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
