"""The box image, which the peers' suites use too."""

from tests.sandbox.conftest import engine_api, image

__all__ = ["engine_api", "image"]
