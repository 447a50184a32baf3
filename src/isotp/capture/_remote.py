"""Logs that are elsewhere, by their URL: what fsspec opens, as a file."""

from __future__ import annotations

import re
from typing import Any, BinaryIO, cast

__all__ = ["RemoteFile", "is_url", "open_url"]

# A scheme of one letter is a drive of Windows. fsspec also has URLs behind others: "zip://a.log::s3://bucket/logs.zip".
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://|[a-z0-9]+::")


def is_url(text: str) -> bool:
    return URL.match(text) is not None


class RemoteFile:
    """A file that raises an OSError for what goes wrong elsewhere, whatever its library raises."""

    def __init__(self, url: str, file: Any, size: int | None) -> None:
        self.name = url
        self.size = size
        self._file = file

    def read(self, size: int = -1) -> bytes:
        try:
            data: bytes = self._file.read(size)
        except Exception as error:
            raise failed(self.name, error) from error
        return data

    def seekable(self) -> bool:
        # A file without a size is a stream, though it says that it can seek.
        return self.size is not None and bool(self._file.seekable())

    def tell(self) -> int:
        return int(self._file.tell())

    def seek(self, place: int, whence: int = 0) -> int:
        return int(self._file.seek(place, whence))

    def close(self) -> None:
        self._file.close()


def open_url(url: str) -> BinaryIO:
    """The file there.

    :raises ImportError: without fsspec, or what it needs for this kind of URL.
    :raises ValueError: if there is no such kind.
    :raises OSError: if there is no such file, or nothing that has it.
    """
    try:
        import fsspec  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError(
            f"URLs are opened by fsspec: pip install 'can-isotp-cython[url]' ({error})"
        ) from error
    try:
        filesystem, path = fsspec.core.url_to_fs(url)
        file = filesystem.open(path, "rb")
    except (ImportError, ValueError):
        raise
    except Exception as error:
        raise failed(url, error) from error
    return cast(BinaryIO, RemoteFile(url, file, getattr(file, "size", None)))


def failed(url: str, error: Exception) -> OSError:
    return OSError(f"{url}: {type(error).__name__}: {error}")
