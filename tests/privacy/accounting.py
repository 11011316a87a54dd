"""Differential-privacy accounting a second time: published formulas, and dp-accounting's curves.

Rényi divergences of a round are functions of the order alpha; `epsilon` turns a sum of them into
(epsilon, delta) with dp-accounting's own conversion.
"""

import math

import dp_accounting
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant, compute_epsilon

INTEGERS = [*range(2, 257), 320, 384, 448, 512, 640, 768, 1024, 1536, 2048, 3072, 4096, 8192]
# Dense where the optimum of a large rho lies: a coarse grid alone costs 2e-3.
REALS = [1 + 1.02**step for step in range(-250, 450)]


def gaussian_epsilons(z, rounds, delta):
    """Epsilon of Gaussian rounds: by Rényi divergences, and by privacy loss distributions."""
    rounds = dp_accounting.SelfComposedDpEvent(dp_accounting.GaussianDpEvent(z), rounds)
    renyi = RdpAccountant(REALS)
    renyi.compose(rounds)
    loss = PLDAccountant(value_discretization_interval=1e-4)
    loss.compose(rounds)
    return renyi.get_epsilon(delta), loss.get_epsilon(delta)


def zcdp_epsilon(rho, delta):
    accountant = RdpAccountant(REALS)
    accountant.compose(dp_accounting.ZCDpEvent(rho))
    return accountant.get_epsilon(delta)


def sensitivity(units, coordinates):
    """D2 and D1 of stochastic rounding with beta = exp(-1/2) (Kairouz, Liu, Steinke, theorem 1);
    vectors of norm 1 are histograms, which nothing rounds."""
    if units == 1:
        return 1.0, 1.0
    always = units + math.sqrt(coordinates)
    likely = math.sqrt(units**2 + coordinates / 4 + units + math.sqrt(coordinates) / 2)
    d2 = min(always, likely)
    return d2, min(math.sqrt(coordinates) * d2, d2**2)


def skellam(alpha, d2, d1, total):
    """Agarwal, Kairouz, Liu: Skellam noise of variance `total`, integer orders."""
    excess = min(((2 * alpha - 1) * d2**2 + 6 * d1) / (4 * total**2), 3 * d1 / (2 * total))
    return alpha * d2**2 / (2 * total) + excess


def discrete_gaussians(alpha, d2, d1, sigma, honest, coordinates):
    """Kairouz, Liu, Steinke: the sum of `honest` discrete Gaussians."""
    tau = 10 * sum(math.exp(-2 * (math.pi * sigma) ** 2 * k / (k + 1)) for k in range(1, honest))
    l2, l1 = d2 / (math.sqrt(honest) * sigma), d1 / (math.sqrt(honest) * sigma)
    return min(
        alpha / 2 * l2**2 + tau * coordinates,
        alpha / 2 * (l2**2 + 2 * l1 * tau + tau**2 * coordinates),
        alpha / 2 * (l2 + math.sqrt(coordinates) * tau) ** 2,
    )


def epsilon(divergence, rounds, delta):
    found, _ = compute_epsilon(INTEGERS, [rounds * divergence(alpha) for alpha in INTEGERS], delta)
    return found
