"""The process environment that strangers' code gets: an allow-list, never the host's own.

Tokens, keys and everything that steers the host's Python stay out. What a model needs to reach its weights, its
devices and the network is passed on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from isohub.config import torch_home

__all__ = ["scrubbed_environ"]

_NAMES = frozenset(
    """
    HOME USER LOGNAME SHELL PATH LANG LANGUAGE TZ TMPDIR TMP TEMP TERM
    SYSTEMROOT SYSTEMDRIVE WINDIR COMSPEC PATHEXT APPDATA LOCALAPPDATA USERPROFILE PROGRAMDATA NUMBER_OF_PROCESSORS
    XDG_CACHE_HOME XDG_DATA_HOME XDG_CONFIG_HOME XDG_RUNTIME_DIR
    TORCH_HOME HF_HOME HF_HUB_CACHE HF_HUB_OFFLINE HF_ENDPOINT TRANSFORMERS_OFFLINE HF_DATASETS_OFFLINE
    HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy no_proxy
    SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
    LD_LIBRARY_PATH DYLD_LIBRARY_PATH CUDA_HOME CUDA_PATH ROCM_HOME ROCM_PATH
    CC CXX FC LD AR CFLAGS CXXFLAGS CPPFLAGS LDFLAGS CPATH C_INCLUDE_PATH CPLUS_INCLUDE_PATH LIBRARY_PATH
    PKG_CONFIG_PATH CMAKE_PREFIX_PATH CMAKE_ARGS MAX_JOBS MAKEFLAGS TORCH_CUDA_ARCH_LIST FORCE_CUDA
    MACOSX_DEPLOYMENT_TARGET ARCHFLAGS
    THP_MEM_ALLOC_ENABLE
    CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER HIP_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES ZE_AFFINITY_MASK
    """.split()
)
_PREFIXES = ("LC_", "OMP_", "MKL_", "OPENBLAS_", "KMP_", "NVIDIA_")


def scrubbed_environ(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The allow-listed part of this process's environment, the weights folder made explicit, and `extra` on top."""
    environ = {
        name: value for name, value in os.environ.items() if name in _NAMES or name.startswith(_PREFIXES)
    }
    environ.setdefault("TORCH_HOME", str(torch_home()))
    # torch then asks for large tensors in huge pages, where the kernel has them on request: getting 64 MiB takes a quarter of
    # the time. See docs/performance.md.
    environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    environ.update(extra or {})
    return environ
