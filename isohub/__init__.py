"""torch.hub's API, with every repository at every commit in an environment and a process of its own.

The names are imported when they are first used: importing isohub costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isohub.default import help, list, load
    from isohub.download import download_url_to_file
    from isohub.errors import (
        BuildError,
        CallTimeout,
        ConfigError,
        EntryPointNotFound,
        FetchError,
        ForeignObject,
        GpuNotFound,
        HubClosed,
        HubconfError,
        IsohubError,
        OfflineError,
        ProtocolError,
        PythonNotFound,
        RefError,
        RemoteError,
        RepoNotFound,
        ResolveError,
        SandboxError,
        StaleObject,
        UnsupportedValue,
        UntrustedRepo,
        WorkerDied,
    )
    from isohub.hub import Hub
    from isohub.rpc.aio import acall
    from isohub.rpc.arguments import as_tensor
    from isohub.rpc.options import options
    from isohub.rpc.proxy import RemoteObject, submit
    from isohub.supervise.census import WorkerInfo, workers
    from isohub.weights import get_dir, load_state_dict_from_url, set_dir
    from isohub_worker.records import Record

__all__ = [
    "BuildError",
    "CallTimeout",
    "ConfigError",
    "EntryPointNotFound",
    "FetchError",
    "ForeignObject",
    "GpuNotFound",
    "Hub",
    "HubClosed",
    "HubconfError",
    "IsohubError",
    "OfflineError",
    "ProtocolError",
    "PythonNotFound",
    "Record",
    "RefError",
    "RemoteError",
    "RemoteObject",
    "RepoNotFound",
    "ResolveError",
    "SandboxError",
    "StaleObject",
    "UnsupportedValue",
    "UntrustedRepo",
    "WorkerDied",
    "WorkerInfo",
    "acall",
    "as_tensor",
    "download_url_to_file",
    "get_dir",
    "help",
    "list",
    "load",
    "load_state_dict_from_url",
    "options",
    "set_dir",
    "submit",
    "workers",
]

__version__ = "0.1.0"

_HOME = {
    "Hub": "isohub.hub",
    "Record": "isohub_worker.records",
    "RemoteObject": "isohub.rpc.proxy",
    "WorkerInfo": "isohub.supervise.census",
    "acall": "isohub.rpc.aio",
    "as_tensor": "isohub.rpc.arguments",
    "download_url_to_file": "isohub.download",
    "get_dir": "isohub.weights",
    "help": "isohub.default",
    "list": "isohub.default",
    "load": "isohub.default",
    "load_state_dict_from_url": "isohub.weights",
    "options": "isohub.rpc.options",
    "set_dir": "isohub.weights",
    "submit": "isohub.rpc.proxy",
    "workers": "isohub.supervise.census",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'isohub' has no attribute {name!r}")
    value = getattr(import_module(_HOME.get(name, "isohub.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> Any:
    return sorted({*globals(), *__all__})
