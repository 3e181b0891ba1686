from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import InvalidRequirement

from isohub.errors import HubconfError
from isohub.hubconf.requirement_files import read_requirement_files
from isohub.hubconf.requirements import Declarations, Strength, parse_requirement


def read(folder: Path, text: str | bytes, **others: str) -> Declarations:
    data = text.encode() if isinstance(text, str) else text
    (folder / "requirements.txt").write_bytes(data)
    for name, content in others.items():
        path = folder / name.replace("__", "/").replace("_txt", ".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return read_requirement_files(folder)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("numpy", "numpy"),
        ("NumPy == 1.20.1", "numpy==1.20.1"),
        ("scikit_learn>=1,<2", "scikit-learn<2,>=1"),
        ("ruamel.yaml", "ruamel-yaml"),
        ("uvicorn[standard]>=0.1", "uvicorn[standard]>=0.1"),
        ("dataclasses ; python_version < '3.7'", 'dataclasses; python_version < "3.7"'),
        ("torch (>=1.7)", "torch>=1.7"),
        ("torch>=1.7.*", "torch>=1.7"),
        ("torch==1.7.*", "torch==1.7.*"),
        ("a @ https://example.com/a.whl", "a @ https://example.com/a.whl"),
    ],
)
def test_one_requirement(text: str, expected: str) -> None:
    assert parse_requirement(text, "here").text == expected


@pytest.mark.parametrize("text", ["", "numpy==", "num py", "==1", "a[", "numpy=1.0", "-r x"])
def test_what_is_no_requirement(text: str) -> None:
    with pytest.raises(InvalidRequirement):
        parse_requirement(text, "here")


def test_a_constraint_has_no_extras() -> None:
    bound = parse_requirement("uvicorn[standard]==0.1; sys_platform == 'linux'", "x:1").as_constraint
    assert (bound.name, bound.text, bound.origin) == (
        "uvicorn",
        'uvicorn==0.1; sys_platform == "linux"',
        "x:1",
    )


def test_no_file_requires_nothing(tmp_path: Path) -> None:
    assert read_requirement_files(tmp_path) == Declarations()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# a comment\n\nnumpy\nsix  # why\n", [("numpy", 3), ("six", 4)]),
        ("numpy\r\nsix\r\n", [("numpy", 1), ("six", 2)]),
        ("numpy \\\n  >=1.0\nsix", [("numpy>=1.0", 1), ("six", 3)]),
        ("numpy==1.0 --hash=sha256:00 --hash=sha256:11", [("numpy==1.0", 1)]),
        (
            "numpy==1.0 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\nsix",
            [("numpy==1.0", 1), ("six", 4)],
        ),
        ("six --global-option x", [("six", 1)]),
        ("six \\", [("six", 1)]),
        ("", []),
    ],
)
def test_lines(tmp_path: Path, text: str, expected: list[tuple[str, int]]) -> None:
    found = read(tmp_path, text)
    assert [(item.text, item.origin) for item in found.pins] == [
        (text, f"requirements.txt:{line}") for text, line in expected
    ]
    assert found.unsupported == ()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    found = read(tmp_path, "numpy # é\n".encode(encoding))
    assert [item.text for item in found.pins] == ["numpy"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("-e .", "an editable install"),
        ("--editable git+https://example.com/x#egg=x", "an editable install"),
        ("-i https://example.com/simple", "an option of pip's"),
        ("--extra-index-url https://example.com/simple", "an option of pip's"),
        ("-f https://example.com/wheels.html", "an option of pip's"),
        ("--no-binary :all:", "an option of pip's"),
        ("git+https://example.com/x.git@main", "a URL"),
        ("https://example.com/x-1.0.zip", "a URL"),
        ("x @ git+https://example.com/x.git", "a URL"),
        ("-r https://example.com/requirements.txt", "a URL"),
        ("./local", "a path"),
        ("/opt/x", "a path"),
        ("~/x", "a path"),
        ("wheels/x-1.0-py3-none-any.whl", "a path"),
        ("${TOKEN}", "an environment variable"),
        ("x==${VERSION}", "an environment variable"),
        ("-r ../outside.txt", "leads out of the repository"),
        ("-r /etc/passwd", "leads out of the repository"),
    ],
)
def test_what_a_stranger_cannot_ask_for_is_kept_but_not_used(tmp_path: Path, line: str, reason: str) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    (tmp_path / "outside.txt").write_text("evil\n")
    found = read(repo, f"six\n{line}\n")
    assert [item.text for item in found.pins] == ["six"]
    assert [(item.text, item.origin, item.reason) for item in found.unsupported] == [
        (line, "requirements.txt:2", reason)
    ]


@pytest.mark.parametrize(
    "form", ["-r more.txt", "-rmore.txt", "--requirement more.txt", "--requirement=more.txt"]
)
def test_includes(tmp_path: Path, form: str) -> None:
    found = read(tmp_path, f"six\n{form}\n", more_txt="numpy\n")
    assert [(item.text, item.origin) for item in found.pins] == [
        ("six", "requirements.txt:1"),
        ("numpy", "more.txt:1"),
    ]


def test_includes_are_relative_to_the_file_that_includes(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "-r sub/a.txt\n",
        sub__a_txt="-r b.txt\n-c ../c.txt\n",
        sub__b_txt="six\n",
        c_txt="numpy<2\n",
    )
    assert [item.origin for item in found.pins] == ["sub/b.txt:1"]
    assert [(item.text, item.origin) for item in found.bounds] == [("numpy<2", "c.txt:1")]


def test_what_a_constraint_file_includes_constrains(tmp_path: Path) -> None:
    found = read(tmp_path, "-c a.txt\n", a_txt="-r b.txt\n", b_txt="six\n")
    assert found.pins == ()
    assert [item.text for item in found.bounds] == ["six"]


def test_files_that_include_each_other(tmp_path: Path) -> None:
    found = read(tmp_path, "-r a.txt\nsix\n", a_txt="-r requirements.txt\nnumpy\n")
    assert [item.text for item in found.pins] == ["numpy", "six"]


def test_a_link_out_of_the_repository(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    (tmp_path / "secret.txt").write_text("six\n")
    (repo / "link.txt").symlink_to(tmp_path / "secret.txt")
    assert [item.reason for item in read(repo, "-r link.txt\n").unsupported] == [
        "leads out of the repository"
    ]


@pytest.mark.parametrize(
    ("text", "message", "tail"),
    [
        ("six\nnumpy==\n", "requirements.txt, line 2: not a requirement", "^"),
        ("six\n\nnum py\n", "requirements.txt, line 3: not a requirement", "num py"),
        ("-r missing.txt\n", "requirements.txt, line 1: there is no file missing.txt", "-r missing.txt"),
        ("-r bad.txt\n", "bad.txt, line 1: not a requirement", "^"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, text: str, message: str, tail: str) -> None:
    with pytest.raises(HubconfError) as caught:
        read(tmp_path, text, bad_txt="a b c\n")
    assert message in caught.value.message
    assert tail in (caught.value.tail or "")


def test_not_text(tmp_path: Path) -> None:
    with pytest.raises(HubconfError, match=r"requirements\.txt, line 2: not valid utf-8"):
        read(tmp_path, b"six\n\xff\xff\n")


def test_an_absurd_size(tmp_path: Path) -> None:
    with pytest.raises(HubconfError, match="larger than 1 MiB"):
        read(tmp_path, b"#" * (1024 * 1024 + 1))


def test_long_lines_take_no_time(tmp_path: Path) -> None:
    assert read(tmp_path, "six" + " " * 900_000).pins[0].text == "six"


def test_a_chain_of_many_files(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"{number}.txt").write_text(f"-r {number + 1}.txt\n")
    with pytest.raises(HubconfError, match="more than 100 requirement files"):
        read(tmp_path, "-r 0.txt\n")


def test_what_two_files_have_in_common_counts_once(tmp_path: Path) -> None:
    found = read(tmp_path, "-r requirements/base.txt\n", requirements__base_txt="six\n")
    assert [item.origin for item in found.pins] == ["requirements/base.txt:1"]


@pytest.mark.parametrize(
    ("name", "kind", "strength"),
    [
        ("requirements.txt", "pins", Strength.FILE),
        ("requirements_hub.txt", "pins", Strength.FILE),
        ("pip-requirements.txt", "pins", Strength.FILE),
        ("requirements/base.txt", "pins", Strength.FILE),
        ("requirements-dev.txt", "bounds", Strength.ASIDE),
        ("requirements_test.txt", "bounds", Strength.ASIDE),
        ("test-requirements.txt", "bounds", Strength.ASIDE),
        ("requirements.docs.txt", "bounds", Strength.ASIDE),
        ("requirements/train.txt", "bounds", Strength.ASIDE),
        ("docs/requirements.txt", None, None),
        ("notes.txt", None, None),
    ],
)
def test_which_files_count(tmp_path: Path, name: str, kind: str | None, strength: Strength | None) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("six==1.0\n")
    found = read_requirement_files(tmp_path)
    items = {"pins": found.pins, "bounds": found.bounds}
    assert {
        key: [(item.origin, item.strength) for item in value] for key, value in items.items() if value
    } == ({kind: [(f"{name}:1", strength)]} if kind else {})


def test_of_several_files_in_a_folder_one_is_for_everybody(tmp_path: Path) -> None:
    (tmp_path / "requirements").mkdir()
    for name in ("core", "tune", "constraints"):
        (tmp_path / "requirements" / f"{name}.txt").write_text(f"{name}==1\n")
    found = read_requirement_files(tmp_path)
    assert [item.name for item in found.pins] == ["core"]
    assert {(item.name, item.strength) for item in found.bounds} == {
        ("tune", Strength.ASIDE),
        ("constraints", Strength.FILE),
    }


def test_what_is_wrong_in_a_file_for_development_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("six\n")
    (tmp_path / "requirements_dev.txt").write_text("a b c\n")
    found = read_requirement_files(tmp_path)
    assert [item.text for item in found.pins] == ["six"]
    assert [item.origin for item in found.unsupported] == ["requirements_dev.txt"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("torch==1.7.1+cu110", "torch==1.7.1"),
        ("torch == 1.7.1+cu110 ; python_version > '3'", 'torch==1.7.1; python_version > "3"'),
        ("sklearn==0.0", "scikit-learn"),
        ("pytorch", "torch"),
        ("numpy=1.19.2=py37h54aff64_0", "numpy==1.19.2.*"),
        ("pytorch=1.7.1=py3.7_cuda10.1.243_cudnn7.6.3_0", "torch==1.7.1.*"),
    ],
)
def test_what_people_write(tmp_path: Path, line: str, expected: str) -> None:
    assert [item.text for item in read(tmp_path, f"{line}\n").pins] == [expected]
