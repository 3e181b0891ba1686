"""One read-only record type stands for named tuples, dataclasses and mapping-like outputs of the other side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Collection, Iterable, Iterator

__all__ = ["Record"]


class Record(tuple):  # type: ignore[type-arg]
    """Values with names: by attribute, by key and by index.

    It is a tuple of its values, so it unpacks and compares like one; it has ``keys()``, so ``dict(record)`` and
    ``f(**record)`` work too. The sender's class is only named, never imported.
    """

    # The fields lie in the instance's dictionary, where they win over tuple's own methods (a field may be called "count").
    # The name of the sender's class lies there as well, under a key that no field can have.
    _TYPE = ""

    def __new__(cls, type_name: str, names: Iterable[str], values: Iterable[Any]) -> Record:
        self = super().__new__(cls, values)
        names = list(names)
        if len(names) != len(self) or not cls.can_have(names) or type(type_name) is not str:
            raise ValueError("a record has a type's name and one name for each of its values")
        self.__dict__.update(zip(names, self))
        self.__dict__[cls._TYPE] = type_name
        return self

    @classmethod
    def can_have(cls, names: Collection[Any]) -> bool:
        """Whether a record can have fields of these names.

        Not names like ``__array_interface__``: with those a peer would tell NumPy where in our memory to look.
        """
        fit = all(type(name) is str and name != cls._TYPE and not name.startswith("__") for name in names)
        return fit and len(set(names)) == len(names)

    @classmethod
    def type_name(cls, record: Record) -> str:
        """The qualified name of the class that `record` has on the other side."""
        name: str = record.__dict__[cls._TYPE]
        return name

    if TYPE_CHECKING:
        # Which fields there are is known when a record arrives.
        def __getattr__(self, name: str) -> Any: ...

    def keys(self) -> tuple[str, ...]:
        return tuple(name for name in self.__dict__ if name != self._TYPE)

    def values(self) -> tuple[Any, ...]:
        return tuple(self)

    def items(self) -> Iterator[tuple[str, Any]]:
        return zip(Record.keys(self), self)

    def get(self, name: str, default: Any = None) -> Any:
        return self.__dict__.get(name, default) if name else default

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            if key == self._TYPE or key not in self.__dict__:
                raise KeyError(key)
            return self.__dict__[key]
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        if isinstance(key, str) and key != self._TYPE and key in self.__dict__:
            return True
        return super().__contains__(key)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a record is read-only")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("a record is read-only")

    def __reduce__(self) -> Any:
        return Record, (Record.type_name(self), Record.keys(self), tuple(self))

    def __repr__(self) -> str:
        short = Record.type_name(self).rpartition(".")[2]
        return "%s(%s)" % (short, ", ".join("%s=%r" % field for field in Record.items(self)))
