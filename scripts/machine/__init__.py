"""Make a machine ready for Monastery. Standard library only: it runs before all else is there."""
