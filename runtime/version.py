"""The version of this program, as its records name it."""

from importlib.metadata import version

VERSION = version("monastery")
"""As in pyproject.toml, e.g. ``0.1.0``."""
