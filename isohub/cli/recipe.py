"""``isohub recipe``: a recipe to start from, and whether one is good."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from isohub.cli.hub import open_hub, source_of, trust_of
from isohub.cli.output import note, show, show_json
from isohub.errors import ConfigError

if TYPE_CHECKING:
    from isohub.envs.recipes import Recipe

__all__ = ["check", "check_options", "new", "new_options"]


def new_options() -> argparse.ArgumentParser:
    """Where the new recipe goes."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="a new file for it, instead of stdout"
    )
    return parser


def check_options() -> argparse.ArgumentParser:
    """Which recipe is checked, and on which repository."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("file", type=Path, metavar="FILE", help="the recipe")
    parser.add_argument(
        "repo",
        nargs="?",
        metavar="REPO",
        help="what it is tried on; by default the first that its [match] names",
    )
    return parser


def new(args: argparse.Namespace) -> int:
    """``isohub recipe new REPO``: a commented starting point, with what was found in the repository."""
    from isohub.envs.plan import read_plan
    from isohub.envs.recipe_template import recipe_template
    from isohub.envs.request import EnvironmentRequest

    if args.output is not None and args.output.exists():
        raise ConfigError(f"{args.output} exists", hint="name another file, or remove that one")
    with open_hub(args) as hub:
        tree = hub.tree(args.repo, source=source_of(args), trust_repo=trust_of(args), verbose=not args.quiet)
    text = recipe_template(tree, read_plan(tree.path, EnvironmentRequest(), tree.pin.repo))
    if args.output is None:
        show(text.rstrip("\n"))
        return 0
    args.output.write_text(text, encoding="utf-8")
    if args.json:
        show_json({"recipe": str(args.output), "repo": tree.pin.repo, "commit": tree.pin.commit})
    else:
        note(
            f"wrote {args.output}; when it says what is needed: isohub recipe check {args.output}",
            quiet=args.quiet,
        )
    return 0


def check(args: argparse.Namespace) -> int:
    """``isohub recipe check FILE [REPO]``: read it, build an environment by it, and run its smoke check there."""
    from isohub.envs.recipe_reader import read_recipe

    recipe = read_recipe(args.file)
    args.repo = args.repo or _first_match(recipe)
    if args.repo is None:
        note(f"{args.file} can be read; name a repository to build by it", quiet=args.quiet)
        key, smoke = None, None
    else:
        key, smoke = _build(args, recipe)
    if args.json:
        show_json(
            {"recipe": str(args.file), "repo": args.repo, "environment": key, "smoke_check_passed": smoke}
        )
    return 0


def _build(args: argparse.Namespace, recipe: Recipe) -> tuple[str, bool | None]:
    from isohub.envs.buildlog import BuildLog
    from isohub.envs.smoke import run_smoke_check
    from isohub.sandbox import sandbox_of

    with open_hub(args, recipe=args.file) as hub:
        source, trust, verbose = source_of(args), trust_of(args), not args.quiet
        tree = hub.tree(args.repo, source=source, trust_repo=trust, verbose=verbose)
        if recipe.match.rank(tree) is None:
            note(
                f"warning: [match] does not mean {args.repo}, which gets this recipe only by isohub.Hub(recipe=)",
                quiet=args.quiet,
            )
        environment = hub.environment(args.repo, source=source, trust_repo=trust, verbose=verbose)
        key = environment.manifest.key
        note(f"built {key}, with {len(environment.entry_points)} entry points", quiet=args.quiet)
        if not recipe.smoke:
            note("the recipe has no smoke check", quiet=args.quiet)
            return key, None
        log = BuildLog(hub.settings.home / "logs" / f"smoke-{key}.log")
        log.discard()
        run_smoke_check(environment, recipe, log, sandbox=sandbox_of(hub.settings))
        note(f"the smoke check passed; it printed what is in {log.path}", quiet=args.quiet)
    return key, True


def _first_match(recipe: Recipe) -> str | None:
    match = recipe.match
    if not match.repositories:
        return None
    refs = [*match.refs, *(commit for commit in match.commits if len(commit) >= 40)]
    return ":".join([match.repositories[0], *refs[:1]])
