"""The auditor's box: runs the tests of a proposal and says what came of it, over and over.

It asks for work as an agent asks its model; each answer is the files to run.
"""

from pathlib import Path

from monastery_box import model
from suite import Suite


def main() -> None:
    """Work."""
    suite = Suite(Path("suite"))
    told: dict = {}
    while True:
        files = model({"told": told})["files"]
        for name, content in files.items():
            suite.write(name, content)
        told = suite.run()


if __name__ == "__main__":
    main()
