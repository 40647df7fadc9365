"""Test-driven development made small: tests for a specification, then code that passes them."""
