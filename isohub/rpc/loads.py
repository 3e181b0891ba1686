"""What was loaded from a worker, and how to load it again from the one that comes after it."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

from isohub.errors import HubClosed, IsohubError, ProtocolError, WorkerDied
from isohub.rpc.proxy import RemoteObject

if TYPE_CHECKING:
    from isohub.rpc.channel import Channel

__all__ = ["Loads"]


class Loads:
    """The loads whose objects are in use.

    An object is made again by the call that made it, with the same arguments, and its proxy then stands for the new one. What was
    done to the old one since is lost, and so is whatever it gave away: those proxies stay with the worker that is gone.
    """

    def __init__(self) -> None:
        self._loads: list[_Load] = []
        self._lock = threading.Lock()

    def note(self, args: tuple[Any, ...], kwargs: dict[str, Any], value: Any) -> None:
        """The operation "load" with these arguments has answered `value`."""
        objects = _remote_objects(value)
        with self._lock:
            self._loads = [load for load in self._loads if load.in_use()]
            if objects:
                self._loads.append(_Load(args, kwargs, objects))

    def made(self, thing: object) -> bool:
        """Whether `thing` is an object that a load has answered, and not one that such an object gave away."""
        with self._lock:
            return any(known() is thing for load in self._loads for known in load.objects)

    def repeat(self, channel: Channel) -> None:
        """Load from the worker of `channel` what is another worker's, in the order in which it was loaded.

        What cannot be loaded any more is forgotten, and its objects stay as they are.

        Raises:
            WorkerDied: that worker ended over it.
        """
        with self._lock:
            loads = [load for load in self._loads if load.in_use()]
        for load in loads:
            if load.belongs_to(channel):
                continue
            try:
                value = channel.call("load", None, load.args, load.kwargs)
            except (HubClosed, ProtocolError, WorkerDied):
                raise
            except IsohubError:
                with self._lock:
                    self._loads = [other for other in self._loads if other is not load]
            else:
                for known, new in zip(load.objects, _remote_objects(value), strict=False):
                    old = known()
                    if old is not None and old._isohub_channel is not channel:
                        channel.replace(old, new)


class _Load:
    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any], objects: list[RemoteObject]) -> None:
        self.args = args
        self.kwargs = kwargs
        self.objects = [weakref.ref(thing) for thing in objects]

    def in_use(self) -> bool:
        return any(known() is not None for known in self.objects)

    def belongs_to(self, channel: Channel) -> bool:
        things = [thing for thing in (known() for known in self.objects) if thing is not None]
        return all(thing._isohub_channel is channel for thing in things)


def _remote_objects(value: Any) -> list[RemoteObject]:
    """The remote objects in what a load has answered, in order."""
    if isinstance(value, RemoteObject):
        return [value]
    if isinstance(value, dict):
        value = [*value.values()]
    if isinstance(value, (tuple, list)):
        return [thing for item in value for thing in _remote_objects(item)]
    return []
