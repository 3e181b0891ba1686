"""Python files of strangers as syntax trees."""

from __future__ import annotations

import ast
import warnings

from isohub.errors import HubconfError

__all__ = ["parse"]


def parse(source: bytes, filename: str) -> ast.Module:
    """The syntax tree of a Python file; its coding line and byte order mark count.

    Raises:
        HubconfError: it is not Python; the message has the line and a caret under the fault.
    """
    try:
        with warnings.catch_warnings():
            # Old files are full of invalid escapes; their authors should hear of it, not the user.
            warnings.simplefilter("ignore")
            return ast.parse(source, filename)
    except SyntaxError as error:
        where = f"{filename}, line {error.lineno}" if error.lineno else filename
        raise HubconfError(f"{where}: {error.msg}", tail=_caret(error)) from error
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        raise HubconfError(f"{filename}, line {line}: not valid {error.encoding}") from error
    except ValueError as error:  # a null byte, before Python 3.12
        raise HubconfError(f"{filename}: {error}") from error
    except (RecursionError, MemoryError) as error:
        raise HubconfError(f"{filename}: nested too deeply to be read") from error


def _caret(error: SyntaxError) -> str | None:
    if not error.text:
        return None
    text = error.text.rstrip("\r\n")
    stripped = text.lstrip()
    column = max((error.offset or 1) - 1 - (len(text) - len(stripped)), 0)
    return f"{stripped[:200]}\n{' ' * min(column, 200)}^"
