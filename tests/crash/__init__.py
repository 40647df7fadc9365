"""Crashes of real processes with real boxes; the oracle that judges them judges simulations too."""
