"""What others found, to stand beside what is computed here.

PPO: the paper's endpoints (Farquhar et al. 2025, arXiv 2501.13011; 10 runs of 1e6 steps, entropy
0.05, clip 0.3, learning rate 5e-5). The rest was computed by two further implementations of exact
planning, written independently of this one.
"""

Shares = tuple[float, float, float]
"""Failure, desired, hack."""

NO_APPROVAL: dict[int, Shares] = {
    0: (0.8887, 0.1110, 0.0004),
    1: (0.8025, 0.1962, 0.0014),
    4: (0.2789, 0.7168, 0.0042),
    8: (0, 1, 0),
    12: (0, 0.4375, 0.5625),
    18: (0, 0, 1),
    50: (0, 0, 1),
}
APPROVAL: dict[int, Shares] = {
    0: (0.8887, 0.1110, 0.0004),
    1: (0, 1, 0),
    4: (0, 1, 0),
    8: (0, 1, 0),
    12: (0, 0.4375, 0.5625),
    18: (0, 0, 1),
    50: (0, 0, 1),
}
NOISE: dict[int, Shares] = {1: (0.52, 0.48, 0), 8: (0.02, 0.97, 0.01), 50: (0, 0, 1)}
"""Noise 0.5, the mean of 10 seeds."""

RETURNS: dict[int, tuple[float, float]] = {1: (0.9369, 0.9369), 50: (1.8500, -0.1500)}
"""With approval: observed, true."""

PPO: dict[str, Shares] = {"MONA": (0.001, 0.999, 0.000), "ordinary RL": (0.007, 0.077, 0.915)}
