"""The file system of a URL, by fsspec."""

from datetime import UTC, datetime
from typing import Any

from steelscan.strip.errors import DatasetError, MissingPartError


def is_url(text: str) -> bool:
    """Return whether a text is a URL such as s3://bucket/strips, not a path."""
    return "://" in text


def file_system(url: str) -> tuple[Any, str]:
    """Return the file system of a URL and the path in it, without a slash at its end.

    Raises MissingPartError if a package for this kind of URL is not installed, DatasetError if
    there is none.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        remedy = "pip install 'steelscan[remote]'"
        raise MissingPartError(url, "needs the package fsspec", remedy) from error
    try:
        fs, path = url_to_fs(url)
    except ImportError as error:
        raise MissingPartError(url, f"needs a package: {error}", "Install it") from error
    except ValueError as error:
        known = "Choose a folder, a zip or a URL such as s3://bucket/strips"
        raise DatasetError(url, f"is no URL of a file system ({error})", known) from error
    return fs, path.rstrip("/")


def error_reason(error: Exception) -> str:
    """Return a short text of an error of any file system."""
    return getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"


def time_of(info: dict[str, Any]) -> int:
    """Return when a listed file was written, in nanoseconds since 1970; 0 if that is unknown."""
    for key in ("mtime", "LastModified", "last_modified", "updated", "modified", "created"):
        value = info.get(key)
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            value = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        if isinstance(value, int | float):
            return int(value * 1e9)
    return 0
