"""The real loop in a simulated world: virtual days, a seeded scheduler, and death at any await."""
