"""Whether a folder holds a model that the local policy can think with, by a look at its files."""

import json
from pathlib import Path
from typing import Any


def why_no_model(folder: Path) -> str | None:
    """Return what a folder lacks to be a model of transformers, in one line; None when nothing."""
    if not folder.is_dir():
        return f"no folder {str(folder)!r}; paths are relative to the project file"
    if "model_type" not in _read(folder / "config.json"):
        return f"{str(folder)!r} is no model of transformers: no config.json that says model_type"
    if not any(folder.glob("*.safetensors")):
        return f"{str(folder)!r} has no weights as *.safetensors; other forms are not loaded"
    tokenizer = _read(folder / "tokenizer_config.json")
    templates = ("chat_template.jinja", "chat_template.json")
    if "chat_template" not in tokenizer and not any(
        (folder / name).is_file() for name in templates
    ):
        return f"{str(folder)!r} has no chat template; take a model that was taught to converse"
    return None


def _read(path: Path) -> dict[str, Any]:
    """Return a file's JSON object; an empty one when it has none."""
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
