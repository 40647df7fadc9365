"""`monastery schema`: the JSON schema of project files, for editors."""

import typer

from monastery.runtime.cli.output import as_json

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(epilog="Example: monastery schema > project.schema.json")
def schema() -> None:
    """Print the JSON schema of project files.

    Editors check a project file against it as you write: put `# yaml-language-server:
    $schema=project.schema.json` on the file's first line.
    """
    from monastery.runtime.project_file import schema as project_schema

    as_json(project_schema())
