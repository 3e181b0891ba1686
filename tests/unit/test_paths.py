from __future__ import annotations

import ast
from pathlib import Path

import pytest

from isohub.hubconf.paths import PathReader


def folders(root: Path, source: str, file: str = "hubconf.py") -> list[str]:
    for name in ("src/deep", "lib", "pkg"):
        (root / name).mkdir(parents=True, exist_ok=True)
    reader = PathReader(root)
    reader.read(ast.parse(source), root / file)
    return [path.relative_to(root).as_posix() for path in reader.folders]


@pytest.mark.parametrize(
    "edit",
    [
        "sys.path.append('src')",
        "sys.path.append('./src')",
        "sys.path.insert(0, 'src')",
        "sys.path.extend(['src'])",
        "sys.path += ['src']",
        "sys.path.append(os.path.join(os.path.dirname(__file__), 'src'))",
        "sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'src'))",
        "sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)) + '/src')",
        "sys.path.append(os.path.join(os.getcwd(), 'src'))",
        "sys.path.append(os.path.join(sys.path[0], 'src'))",
        "sys.path.append(str(Path(__file__).parent / 'src'))",
        "sys.path.append(str(Path(__file__).resolve().parent / 'src'))",
        "sys.path.append(str(Path(__file__).resolve().parents[0] / 'src'))",
        "sys.path.append((Path(__file__).parent / 'src').as_posix())",
        "sys.path.append(str(Path.cwd() / 'src'))",
        "sys.path.append(f'{os.path.dirname(__file__)}/src')",
        "here = os.path.dirname(__file__)\nsys.path.append(os.path.join(here, 'src'))",
        "ROOT = Path(__file__).parent\nSRC = ROOT / 'src'\nif str(SRC) not in sys.path:\n    sys.path.append(str(SRC))",
        "for name in ['src', 'nowhere']:\n    sys.path.append(name)",
        "for name in ('src',):\n    sys.path.append(os.path.join(os.path.dirname(__file__), name))",
        "def net():\n    sys.path.insert(0, 'src')",
        "site.addsitedir('src')",
    ],
)
def test_edits(tmp_path: Path, edit: str) -> None:
    assert folders(tmp_path, edit) == [".", "src"]


def test_a_file_in_a_folder(tmp_path: Path) -> None:
    source = "sys.path.append(os.path.join(os.path.dirname(__file__), '..', 'lib'))"
    assert folders(tmp_path, source, "pkg/setup_paths.py") == [".", "lib"]


@pytest.mark.parametrize(
    "edit",
    [
        "sys.path.append('nowhere')",
        "sys.path.append('/etc')",
        "sys.path.append('..')",
        "sys.path.append(os.path.join(os.path.dirname(__file__), '..'))",
        "sys.path.append(os.environ['HERE'])",
        "sys.path.append(unknown)",
        "sys.path.append(os.path.join(unknown, 'src'))",
        "sys.path.append('.')",
        "sys.path.append()",
        "sys.path.append(None)",
        "sys.path.append('src\\0')",
        "other.path.append('src')",
        "sys.path.remove('src')",
        "sys.path.append(str(Path(__file__).parents[99]))",
        "sys.path.append('" + "x" * 5000 + "')",
    ],
)
def test_what_leads_nowhere(tmp_path: Path, edit: str) -> None:
    assert folders(tmp_path, edit) == ["."]


def test_a_sum_of_thousands_of_parts(tmp_path: Path) -> None:
    value: ast.expr = ast.Constant("a")
    for _ in range(5000):
        value = ast.BinOp(value, ast.Add(), ast.Constant("b"))
    tree = ast.Module([ast.Assign([ast.Name("x", ast.Store())], value)], [])
    reader = PathReader(tmp_path)
    reader.read(tree, tmp_path / "hubconf.py")
    assert reader.folders == [tmp_path]


def test_each_folder_once_and_in_order(tmp_path: Path) -> None:
    assert folders(tmp_path, "sys.path += ['lib', 'src', 'lib']\nsys.path.append('src/deep')") == [
        ".",
        "lib",
        "src",
        "src/deep",
    ]
