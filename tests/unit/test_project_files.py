"""Package metadata and environment files: pyproject.toml, setup.cfg, setup.py, environment.yml, Pipfile and the like."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from pathlib import Path

import pytest
from packaging.requirements import Requirement as ParsedRequirement

from isohub.errors import HubconfError
from isohub.hubconf.poetry import requirement_text, standard_specifier
from isohub.hubconf.repository_files import read_repository_files
from isohub.hubconf.requirements import Declarations, Requirement, Strength


def read(folder: Path, **files: str) -> Declarations:
    """Read a repository with these files; of a name the last "_" is the dot before the suffix."""
    for name, content in files.items():
        stem, _, suffix = name.rpartition("_")
        (folder / f"{stem}.{suffix}").write_text(textwrap.dedent(content))
    return read_repository_files(folder)


def lines(items: Iterable[Requirement]) -> list[tuple[str, str]]:
    return [(item.text, item.origin) for item in items]


def pythons(found: Declarations) -> list[tuple[str, str, bool]]:
    return [(item.specifier, item.origin, item.strong) for item in found.pythons]


def test_a_repository_without_files_states_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, README_md="numpy") == Declarations()


# ---- pyproject.toml


def test_the_standard_s_project_table(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        pyproject_toml="""\
            [project]
            name = "x"
            requires-python = ">=3.8"
            classifiers = ["Programming Language :: Python :: 3", "Programming Language :: Python :: 3.8",
                           "Programming Language :: Python :: 3.10", "Programming Language :: Python :: 3.9"]
            dependencies = [
                "numpy>=1.20",  # why
                'six; python_version < "4"',
                "sklearn",
                "x @ https://example.com/x.whl",
            ]
            [project.optional-dependencies]
            onnx = ["onnxruntime>=1.16"]
            """,
    )
    assert lines(found.needs) == [
        ("numpy>=1.20", "pyproject.toml:7"),
        ('six; python_version < "4"', "pyproject.toml:8"),
        ("scikit-learn", "pyproject.toml:9"),
    ]
    assert {item.strength for item in found.needs} == {Strength.PACKAGE}
    assert lines(found.bounds) == [("onnxruntime>=1.16", "pyproject.toml:13")]
    assert {item.strength for item in found.bounds} == {Strength.ASIDE}
    assert found.pins == ()
    assert pythons(found) == [
        (">=3.8", "pyproject.toml:3", True),
        ("<3.11,>=3.8", "pyproject.toml:4", False),
    ]
    assert [(item.origin, item.reason) for item in found.unsupported] == [("pyproject.toml:10", "a URL")]


def test_poetry(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        pyproject_toml="""\
            [tool.poetry]
            classifiers = ["Programming Language :: Python :: 3.8"]
            [tool.poetry.dependencies]
            python = "^3.8"
            torch = "^1.9.0"
            timm = "*"
            onnx = {version = "^1.10", optional = true}
            transformers = {version = "~4.20", extras = ["torch", "vision"]}
            mine = {git = "https://example.com/mine.git"}
            dual = [{version = "1.0", markers = "python_version < '3.9'"}, {version = "2.0"}]
            [tool.poetry.group.dev.dependencies]
            black = "22.1"
            [tool.poetry.dev-dependencies]
            pytest = ">=6"
            """,
    )
    assert lines(found.needs) == [
        ("torch<2,>=1.9.0", "pyproject.toml:5"),
        ("timm", "pyproject.toml:6"),
        ("transformers[torch,vision]<4.21,>=4.20", "pyproject.toml:8"),
        ('dual==1.0; python_version < "3.9"', "pyproject.toml:10"),
        ("dual==2.0", "pyproject.toml:10"),
    ]
    assert lines(found.bounds) == [
        ("onnx<2,>=1.10", "pyproject.toml:7"),
        ("black==22.1", "pyproject.toml:12"),
        ("pytest>=6", "pyproject.toml:14"),
    ]
    assert pythons(found) == [
        ("<4,>=3.8", "pyproject.toml:4", True),
        ("<3.9,>=3.8", "pyproject.toml:2", False),
    ]
    assert [item.origin for item in found.unsupported] == ["pyproject.toml:9"]


@pytest.mark.parametrize(
    ("constraint", "specifier"),
    [
        ("*", ""),
        ("", ""),
        ("^1.2.3", "<2,>=1.2.3"),
        ("^1.2", "<2,>=1.2"),
        ("^1", "<2,>=1"),
        ("^0.2.3", "<0.3,>=0.2.3"),
        ("^0.0.3", "<0.0.4,>=0.0.3"),
        ("^0.0", "<0.1,>=0.0"),
        ("^0", "<1,>=0"),
        ("~1.2.3", "<1.3,>=1.2.3"),
        ("~1.2", "<1.3,>=1.2"),
        ("~1", "<2,>=1"),
        ("~=1.2", "~=1.2"),
        ("1.2.3", "==1.2.3"),
        ("1.2.*", "==1.2.*"),
        ("=1.2", "==1.2"),
        ("==1.2", "==1.2"),
        (">=1.2,<2", "<2,>=1.2"),
        (">= 1.2, < 2", "<2,>=1.2"),
        (">=1.2 <2", "<2,>=1.2"),
        ("!=1.3,^1.2", "!=1.3,<2,>=1.2"),
        ("^1.2 || ^2.0", ""),
        ("latest", ""),
    ],
)
def test_poetry_s_notation(constraint: str, specifier: str) -> None:
    assert standard_specifier(constraint) == specifier


@pytest.mark.parametrize("value", [{"git": "x"}, {"path": "../x"}, {"url": "x"}, 3, None, ["x"]])
def test_what_is_on_no_index(value: object) -> None:
    assert requirement_text("x", value) is None


def test_dependencies_in_a_file_of_their_own(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        pyproject_toml='[tool.setuptools.dynamic]\ndependencies = {file = ["requirements.txt"]}\n',
        requirements_txt="numpy>=1.20\n",
    )
    assert lines(found.needs) == [("numpy>=1.20", "requirements.txt:1")]
    assert found.needs[0].strength is Strength.PACKAGE


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[project]\ndependencies = 3\n",
        "[project]\ndependencies = [3, {}]\noptional-dependencies = []\nclassifiers = 'x'\n",
        "project = 3\ntool = []\n",
        "[tool.poetry]\ndependencies = []\ngroup = {dev = 3}\n",
        "[tool.setuptools]\ndynamic = 3\n",
    ],
)
def test_tables_of_the_wrong_kind_say_nothing(tmp_path: Path, content: str) -> None:
    assert read(tmp_path, pyproject_toml=content) == Declarations()


# ---- setup.cfg and setup.py


def test_setup_cfg(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        setup_cfg="""\
            [metadata]
            name = numpy
            description = 100% pure
            classifiers =
                Programming Language :: Python :: 3.7
            [options]
            python_requires = >=3.6
            install_requires =
                numpy>=1.20
                # a comment
                six
            [options.extras_require]
            test = pytest
            """,
    )
    assert lines(found.needs) == [("numpy>=1.20", "setup.cfg:9"), ("six", "setup.cfg:11")]
    assert pythons(found) == [(">=3.6", "setup.cfg:7", True), ("<3.8,>=3.7", "setup.cfg:4", False)]


def test_setup_cfg_that_names_a_file(tmp_path: Path) -> None:
    found = read(
        tmp_path, setup_cfg="[options]\ninstall_requires = file: requirements.txt\n", requirements_txt="six\n"
    )
    assert lines(found.needs) == [("six", "requirements.txt:1")]


SIX = [("six", "setup.py:{line}")]
FROM_FILE = [("numpy>=1.20", "requirements.txt:1"), ("six", "requirements.txt:2")]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("setup(install_requires=['six'])", [("six", "setup.py:1")]),
        ("setuptools.setup(name='x',\n install_requires=('six',))", [("six", "setup.py:2")]),
        ("reqs = [\n 'six',\n]\nsetup(install_requires=reqs)", [("six", "setup.py:2")]),
        ("reqs = ['six']\nreqs += ['numpy']\nsetup(install_requires=reqs)", [("six", "setup.py:1"), ("numpy", "setup.py:2")]),
        ("reqs = []\nreqs.append('six')\nsetup(install_requires=reqs)", [("six", "setup.py:2")]),
        ("a = ['six']\nsetup(install_requires=a + ['numpy'])", [("numpy", "setup.py:2"), ("six", "setup.py:1")]),
        ("a = ['six']\nsetup(install_requires=[*a])", [("six", "setup.py:1")]),
        ("setup(**{'install_requires': ['six']})", [("six", "setup.py:1")]),
        ("kw = dict(install_requires=['six'])\nsetup(**kw)", [("six", "setup.py:1")]),
        ("kw = {}\nkw['install_requires'] = ['six']\nsetup(**kw)", [("six", "setup.py:2")]),
        ("def main():\n setup(install_requires=['six'])\nmain()", [("six", "setup.py:2")]),
        ("if __name__ == '__main__':\n setup(install_requires=['six'])", [("six", "setup.py:2")]),
        ("setup(install_requires=['six'] if old else [])", [("six", "setup.py:1")]),
        ("setup(extras_require={'test': ['six']}, tests_require=['six'], setup_requires=['six'])", []),
        ("setup(install_requires=[make('six')])", []),
        ("setup(install_requires=unknown)", []),
        ("setup()", []),
        # what is read from a file
        ("setup(install_requires=open('requirements.txt').read().splitlines())", FROM_FILE),
        ("setup(install_requires=open('requirements.txt').readlines())", FROM_FILE),
        ("with open('requirements.txt') as f:\n reqs = f.read().splitlines()\nsetup(install_requires=reqs)", FROM_FILE),
        ("with open(join(here, 'requirements.txt')) as f:\n r = [l.strip() for l in f]\nsetup(install_requires=r)", FROM_FILE),
        ("r = parse_requirements('requirements.txt')\nsetup(install_requires=[str(x.req) for x in r])", FROM_FILE),
        ("def read():\n with open('requirements.txt') as f:\n  return f.readlines()\nsetup(install_requires=read())", FROM_FILE),
        ("def read(name):\n return open(name).readlines()\nsetup(install_requires=read('requirements.txt'))", FROM_FILE),
        ("setup(install_requires=(here / 'requirements.txt').read_text().split())", FROM_FILE),
        ("setup(install_requires=open('requirements/missing.txt').readlines())", []),
        ("setup(install_requires=open('../requirements.txt').readlines())", []),
    ],
)  # fmt: skip
def test_setup_py(tmp_path: Path, source: str, expected: list[tuple[str, str]]) -> None:
    found = read(tmp_path, setup_py=source, requirements_txt="numpy>=1.20\nsix\n")
    assert lines(found.needs) == expected


def test_what_else_setup_py_says(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        setup_py="""\
            setup(
                python_requires=">=3.6, <4",
                classifiers=["Programming Language :: Python :: 3.6", "Programming Language :: Python :: 2.7"],
                install_requires=["num py", "x @ git+https://example.com/x"],
            )
            """,
    )
    assert pythons(found) == [("<4,>=3.6", "setup.py:2", True), ("<3.7,>=3.6", "setup.py:3", False)]
    assert [(item.text, item.origin, item.reason) for item in found.unsupported] == [
        ("num py", "setup.py:4", "not a requirement"),
        ("x @ git+https://example.com/x", "setup.py:4", "a URL"),
    ]
    assert found.needs == ()


@pytest.mark.parametrize("source", ["print 'old'", "setup(", "x = '\0'"])
def test_a_setup_py_of_another_python_says_nothing(tmp_path: Path, source: str) -> None:
    found = read(tmp_path, setup_py=source)
    assert found.needs == ()
    assert [item.origin for item in found.unsupported] == ["setup.py"]


def test_a_setup_py_is_never_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    read(tmp_path, setup_py=f"open({str(mark)!r}, 'w')\nsetup(install_requires=[])")
    assert not mark.exists()


def test_python_among_the_requirements(tmp_path: Path) -> None:
    found = read(
        tmp_path, setup_py="setup(install_requires=['python>=3.6'])", requirements_txt="python==3.7\n"
    )
    assert (found.needs, found.pins) == ((), ())
    assert pythons(found) == [(">=3.6", "setup.py:1", True), ("==3.7", "requirements.txt:1", False)]


# ---- environment files


def test_environment_yml(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        environment_yml="""\
            name: x
            channels: [pytorch]
            dependencies:
              - _libgcc_mutex=0.1=main
              - python=3.7
              - pytorch::pytorch=1.7.1=py3.7_cuda10.1_0
              - torchvision 0.8.*
              - numpy>=1.16,<1.20
              - opencv
              - jpeg=9b=0
              - pip:
                - timm==0.4.5
                - git+https://example.com/x
                - -r requirements.txt
            """,
        requirements_txt="six\n",
    )
    assert lines(found.pins) == [
        ("six", "requirements.txt:1"),
        ("torch==1.7.1.*", "environment.yml:6"),
        ("torchvision==0.8.*", "environment.yml:7"),
        ("numpy<1.20,>=1.16", "environment.yml:8"),
        ("opencv-python", "environment.yml:9"),
        ("timm==0.4.5", "environment.yml:12"),
        ("six", "requirements.txt:1"),
    ]
    assert {item.strength for item in found.pins if "yml" in item.origin} == {Strength.MACHINE}
    assert pythons(found) == [("==3.7.*", "environment.yml:5", False)]
    assert [(item.origin, item.reason) for item in found.unsupported] == [
        ("environment.yml:4", "not a distribution"),
        ("environment.yml:10", "a version in conda's own notation"),
        ("environment.yml:13", "a URL"),
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("numpy", "numpy"),
        ("numpy=1.19", "numpy==1.19.*"),
        ("numpy=1.19.*", "numpy==1.19.*"),
        ("numpy==1.19", "numpy==1.19"),
        ("numpy==1.19.2=py37_0", "numpy==1.19.2"),
        ("numpy>=1.19", "numpy>=1.19"),
        ("numpy >=1.19, <2", "numpy<2,>=1.19"),
        ("numpy 1.19", "numpy==1.19.*"),
        ("numpy 1.19.2 py37_0", "numpy==1.19.2.*"),
        ("conda-forge::numpy", "numpy"),
        ("conda-forge/linux-64::numpy=1.19", "numpy==1.19.*"),
        ("numpy[version='>=1.19']", "numpy"),
        ("numpy=*", "numpy"),
        ("scikit-learn", "scikit-learn"),
        ("Pillow=7.0", "pillow==7.0.*"),
        ("pysoundfile=0.10", "soundfile==0.10.*"),
        ("pytorch-cpu=1.4", "torch==1.4.*"),
        ("ruamel_yaml", "ruamel-yaml"),
        ("ffmpeg=4.2", None),
        ("cudatoolkit=10.1|11.0", None),
        ("certifi=2020.6.20=pyhd3eb1b0_3", "certifi==2020.6.20.*"),
    ],
)
def test_conda_s_notation(tmp_path: Path, line: str, expected: str | None) -> None:
    found = read(tmp_path, environment_yaml=f"dependencies:\n  - {line}\n")
    assert [item.text for item in found.pins] == ([expected] if expected else [])


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "x",
        "dependencies:",
        "dependencies: x",
        "dependencies: {a: b}",
        "dependencies: [[a], {pip: x}, {pip: [[a], ' ']}]",
    ],
)
def test_environment_files_of_another_form_say_nothing(tmp_path: Path, content: str) -> None:
    assert read(tmp_path, environment_yml=content) == Declarations()


def test_nothing_is_made_of_an_environment_file(tmp_path: Path) -> None:
    bomb = "a: &a [x, x]\nb: &b [*a, *a]\n" + "".join(
        f"{c}: &{c} [*{p}, *{p}]\n" for p, c in zip("bcdefghijklmno", "cdefghijklmnop", strict=True)
    )
    found = read(
        tmp_path,
        environment_yml=bomb + "x: !!python/object/apply:os.system [exit]\ndependencies: [*p, six]\n",
    )
    assert [item.text for item in found.pins] == ["six"]


# ---- the rest


def test_pipfile(tmp_path: Path) -> None:
    (tmp_path / "Pipfile").write_text(
        '[packages]\ntorch = "==1.7"\nsix = "*"\nx = {git = "https://example.com/x"}\n'
        'tv = {version = ">=0.8", markers = "python_version < \'4\'"}\n[dev-packages]\npytest = "*"\n'
        '[requires]\npython_version = "3.7"\n'
    )
    found = read_repository_files(tmp_path)
    assert lines(found.pins) == [
        ("torch==1.7", "Pipfile:2"),
        ("six", "Pipfile:3"),
        ('tv>=0.8; python_version < "4"', "Pipfile:5"),
    ]
    assert lines(found.bounds) == [("pytest", "Pipfile:7")]
    assert pythons(found) == [("==3.7.*", "Pipfile:9", False)]
    assert {item.strength for item in found.pins} == {Strength.MACHINE}


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (".python-version", "3.8.5\n", [("==3.8.5.*", ".python-version:1", False)]),
        (
            ".python-version",
            "3.8\n3.9\n",
            [("==3.8.*", ".python-version:1", False), ("==3.9.*", ".python-version:2", False)],
        ),
        (".python-version", "my-env\n", []),
        ("runtime.txt", "python-3.7.9\n", [("==3.7.9.*", "runtime.txt:1", False)]),
    ],
)
def test_files_about_the_interpreter(
    tmp_path: Path, name: str, content: str, expected: list[tuple[str, str, bool]]
) -> None:
    (tmp_path / name).write_text(content)
    assert pythons(read_repository_files(tmp_path)) == expected


def test_what_links_out_of_the_repository_is_not_read(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    for name, content in {
        "pyproject.toml": '[project]\ndependencies = ["six"]\n',
        "setup.py": "setup(install_requires=['six'])",
        "environment.yml": "dependencies: [six]\n",
        "requirements.txt": "six\n",
    }.items():
        (tmp_path / name).write_text(content)
        (repo / name).symlink_to(tmp_path / name)
    assert read_repository_files(repo) == Declarations()


@pytest.mark.parametrize(
    ("name", "content", "message", "tail"),
    [
        ("pyproject.toml", "[project]\nname = \n", "pyproject.toml, line 2: not TOML", "name = \n       ^"),
        (
            "pyproject.toml",
            '[project]\ndependencies = [\n"num py"]\n',
            "pyproject.toml, line 3: not a requirement",
            "^",
        ),
        ("Pipfile", "[packages\n", "Pipfile, line 1: not TOML", "[packages\n         ^"),
        ("setup.cfg", "x = 1\n", "setup.cfg, line 1: cannot be read", "no section headers"),
        (
            "setup.cfg",
            "[options]\ninstall_requires =\n  a b c\n",
            "setup.cfg, line 3: not a requirement",
            "^",
        ),
        ("environment.yml", "dependencies:\n - [six\n", "environment.yml, line 3: not YAML", ""),
        ("environment.yml", "a: b: c\n", "environment.yml, line 1: not YAML", "a: b: c\n    ^"),
        (
            "environment.yml",
            "dependencies:\n- pip:\n  - a b c\n",
            "environment.yml, line 3: not a requirement",
            "^",
        ),
        ("requirements.txt", "six\nnum py\n", "requirements.txt, line 2: not a requirement", "^"),
    ],
)
def test_what_cannot_be_parsed(tmp_path: Path, name: str, content: str, message: str, tail: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(HubconfError) as caught:
        read_repository_files(tmp_path)
    assert caught.value.message == message
    assert tail in (caught.value.tail or "")


def test_every_misnomer_is_a_name() -> None:
    from isohub.hubconf.requirements import misnomers

    for kind in ("pip", "conda"):
        for name, meant in misnomers(kind).items():
            assert name != meant
            assert not meant or ParsedRequirement(meant).name == meant
