"""`monastery key`: the public key with which a home's checkpoints can be checked."""

import typer

from monastery.runtime.cli import output
from monastery.runtime.cli.home import HomeOption, open_store
from monastery.runtime.keys import HomeKey

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(epilog="Example: monastery key > somewhere/else/monastery.pub")
def key(home: HomeOption = None, json: output.JsonOption = False) -> None:
    """Print the public key that this home's checkpoints are signed with.

    Keep it elsewhere. With it, and with checkpoints kept elsewhere, anyone can show that a journal
    is the one that was written: monastery verify RUN --key FILE, or scripts/verify.py on an
    exported journal.
    """
    with open_store(home) as store:
        public = HomeKey.of(store.home).public
    if json:
        output.as_json({"name": public.name, "key": public.text})
    else:
        output.line(public.text)
