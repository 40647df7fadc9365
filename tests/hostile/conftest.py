"""Real boxes for hostile agents; see `tests.sandbox.conftest`, whose fixtures these are."""

from tests.sandbox.conftest import engine_api, image, make_sandbox, opened, program

__all__ = ["engine_api", "image", "make_sandbox", "opened", "program"]
