"""Two branches of one repository, side by side in one program, which has no torch itself.

Both branches own a package called ``models`` and each pins another numpy, so no one process could hold the two. Run it with
``make demo``, or in any environment that has ``isohub[images]``::

    python examples/side_by_side.py --repository out/side_by_side.git --picture demo.png
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.table import Table

import isohub

SOURCES = Path(__file__).with_suffix("")
BRANCHES = {"main": SOURCES / "main", "dev/next": SOURCES / "dev-next"}
# One torch for both, so that what differs in the picture is the branches' own doing.
CONSTRAINTS = ["torch==2.13.0"]
SIDE = 400

Array = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class Painting:
    """What one branch made of the grid, and what it ran on."""

    ref: str
    about: dict[str, Any]
    colours: Array

    @property
    def result(self) -> str:
        return f"{self.colours.mean():.4f} ± {self.colours.std():.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Two branches of one repository, side by side.")
    parser.add_argument("--repository", type=Path, default=Path("out/side_by_side.git"))
    parser.add_argument("--picture", type=Path, default=Path("demo.png"))
    arguments = parser.parse_args()

    make_repository(arguments.repository)
    url = arguments.repository.absolute().as_uri()
    points = grid(SIDE)
    with isohub.Hub(constraints=CONSTRAINTS) as hub:
        paintings = [paint(hub, url, ref, points) for ref in BRANCHES]
    print_table(paintings)
    draw(paintings, arguments.picture)
    print(f"The picture that compares them: {arguments.picture}")


def paint(hub: isohub.Hub, url: str, ref: str, points: Array) -> Painting:
    """Load the branch `ref` and have it paint; its worker stays until the Hub ends."""
    repository = f"{url}@{ref}"
    about = hub.load(repository, "about", source="git", trust_repo=True)
    painter = hub.load(repository, "painter", source="git", trust_repo=True)
    return Painting(ref, about, painter(points).reshape(SIDE, SIDE, 3))


def grid(side: int) -> Array:
    """The points of a square around the origin, row by row."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)


# ---- the repository


def make_repository(path: Path) -> None:
    """Make a bare repository with one commit a branch; equal sources make equal commits, whose environments are kept."""
    path.mkdir(parents=True, exist_ok=True)
    git(path, "init", "--quiet", "--bare", "--template=")
    git(path, "symbolic-ref", "HEAD", "refs/heads/main")
    for branch, folder in BRANCHES.items():
        with tempfile.TemporaryDirectory() as scratch:
            index = {"GIT_WORK_TREE": str(folder), "GIT_INDEX_FILE": str(Path(scratch, "index"))}
            git(path, "add", "--all", **index)
            tree = git(path, "write-tree", **index)
        commit = git(path, "commit-tree", tree, "-m", f"What {branch} is")
        git(path, "update-ref", f"refs/heads/{branch}", commit)


def git(repository: Path, *arguments: str, **variables: str) -> str:
    """Run git in `repository`, whatever this machine's and its user's configuration says."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environ |= {"GIT_DIR": str(repository.absolute()), **variables}
    environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    for role in ("AUTHOR", "COMMITTER"):
        environ[f"GIT_{role}_NAME"] = "isohub"
        environ[f"GIT_{role}_EMAIL"] = "isohub@example.com"
        environ[f"GIT_{role}_DATE"] = "2025-01-01T00:00:00Z"
    folder = variables.get("GIT_WORK_TREE")
    output = subprocess.check_output(["git", *arguments], env=environ, cwd=folder, text=True, timeout=60)
    return output.strip()


# ---- what a person sees


def print_table(paintings: list[Painting]) -> None:
    """One row for each branch, and one for this program."""
    table = Table("ref", "Python", "torch", "numpy", "worker pid", "result")
    for item in paintings:
        versions = (item.about[name] for name in ("python", "torch", "numpy"))
        table.add_row(item.ref, *versions, str(item.about["pid"]), item.result)
    table.add_section()
    torch = "installed" if importlib.util.find_spec("torch") else "none"
    table.add_row("this program", platform.python_version(), torch, np.__version__, "", "")
    Console().print(table)


def draw(paintings: list[Painting], path: Path) -> None:
    """The two paintings and how far they are apart, each with what made it."""
    ink, grey, margin, head = "#1b1f24", "#6a737d", 36, 112
    first, second = paintings
    apart = np.abs(first.colours - second.colours)
    panels = [
        *((item.colours, f"@{item.ref}", _made_by(item)) for item in paintings),
        (
            apart,
            "how far apart",
            [f"mean difference {apart.mean():.4f}", f"largest {apart.max():.4f}", "0 would be black"],
        ),
    ]
    size = (margin + len(panels) * (SIDE + margin), head + SIDE + 150)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((margin, 30), "One repository, two branches, one program", ink, _font(30))
    pen.text(
        (margin, 72),
        "Same points, same seed. Each branch has its own package called models, its own numpy, its own process.",
        grey,
        _font(18),
    )
    for index, (colours, title, lines) in enumerate(panels):
        left = margin + index * (SIDE + margin)
        sheet.paste(Image.fromarray((colours * 255).round().astype(np.uint8)), (left, head))
        pen.text((left, head + SIDE + 14), title, ink, _font(24))
        for row, line in enumerate(lines):
            pen.text((left, head + SIDE + 52 + 26 * row), line, grey, _font(18))
    sheet.save(path)


def _made_by(painting: Painting) -> list[str]:
    about = painting.about
    return [
        f"torch {about['torch']}, numpy {about['numpy']}",
        f"Python {about['python']}, worker {about['pid']}",
        f"mean colour {painting.result}",
    ]


def _font(size: int) -> Any:
    return ImageFont.load_default(size)


if __name__ == "__main__":
    main()
