"""A sandbox for processes that run strangers' code, by bubblewrap: what they see, what they may write, and whom they reach.

What is not named is not there. A process sees the system's programs and libraries, some of ``/etc``, its interpreter, its
environment and what it is told to see, and writes none of that. It may write a ``/tmp`` and a home folder of its own, which end
with it, the caches of weights, and what it is told. It sees no process but its own and those it starts, holds no capabilities,
and reaches no network unless it may.

Where bubblewrap cannot be had, "bwrap" is an error; "auto" goes without, and says so in the log of each worker.
"""

from __future__ import annotations

import functools
import glob
import os
import shutil
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from isohub.config import Settings
from isohub.errors import ConfigError, SandboxError

__all__ = ["Sandbox", "bubblewrap", "end_inside", "sandbox_of"]

_ALONE = (
    *("--die-with-parent", "--cap-drop", "ALL"),
    *("--unshare-user-try", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
)
_NO_NETWORK = ("--unshare-net",)
_SYSTEM = "/usr /bin /sbin /lib /lib32 /lib64 /libx32 /nix/store /gnu/store /opt/rocm /opt/cuda /run/opengl-driver /sys".split()
# No keys, no passwords, and nothing that says how other programs are set up. Each of them costs a start some time.
_ETC = """
    alternatives fonts glvnd group hosts ld.so.cache localtime mime.types nsswitch.conf OpenCL os-release passwd vulkan
""".split()
_ETC_OF_NETWORKS = """
    crypto-policies gai.conf host.conf pki/ca-trust/extracted pki/tls/certs pki/tls/cert.pem protocols resolv.conf services
    ssl/cert.pem ssl/certs ssl/openssl.cnf
""".split()
_DEVICES = ("/dev/nvidia*", "/dev/dri", "/dev/kfd")
# Variables that name what such a process needs to read.
_READ = "SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE CUDA_HOME CUDA_PATH ROCM_HOME ROCM_PATH".split()
# Variables that name folders which are not there.
_ELSEWHERE = "TMP TEMP XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME XDG_RUNTIME_DIR".split()
# They may have passwords in them, and lead nowhere.
_PROXIES = "HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy https_proxy all_proxy".split()
_TRIAL_SECONDS = 20.0


@dataclass(frozen=True)
class Sandbox:
    """What a Hub was told.

    Attributes:
        program: bubblewrap; None if there is none and that is allowed.
        missing: why there is none.
        network: whether the network can be reached.
        readable: what can be read besides.
        writable: what can be written besides.
    """

    program: Path | None
    missing: str = ""
    network: bool = False
    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()

    def __str__(self) -> str:
        if self.program is None:
            return f"no sandbox: {self.missing}"
        network = "with" if self.network else "without"
        written = f", may write {', '.join(map(str, self.writable))}" if self.writable else ""
        return f"in a sandbox of {self.program}, {network} network{written}"

    def words(
        self,
        python: Path,
        environ: Mapping[str, str],
        *,
        readable: Iterable[Path | None] = (),
        writable: Iterable[Path] = (),
        hub_dir: Path | None = None,
        weights: bool = True,
    ) -> list[str]:
        """What goes before the words of a command, so that it runs in the sandbox; nothing where there is none.

        The process gets all file descriptors that bubblewrap gets. How it ends, `end_inside` tells.

        Args:
            python: the interpreter of an environment.
            environ: the process environment of the command.
            readable: what it must be able to read; None is nothing.
            writable: what it must be able to write.
            hub_dir: where torch keeps weights, if that is not torch's own choice.
            weights: whether the caches of weights are there.
        """
        if self.program is None:
            return []
        home = Path(environ.get("HOME") or "/home")
        hugging_face = _hugging_face(environ, home)
        places: dict[Path, tuple[str, ...]] = {}
        for path in (Path("/tmp"), home):
            if path != Path("/"):
                places[path] = ("--tmpfs",)
        for path in (
            *_system(self.network),
            *_named(environ),
            *_interpreter(python),
            *filter(None, readable),
        ):
            # Whatever names it, the home folder does not come in by accident.
            if not home.is_relative_to(path):
                _show(places, path, "--ro-bind")
        for path, how in _weights(environ, hugging_face, hub_dir) if weights else ():
            if path.is_dir():
                _show(places, path, how)
        for path in self.readable:
            _show(places, path, "--ro-bind")
        for path in (*writable, *self.writable):
            _show(places, path, "--bind")
        words = [str(self.program), *_ALONE, *(() if self.network else _NO_NETWORK), *_mounts(places)]
        words += ["--proc", "/proc", *_machine_switches(), "--dev", "/dev"]
        for device in (found for pattern in _DEVICES for found in glob.glob(pattern)):  # noqa: PTH207 - a pattern of files
            words += ["--dev-bind", device, device]
        words += ["--remount-ro", "/"]
        words += ["--setenv", "TMPDIR", "/tmp", "--setenv", "HF_HOME", str(hugging_face)]
        if torch := _torch(environ):
            words += ["--setenv", "TORCH_HOME", str(torch)]
        unset = [*_ELSEWHERE, *(() if self.network else _PROXIES)]
        return [*words, *(word for name in unset for word in ("--unsetenv", name)), "--"]


def sandbox_of(settings: Settings) -> Sandbox | None:
    """The sandbox that the settings ask for; None if they ask for none.

    Raises:
        SandboxError: they ask for bubblewrap, and it is not there or does not work here; or what they name is not there.
        ConfigError: they say what a sandbox may, and ask for none.
    """
    rest = (settings.network, settings.readable, settings.writable)
    if settings.sandbox is None:
        if any(rest):
            raise ConfigError(
                "network, readable and writable say what a sandbox lets through, and there is none",
                hint='sandbox="bwrap"',
            )
        return None
    for path in (*settings.readable, *settings.writable):
        if not path.exists():
            raise SandboxError(
                f"{path}, which a sandbox is to let through, is not there", hint="make it first"
            )
    program, reason = bubblewrap(network=settings.network)
    if program is None and settings.sandbox != "auto":
        raise SandboxError(
            f'sandbox="bwrap": {reason}',
            hint='install bubblewrap and let users make namespaces, or take sandbox="auto", which goes without',
        )
    return Sandbox(program, reason, *rest)


@functools.cache
def bubblewrap(*, network: bool = False) -> tuple[Path | None, str]:
    """The program if it is there and can do its work, else None and why not."""
    found = shutil.which("bwrap")
    if found is None:
        return None, "bubblewrap (bwrap) is not on PATH"
    program = Path(found).absolute()
    words = [str(program), *_ALONE, *(() if network else _NO_NETWORK), "--ro-bind", "/", "/"]
    try:
        done = subprocess.run(
            [*words, "--proc", "/proc", "--dev", "/dev", "--", "/bin/sh", "-c", ":"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TRIAL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, f"{program} does not run: {error}"
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip() or f"exit status {done.returncode}"
        return None, f"{program} cannot make a sandbox here: {said}"
    return program, ""


def end_inside(returncode: int) -> int:
    """How a process in a sandbox ended, from what bubblewrap ended with: its exit status, or minus the signal that killed it.

    Of a signal there is only the shell's way to say it, so a process that exits with such a status by itself is taken for killed.
    """
    return 128 - returncode if 128 < returncode < 128 + signal.NSIG else returncode


def _show(places: dict[Path, tuple[str, ...]], path: Path, how: str) -> None:
    """Have the path be there by its name, and by that of what it leads to."""
    real = Path(os.path.realpath(path))
    places[real] = (how, str(real))
    if real != path:
        places[Path(os.path.abspath(path))] = (how, str(real))  # noqa: PTH100 - links stay links


def _mounts(places: Mapping[Path, tuple[str, ...]]) -> Iterator[str]:
    """The words for the places: what is below comes after what it is in, and what is there by then is not mounted again."""
    done: dict[Path, tuple[str, ...]] = {}
    for path, operation in sorted(places.items(), key=lambda item: len(item[0].parts)):
        above = next((parent for parent in path.parents if parent in done), None)
        how, *source = operation
        if above is not None and done[above][0] != "--tmpfs":
            if source == [str(path)] and done[above] == (how, str(above)):
                continue
            if source != [str(path)]:
                continue  # the link is there, and what it leads to is mounted by its own name
        done[path] = operation
        if (
            how == "--ro-bind"
            and above is None
            and path.is_symlink()
            and Path(source[0]).is_relative_to("/usr")
        ):
            operation = ("--symlink", source[0])
        yield from (*operation, str(path))


def _system(network: bool) -> Iterator[Path]:
    names = (*_ETC, *(_ETC_OF_NETWORKS if network else ()))
    for path in (*map(Path, _SYSTEM), *(Path("/etc", name) for name in names)):
        if path.exists():
            yield path


def _machine_switches() -> Iterator[str]:
    """What in ``/proc`` is of the machine and not of a process. Root may write it without any capability, so there nobody may."""
    if os.geteuid() != 0:
        return
    for entry in os.scandir("/proc"):
        ours = entry.is_dir() or entry.stat().st_mode & 0o222
        if ours and not entry.name.isdigit() and not entry.is_symlink():
            yield from ("--ro-bind", entry.path, entry.path)


def _named(environ: Mapping[str, str]) -> Iterator[Path]:
    """What variables name that a process has to read."""
    lists = environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    for text in (*(environ.get(name, "") for name in _READ), *lists):
        if Path(text).is_absolute() and Path(text).exists():
            yield Path(text)


def _interpreter(python: Path) -> Iterator[Path]:
    """The environment of an interpreter, and what it was made from."""
    environment = python.parent.parent
    yield environment
    try:
        lines = (environment / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    told = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}
    yield from (Path(told[key]) for key in ("base-prefix", "base-exec-prefix") if told.get(key))
    # Each name on the way to it.
    while python.is_symlink():
        python = Path(os.path.normpath(python.parent / python.readlink()))
        yield python


def _hugging_face(environ: Mapping[str, str], home: Path) -> Path:
    cache = Path(environ.get("XDG_CACHE_HOME") or home / ".cache")
    return Path(environ.get("HF_HOME") or cache / "huggingface").absolute()


def _torch(environ: Mapping[str, str]) -> Path | None:
    return Path(environ["TORCH_HOME"]).absolute() if environ.get("TORCH_HOME") else None


def _weights(
    environ: Mapping[str, str], hugging_face: Path, hub_dir: Path | None
) -> Iterator[tuple[Path, str]]:
    """The caches of weights, made if need be, so that the first weights are kept like all others.

    torch.hub runs what lies beside the checkpoints, so that can only be read. Tokens lie beside Hugging Face's caches, so
    nothing but the caches is there.
    """

    def made(path: Path) -> Path:
        with suppress(OSError):
            path.mkdir(parents=True, exist_ok=True)
        return path

    torch = _torch(environ)
    if torch is not None:
        # A link that can be written could be made to lead elsewhere.
        yield made(torch), "--ro-bind" if (torch / "hub").is_symlink() else "--bind"
    for hub in (hub_dir, torch / "hub" if torch is not None else None):
        if hub is not None:
            yield made(hub), "--ro-bind"
            yield made(hub / "checkpoints"), "--bind"
    yield made(Path(environ.get("HF_HUB_CACHE") or hugging_face / "hub")), "--bind"
    for name in ("xet", "datasets"):
        yield hugging_face / name, "--bind"
