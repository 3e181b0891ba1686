"""A recipe to start from: what was found out about a repository, as comments, and every key with an example."""

from __future__ import annotations

import json
from collections.abc import Iterable

from isohub.envs.plan import Plan
from isohub.envs.recipes import owner_and_name
from isohub.hubconf.requirements import Requirement
from isohub.sources.ref import is_commit_id
from isohub.sources.tree import Tree

__all__ = ["recipe_template"]

_TEMPLATE = """\
# A recipe for {repo}.
#
# It says what cannot be read from the repository, so leave out what isohub finds by itself, and say why each line is there.
# Check it with: isohub recipe check FILE {repo}

# A version of Python or a range of them.
{python}

# Installed as well. Already found:
{requirements}
requirements = []

# Bounds on what is installed; they replace those that the repository has on the same distributions. Already found:
{constraints}
constraints = []

# Not installed, whichever file of the repository asks for it.
# exclude = ["dataclasses"]
{notes}
# Python that runs before the hubconf is imported, in every worker.
# prelude = '''
# import collections.abc
# '''

# Python that `isohub recipe check` runs when the environment is built. It fails by raising.
# smoke = '''
# model = load("ENTRY_POINT", pretrained=False)
# '''

# Which repositories the recipe is for, and which refs of them; without a rule about refs all of them.
[match]
{match}

# Variables for the hubconf's process.
# [env]
# NAME = "value"

# What a distribution needs to be built from source, and does not say.
# [build.fastbpe]
# requires = ["cython"]

# What a value of an entry point's argument needs.
# [[kwargs]]
# name = "tokenizer"
# value = "moses"
# requires = ["sacremoses"]
"""


def recipe_template(tree: Tree, plan: Plan) -> str:
    """The text of a recipe that can be read as it stands, and changes nothing yet."""
    notes = "".join(f"{_comment(note)}\n" for note in plan.notes)
    return _TEMPLATE.format(
        repo=_one_line(tree.pin.repo),
        python=f"python = {json.dumps(plan.python)}" if plan.python else '# python = ">=3.8,<3.11"',
        requirements=_listed(plan.requirements),
        constraints=_listed(plan.constraints),
        notes=f"\n# What was read and is not used:\n{notes}" if notes else "",
        match="\n".join(_match(tree)),
    )


def _match(tree: Tree) -> Iterable[str]:
    pin = tree.pin
    if pin.source == "local":
        found = (path.parent.name for path in sorted(tree.path.glob("*/__init__.py")))
        yield f"files = {json.dumps(['hubconf.py', *(f'{name}/__init__.py' for name in list(found)[:2])])}"
        yield '# repositories = ["owner/name"]'
        return
    yield f"repositories = {json.dumps([owner_and_name(pin.repo)])}"
    ref = (pin.ref or "").removeprefix("refs/heads/").removeprefix("refs/tags/")
    named = ref if ref and not is_commit_id(ref) else "main"
    yield f"# refs = {json.dumps([named])}"
    yield f"# commits = {json.dumps([pin.commit])}"
    yield '# versions = ">=1.0,<2"\n# after = 2021-06-30\n# before = 2022-01-01'


def _listed(items: Iterable[Requirement]) -> str:
    origins: dict[str, list[str]] = {}
    for item in items:
        origins.setdefault(item.text, []).append(item.origin)
    return (
        "\n".join(_comment(f"  {text}  ({', '.join(found)})") for text, found in origins.items())
        or "#   nothing"
    )


def _comment(text: str) -> str:
    return f"# {_one_line(text)}"


def _one_line(text: str) -> str:
    # File names and lines of a stranger's, which could end the comment.
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
