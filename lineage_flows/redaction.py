"""Takes secrets out of text: those that look like one, those a name says to be one, and those this process has met.

The one place that judges what a secret is. Every record and every event passes it as a whole (``redacted_documents``) on its way to
disk; whoever shortens a text passes it through ``redact`` first, since half a secret cannot be found any more. Knows nothing else
of the package.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import quote, quote_plus, urlsplit, urlunsplit

__all__ = [
    "MASK",
    "MIN_LENGTH",
    "SECRET_TYPES",
    "bare_url",
    "configure",
    "forget",
    "generation",
    "hide_user",
    "holds_known",
    "holds_secret",
    "is_known",
    "is_secret_item",
    "is_secret_name",
    "is_secret_query",
    "is_secret_variable",
    "looks_dense",
    "may_hold_secret",
    "redact",
    "redact_name",
    "remember",
    "remember_environment",
]

MASK: Final = "***"
"""What stands where a secret would."""

MIN_LENGTH: Final = 6
"""Shorter values are not looked for in text: they would be found everywhere."""

SECRET_TYPES: Final = frozenset(
    {"Secret", "SecretStr", "SecretBytes", "SecretDict", "SecretField", "SecretValue", "_SecretBase", "_SecretField"}
)
"""Names of classes (pydantic's, Prefect's, starlette's, and who follows them) whose instances are never looked at."""

_MOST_KNOWN = 500
_MOST_JUDGED = 4_096
"""Characters up to which a text as a whole may be a secret; a longer one is a document that may mention one."""

# ------------------------------------------------------------------------------------------------------------- by name

_CALLED = (
    r"pass(?:word|wd|phrase|code)s?|pwd|secrets?|token|api_?key|access_?key(?:_id)?|private_?key|credentials?"
    r"|auth(?:orization)?_?(?:token|key|string|header)?|bearer|jwt|connection_?string|dsn"
)
_SECRET_NAME = re.compile(rf"(?:.*_)?(?:{_CALLED})(?:_(?:value|text|str|string|b64|base64))?")
_MAYBE_SECRET = re.compile(r"(?i)pass|pwd|secret|token|key|cred|auth|bearer|jwt|conn|dsn")
_SECRET_NUMBER = re.compile(r"(?:.*_)?(?:pass(?:word|wd|phrase|code)s?|pwd|secret)")
_DATA = frozenset({"numpy", "pandas", "polars", "pyarrow", "scipy", "matplotlib", "sklearn", "torch"})
"""Libraries whose values are data, whatever they are called."""
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_VARIABLE = re.compile(
    r"KEY|TOKEN|SECRET|PASSW|PWD|CREDENTIAL|PRIVATE|AUTH|COOKIE|SESSION|DSN|_PAT$|CONNECTION_STRING", re.IGNORECASE
)
_QUERY = re.compile(
    r"(?i)token|secret|passw|credential|signature|api[_-]?key|access[_-]?key"
    r"|(?:^|[_.-])(?:key|sig|auth|authorization|pwd|jwt|session|sessionid|sid|code|ticket|hmac)(?:$|[_.-])"
)
_DENSE = re.compile(r"(?=[^A-Z]*[A-Z])(?=[^a-z]*[a-z])(?=[^0-9]*[0-9])[A-Za-z0-9_~.+=-]{24,}")
_WHOLE_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\..*", re.DOTALL)
_HEX = re.compile(r"[0-9a-fA-F]{32,}")
_HELD_IN_VARIABLE = re.compile(
    r"(?i)(?:.*_)?(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API_?KEY|AUTH_STRING|CREDENTIALS?|PRIVATE_KEY"
    r"|CONNECTION_STRING|DSN)|.*_PWD|.*_(?:SECRET|ACCESS)_KEY|.*_PAT"
)
_PLAIN_FIELDS = frozenset(
    "user username login host hostname server port database db dbname schema region driver".split()  # noqa: SIM905
)
"""Fields of a secret mapping that are none themselves: masking ``postgres`` everywhere would only destroy what is said."""


def is_secret_name(name: str) -> bool:
    """Whether what goes by this name (a parameter, a field, a key) is a secret: ``password``, ``apiKey``, ``vendor_token``.

    Not ``tokens``, ``tokenizer``, ``key`` or ``secret_name``: the last word counts.
    """
    return _MAYBE_SECRET.search(name) is not None and _is_secret_name(name)


@lru_cache(maxsize=4096)
def _is_secret_name(name: str) -> bool:
    return _SECRET_NAME.fullmatch(_snake(name)) is not None


def is_secret_item(name: object, value: object) -> bool:
    """Whether a value is a secret by the name it goes by. Nothing, a truth or a number is none, but for a numeric password."""
    if type(name) is not str or not is_secret_name(name):
        return False
    cls = type(value)
    if value is None or cls is bool or cls is float or cls.__module__.partition(".")[0] in _DATA:
        return False
    return cls is not int or _SECRET_NUMBER.fullmatch(_snake(name)) is not None


def is_secret_query(name: str) -> bool:
    """Whether a parameter of a URL's query is a secret by its name. In a query, ``key`` and ``code`` are one too."""
    return _QUERY.search(name) is not None


def looks_dense(text: str, *, hashes: bool = True) -> bool:
    """Whether a part of a URL has the look of a token: long, and of capitals, small letters and digits.

    Args:
        text: the part, decoded.
        hashes: whether a long hexadecimal number counts; in a path it is what the data is called.
    """
    return bool(_DENSE.fullmatch(text) or _WHOLE_JWT.fullmatch(text) or (hashes and _HEX.fullmatch(text)))


def is_secret_variable(name: str) -> bool:
    """Whether an environment variable's value is never recorded, whatever the settings allow."""
    return _VARIABLE.search(name) is not None


def _snake(name: str) -> str:
    return _CAMEL.sub("_", name[:200]).lower().replace("-", "_").replace(" ", "_").replace(".", "_")


# ------------------------------------------------------------------------------------------------------------- by look

_LOOKS: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = tuple(
    (needles, re.compile(pattern, re.DOTALL))
    for needles, pattern in (
        (("PRIVATE KEY",), r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*-----|\Z)"),
        (("eyJ",), r"\beyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)*"),
        (("AKIA", "ASIA"), r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
        (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"\bgh[pousr]_[A-Za-z0-9]{20,}"),
        (("github_pat_",), r"\bgithub_pat_\w{20,}"),
        (("glpat-",), r"\bglpat-[\w-]{16,}"),
        (("xox",), r"\bxox[a-z]-[\w-]{8,}"),
        (("hooks.slack",), r"(?<=hooks\.slack\.com/services/)[\w/]+"),
        (("pnu_", "pnb_"), r"\bpn[ub]_[A-Za-z0-9]{16,}"),
        (("sk-", "k_live_", "k_test_"), r"\b(?:sk-|[sr]k_(?:live|test)_)(?=[\w-]*\d)[\w-]{16,}"),
        (("AIza", "ya29."), r"\b(?:AIza[\w-]{30,}|ya29\.[\w-]{16,})"),
        (("hf_",), r"\bhf_[A-Za-z0-9]{20,}"),
        (("earer ", "EARER "), r"(?<=(?i:bearer) )\s*(?=\S*\d|\S{20})[\w.~+/=-]{8,}"),
        (("asic ", "ASIC "), r"(?<=(?i:basic) )\s*(?=\S*[\d=]|[A-Za-z+/]{20})[A-Za-z0-9+/]{8,}={0,2}"),
    )
)
_NEEDLES = tuple(dict.fromkeys(needle for needles, _ in _LOOKS for needle in needles))

_WORDS = tuple(
    "passw passphrase pwd secret token signature sig= key credential authorization dsn".split()  # noqa: SIM905
)
_ASSIGNED = re.compile(
    r"(?i)(?:pass(?:word|wd|phrase|code)|pwd|secret|token|signature|\bsig|api[_-]?key|access[_-]?key|secret[_-]?key"
    r"|private[_-]?key|account[_-]?key|credentials?|authorization|\bdsn)(?:_?(?:value|id|key|str))?"
    r"(?:\\*[\"'])?(?P<sep>\s{0,8}(?:=>|:=|==?|:)\s{0,8})(?:[bruf]{0,2}(?P<quote>\\*[\"']))?"
    r"(?P<value>(?(quote)(?:(?:(?!(?P=quote))(?:\\.|.)){0,4096}(?=(?P=quote))|[^\s&,;)}\]'\"<>]+)"
    r"|(?:(?:basic|bearer|digest|negotiate|token)\s+)?[^\s&,;)}\]'\"<>]+))"
)
_ENDS = frozenset('\n\r,;)}]"')
_NO_VALUE = frozenset({MASK, "<secret>", "str", "bytes", "int", "None", "null", "True", "False", "true", "false", ""})
_USER_INFO = re.compile(
    r"(?i)(https?://)[^/?#\s'\"]+@|(://)[^/?#\s'\"@:]*:(?!\d+(?:[/?#]|$))[^\s'\"@]*@(?:[^\s'\"@/]*@)*"
)
"""User and password of a URL; for http also a user alone, which is how access tokens are written."""


def hide_user(url: str) -> str:
    """A URL, or a name that may be one, without the user and password in it."""
    return _USER_INFO.sub(r"\1\2", url) if "@" in url and "://" in url else url


def bare_url(url: str) -> str:
    """A URL without password, query and fragment; the user's name stays only where it is no secret (ssh)."""
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets that are no IPv6 address
        return url.partition("://")[0] + "://"
    if not parts.scheme or not parts.netloc:
        return url
    user, at, host = parts.netloc.rpartition("@")
    keep = user.partition(":")[0] + at if at and "ssh" in parts.scheme else ""
    return urlunsplit((parts.scheme, keep + host, parts.path, "", ""))


def redact(text: str) -> str:
    """Free text (an error, a tag, a preview) with every secret that can be told replaced by ``MASK``."""
    lower = text.lower()
    if any(word in lower for word in _WORDS) and ("=" in text or ":" in text):
        text = _ASSIGNED.sub(_assigned, text)
    return redact_name(text, mask_user=True)


def redact_name(text: str, *, mask_user: bool = False) -> str:
    """A name (a path, a URI) likewise; what is assigned in it stays, since ``token=a/part.csv`` is how partitions are called."""
    if "@" in text and "://" in text:
        text = _USER_INFO.sub(rf"\1\2{MASK}@" if mask_user else r"\1\2", text)
    for needles, pattern in _LOOKS:
        if any(needle in text for needle in needles):
            text = pattern.sub(MASK, text)
    for pattern in _state.own:
        text = pattern.sub(MASK, text)
    known = _pattern()
    return text if known is None else known.sub(MASK, text)


def _assigned(found: re.Match[str]) -> str:
    value = found["value"]
    if value in _NO_VALUE or value.startswith(MASK):
        return found[0]
    if found["quote"] is None and ":" in found["sep"] and "=" not in found["sep"]:
        after = found.string[found.end() : found.end() + 8].lstrip(" \t")
        if not any(letter.isdigit() for letter in value) and after and after[0] not in _ENDS:
            return found[0]  # "token: the one that the vendor gave" is prose
    return found[0][: found.start("value") - found.start()] + MASK


# ------------------------------------------------------------------------------------------------------------- as known


_OF_RECORDS = (b'secrets":0',)
"""Parts of every run record that look like more: how many secrets a value was found to hold."""


class _State:
    """The secrets that this process has met, and the user's patterns."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.known: dict[str, tuple[str, ...]] = {}
        self.stale = False
        self.generation = 0
        self.needles: tuple[bytes, ...] = ()
        self.apart: tuple[bytes, ...] = ()
        self.harmless: set[bytes] = {*_OF_RECORDS}
        self.pattern: re.Pattern[str] | None = None
        self.own: tuple[re.Pattern[str], ...] = ()


_state = _State()


def configure(patterns: Iterable[str] = ()) -> None:
    """Set the user's own patterns of secrets (regular expressions), once in a process.

    Raises:
        re.error: one is no regular expression.
    """
    _state.own = tuple(re.compile(pattern) for pattern in patterns)
    _state.generation += 1


def remember(value: object, *, name: str = "") -> None:
    """Take note of a secret's value, so that it is masked wherever it appears from now on. It is held in memory only.

    Texts, bytes and numbers of at least ``MIN_LENGTH`` characters, also inside mappings and sequences; of a mapping, not what is
    plainly none (user, host, port).
    """
    if isinstance(value, dict):
        for key, item in list(value.items()):
            remember(item, name=key if isinstance(key, str) else "")
    elif isinstance(value, list | tuple | set | frozenset):
        for item in list(value):
            remember(item, name=name)
    elif isinstance(value, bytes | bytearray):
        remember(bytes(value).decode("utf-8", "replace"), name=name)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        remember(str(value), name=name)
    elif isinstance(value, str) and name.lower() not in _PLAIN_FIELDS:
        for text in {str.__str__(value), value.strip()}:
            if len(text) >= MIN_LENGTH and text not in _state.known:
                _add(text)


def remember_environment() -> None:
    """Take note of the values of environment variables whose names say that they hold a secret."""
    for name, value in list(os.environ.items()):
        plain = len(value) < MIN_LENGTH + 2 or value.isdecimal() or value.startswith(("/", "./", "~"))
        if not plain and value not in _state.known and _HELD_IN_VARIABLE.fullmatch(name):
            remember(value)


def forget() -> None:
    """Forget every secret and pattern; for tests."""
    with _state.lock:
        _state.known, _state.own, _state.stale = {}, (), True
        _state.generation += 1


def _add(text: str) -> None:
    with _state.lock:
        known = {**_state.known, text: _written(text)}
        while len(known) > _MOST_KNOWN:
            del known[next(iter(known))]
        _state.known, _state.stale = known, True
        _state.generation += 1


def _pattern() -> re.Pattern[str] | None:
    """What finds every known secret; made anew when it is first asked for after one was added."""
    if _state.stale:
        with _state.lock:
            forms = sorted({form for forms in _state.known.values() for form in forms}, key=len, reverse=True)
            _state.pattern = re.compile("|".join(map(re.escape, forms))) if forms else None
            escaped = {json.dumps(form)[1:-1].encode() for form in forms}
            needles = sorted({form.encode("utf-8", "replace") for form in forms} | escaped)
            _state.apart = tuple(needle for needle in needles if _may_be_cut(needle))
            _state.needles = tuple(needle for needle in needles if not _may_be_cut(needle))
            _state.harmless = {*_OF_RECORDS}
            _state.stale = False
    return _state.pattern


def _may_be_cut(needle: bytes) -> bool:
    """Whether a document may be cut in the middle of a secret, or at its end."""
    return _BETWEEN in needle or needle.endswith(_BETWEEN[:1]) or needle.startswith(_BETWEEN[1:])


def _written(text: str) -> tuple[str, ...]:
    """How a secret may be written in a text: itself, as a literal of Python or JSON, in a URL."""
    forms = {text, repr(text)[1:-1], json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    try:
        forms |= {quote(text, safe=""), quote(text), quote_plus(text)}
    except UnicodeEncodeError:  # half a surrogate pair
        forms.add(text.encode("utf-8", "backslashreplace").decode())
    return tuple(forms)


def generation() -> int:
    """A number that changes whenever there is another secret to be masked: what was masked before may not be any more."""
    return _state.generation


def holds_known(data: bytes) -> bool:
    """Whether bytes (of JSON, of a text) hold a secret that this process has met."""
    _pattern()
    return any(needle in data for needle in (*_state.needles, *_state.apart))


def holds_secret(text: str) -> bool:
    """Whether a text is, or plainly holds, a secret: by its look when it is short, else only one that this process has met."""
    known = _pattern()
    if known is not None and known.search(text) is not None:
        return True
    if len(text) > _MOST_JUDGED:
        return False
    if "@" in text and "://" in text and _USER_INFO.search(text) is not None:
        return True
    if any(needle in text for needle in _NEEDLES):
        return any(pattern.search(text) is not None for _, pattern in _LOOKS)
    return any(pattern.search(text) is not None for pattern in _state.own)


def may_hold_secret(data: bytes) -> bool:
    """Whether a JSON document may hold a secret: few texts are looked for, and only in what was not looked through before."""
    _pattern()
    state = _state
    harmless = state.harmless
    if state.own or any(needle in data for needle in state.apart):
        return True
    fresh = set(data.split(_BETWEEN)).difference(harmless)
    text = _BETWEEN.join(fresh)
    lower = text.lower()
    if (
        any(needle in text for needle in state.needles)
        or any(needle in text for needle in _BYTES)
        or any(needle in text and pattern.search(text) for needle, pattern in _CLOSER)
        or any(word in lower for word in _WORD_BYTES)
    ):
        return True
    if len(harmless) > _MOST_HARMLESS:
        state.harmless = harmless = {*_OF_RECORDS}
    harmless.update(part for part in fresh if len(part) <= _LONGEST_HARMLESS)
    return False


def is_known(text: str) -> bool:
    """Whether a text is a secret that this process has met."""
    return text in _state.known


_CLOSER = ((b"sk-", re.compile(rb"(?<!ta)sk-")), (b"@", re.compile(rb"://[^\"'@\s]*@")))
"""Texts that are in most documents (``/task-run/``, ``@task``), and what in the JSON of a secret they are a part of."""
_BETWEEN = b',"'
"""Where a document is cut into parts; in none of the texts that are looked for, but for a secret that this process has met."""
_MOST_HARMLESS, _LONGEST_HARMLESS = 4096, 256
_BYTES = tuple(needle.encode() for needle in _NEEDLES if needle != "sk-")
_KEYS = ("_key", "-key", "ikey", "skey")
_WORD_BYTES = tuple(word.encode() for word in (*_WORDS, *_KEYS) if word != "key")
