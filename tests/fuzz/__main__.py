"""Fuzzes, guided by coverage (atheris, libFuzzer). `scripts/fuzz` sets it up and reports.

Arguments are libFuzzer's: ``python -m tests.fuzz -runs=1000 CORPUS_FOLDER``.
"""

import sys

import atheris

with atheris.instrument_imports(
    include=[
        "monastery.sandbox.wire",
        "monastery.sandbox.link",
        "monastery.sandbox.stream",
        "monastery.sandbox.transcript",
        "tests.fuzz.guest",
    ]
):
    from tests.fuzz.play import play

if __name__ == "__main__":
    atheris.Setup(sys.argv, play)
    atheris.Fuzz()
