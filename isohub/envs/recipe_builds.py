"""What a recipe says about builds, in uv's words. uv's ``pip`` commands take it from a settings file alone, so one is written."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from isohub.envs.recipes import Build, Recipe
from isohub.envs.uv import Uv

__all__ = ["build_settings", "with_builds"]


def build_settings(builds: Sequence[Build]) -> str:
    """The part of a ``uv.toml`` that says it."""
    requires = [f"{item.name} = {json.dumps(item.requires)}\n" for item in builds if item.requires]
    env = [f"{item.name} = {{ {_inline(item.env)} }}\n" for item in builds if item.env]
    return "".join(
        f"[{table}]\n{''.join(lines)}"
        for table, lines in (("extra-build-dependencies", requires), ("extra-build-variables", env))
        if lines
    )


def with_builds(uv: Uv, recipe: Recipe | None) -> Uv:
    """uv, told how to build what the recipe names; what the user tells it elsewhere holds as well.

    Raises:
        OSError: the settings cannot be written.
    """
    text = build_settings(recipe.builds if recipe else ())
    if not text:
        return uv
    environ = dict(uv.settings.environ)
    named = environ.get("UV_CONFIG_FILE")
    if named:
        # uv reads no other settings file when one is named, so it has to be in there.
        text = f"{Path(named).read_text(encoding='utf-8')}\n{text}"
    folder = uv.folder / "builds" / hashlib.sha256(text.encode()).hexdigest()[:24]
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{os.urandom(8).hex()}.partial"
    partial.write_text(text, encoding="utf-8")
    partial.replace(folder / "uv.toml")
    if named:
        environ["UV_CONFIG_FILE"] = str(folder / "uv.toml")
    return replace(uv, folder=folder, settings=replace(uv.settings, environ=environ))


def _inline(env: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{name} = {json.dumps(value)}" for name, value in env)
