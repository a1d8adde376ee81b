"""Names of files: as URIs, as text that JSON can hold, and which of them are never data of a flow.

Knows the file system's names only; opens nothing.
"""

# Paths are strings here: they may hold any bytes, and a Path for every open of the process costs too much.
# ruff: noqa: PTH100, PTH111, PTH119

from __future__ import annotations

import fnmatch
import os
import sysconfig
import tempfile
import urllib.parse
from collections.abc import Iterable
from functools import lru_cache

from lineage_flows.redaction import bare_url as without_credentials

__all__ = [
    "PathRules",
    "absolute",
    "below_any",
    "from_uri",
    "is_same_file",
    "is_secret_file",
    "printable",
    "to_uri",
    "without_credentials",
]

CODE_SUFFIXES = (".py", ".pyc", ".pyo", ".pyi", ".pyx", ".pyd", ".so", ".dll", ".dylib", ".pth", ".egg-link")
"""Code is recorded as the source tree and the loaded modules, never as data."""

SYSTEM_FOLDERS = (
    "/proc/",
    "/sys/",
    "/dev/",
    "/lib/",
    "/usr/lib/",
    "/usr/local/lib/python",
    "/usr/share/ca-certificates/",
    "/usr/share/fonts/",
    "/usr/share/hwdata/",
    "/usr/share/i18n/",
    "/usr/share/locale/",
    "/usr/share/mime/",
    "/usr/share/misc/",
    "/usr/share/zoneinfo/",
    "/etc/ssl/",
    "/etc/pki/",
    "/etc/ca-certificates/",
    "/etc/fonts/",
    "/run/dbus/",
    "/run/nscd/",
    "/run/systemd/",
    "/var/run/nscd/",
    "/System/",
)
"""What the operating system and libraries read for themselves."""

SYSTEM_FILES = frozenset(
    {
        "/etc/apt/sources.list",
        "/etc/fstab",
        "/etc/group",
        "/etc/host.conf",
        "/etc/hosts",
        "/etc/httpd/conf/mime.types",
        "/etc/httpd/mime.types",
        "/etc/apache2/mime.types",
        "/etc/apache/mime.types",
        "/etc/debian_version",
        "/etc/gitconfig",
        "/etc/localtime",
        "/etc/lsb-release",
        "/etc/machine-id",
        "/etc/mime.types",
        "/etc/nginx/mime.types",
        "/etc/nsswitch.conf",
        "/etc/os-release",
        "/etc/passwd",
        "/etc/pip.conf",
        "/etc/resolv.conf",
        "/etc/services",
        "/etc/timezone",
        "/etc/xdg",
    }
)

TOOL_FOLDERS = (
    "/site-packages/",
    "/dist-packages/",
    "/__pycache__/",
    "/.git/",
    "/.mypy_cache/",
    "/.pytest_cache/",
    "/.hypothesis/",
)
"""Installed packages and what tools leave behind, wherever they lie."""

USER_CACHES = (
    "~/.cache/fontconfig",
    "~/.cache/matplotlib",
    "~/.cache/numba",
    "~/.cache/pip",
    "~/.cache/prefect",
    "~/.cache/uv",
    "~/.config/matplotlib",
    "~/.matplotlib",
    "~/Library/Caches/matplotlib",
    "~/Library/Caches/pip",
)

SECRET_FILES = (
    ".env",
    ".env.*",
    "*.env",
    ".netrc",
    "_netrc",
    ".pgpass",
    ".pypirc",
    ".git-credentials",
    ".htpasswd",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.jks",
    "*.keystore",
    "*.kdbx",
    "id_rsa*",
    "id_dsa*",
    "id_ecdsa*",
    "id_ed25519*",
    "credentials",
    "credentials.json",
    "client_secret*.json",
    "service_account*.json",
    "service-account*.json",
    "secrets.toml",
    "secrets.yaml",
    "secrets.yml",
    "secrets.json",
)
"""Names under which secrets usually lie (python-dotenv, OpenSSL, ssh, AWS, Google, Streamlit): never kept, never hashed."""

NOT_SECRET_FILES = (".env.example", ".env.sample", ".env.template", ".env.dist", "*.pub")


class PathRules:
    """Which files count as data of a flow.

    Args:
        ignored: folders whose files never count (the lineage home, Prefect's home).
        observed: folders whose files count even inside an ignored one (a replay's workspace).
    """

    def __init__(self, ignored: Iterable[str] = (), observed: Iterable[str] = ()) -> None:
        caches = [os.path.expanduser(folder) for folder in USER_CACHES]
        if "MPLCONFIGDIR" in os.environ:
            caches.append(os.environ["MPLCONFIGDIR"])
        folders = [*caches, *_interpreter_folders(), *(str(folder) for folder in ignored)]
        folders += [os.path.realpath(folder) for folder in folders]
        self._ignored = (
            *SYSTEM_FOLDERS,
            *sorted({folder.rstrip("/") + "/" for folder in folders if folder not in {"", "/"}}),
        )
        observed = [str(folder) for folder in observed]
        self._observed = tuple(
            sorted({folder.rstrip("/") + "/" for name in observed for folder in (name, os.path.realpath(name))})
        )

    def counts(self, path: str) -> bool:
        """Whether an absolute path may be data of a flow."""
        if path.endswith(CODE_SUFFIXES):
            return False
        if self._observed and path.startswith(self._observed):
            return True
        if path.startswith(self._ignored) or path in SYSTEM_FILES:
            return False
        return not any(folder in path for folder in TOOL_FOLDERS)


@lru_cache(maxsize=1)
def _interpreter_folders() -> tuple[str, ...]:
    """Where the interpreter and its packages lie. Not ``sys.prefix`` itself: data may lie beside an environment's folders."""
    names = ("stdlib", "platstdlib", "purelib", "platlib", "include", "scripts")
    paths = sysconfig.get_paths()
    return tuple(sorted({paths[name] for name in names if name in paths}))


def absolute(path: str) -> str | None:
    """The absolute name of a path as the code gave it, links not resolved; None when the working directory is gone."""
    if path.startswith("/") and "/." not in path and "//" not in path and not path.endswith("/"):
        return path
    try:
        return os.path.abspath(path)
    except OSError:
        return None


def to_uri(path: str) -> str:
    """The ``file://`` URI of an absolute path; bytes that are not ASCII, and those that are not UTF-8, percent-encoded."""
    return "file://" + urllib.parse.quote_from_bytes(os.fsencode(path))


def from_uri(uri: str) -> str:
    """The path of a ``file://`` URI, exactly as ``to_uri`` was given it.

    Raises:
        ValueError: not a ``file://`` URI of this machine.
    """
    parts = urllib.parse.urlsplit(uri)
    if parts.scheme != "file" or parts.netloc not in {"", "localhost"}:
        raise ValueError(uri)
    return os.fsdecode(urllib.parse.unquote_to_bytes(uri[uri.index("//") + 2 + len(parts.netloc) :]))


def printable(path: str) -> str:
    r"""The path as text that JSON can hold: bytes that are not UTF-8 as ``\xNN``. ``from_uri(to_uri(path))`` is exact."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path).decode("utf-8", "backslashreplace")
    return path


def is_same_file(one: str, other: str) -> bool:
    """Whether two names are those of one file: to rename one to the other does nothing."""
    try:
        first, second = os.lstat(one), os.lstat(other)
    except OSError:
        return False
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def is_secret_file(path: str) -> bool:
    """Whether a file's name says that it holds secrets."""
    name = os.path.basename(path)
    if not _maybe_secret(name):
        return False
    return not any(fnmatch.fnmatchcase(name, pattern) for pattern in NOT_SECRET_FILES)


@lru_cache(maxsize=4096)
def _maybe_secret(name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in SECRET_FILES)


def below_any(name: str, folders: Iterable[str]) -> bool:
    """Whether a path is one of the folders' or lies below one."""
    return any(name == folder or name.startswith(folder + "/") for folder in folders)


def temporary_folder() -> str:
    """The system's folder for temporary files, links resolved."""
    return os.path.realpath(tempfile.gettempdir())
