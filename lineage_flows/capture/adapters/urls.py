"""Names what lies behind a URL without telling a secret that stands in it.

Knows how URLs are built and where secrets are put in them.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, quote, unquote, urlsplit

from lineage_flows.capture.objects import Target
from lineage_flows.events.text import MASK

__all__ = ["is_secret_name", "is_token", "target_of"]

_SECRET_NAME = re.compile(
    r"(?i)token|secret|passw|credential|signature|api[_-]?key|access[_-]?key"
    r"|(?:^|[_.-])(?:key|sig|auth|authorization|pwd|jwt|session|sessionid|sid|code|ticket|hmac)(?:$|[_.-])"
)
_SIGNING = re.compile(
    r"(?i)(?:x-(?:amz|goog)-.*|awsaccesskeyid|googleaccessid|key-pair-id|expires|policy|se|sig|skoid|sktid|skt|ske)"
)
"""Parameters of signed URLs: they say who may read until when, not what is read; of those, some change with every signature."""
_SIGNED = re.compile(r"(?i)(?:x-amz-signature|x-goog-signature|signature|sig)")
_DENSE = re.compile(r"(?=[^A-Z]*[A-Z])(?=[^a-z]*[a-z])(?=[^0-9]*[0-9])[A-Za-z0-9_~.+=-]{24,}")
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\..*", re.DOTALL)
_HEX = re.compile(r"[0-9a-fA-F]{32,}")
_BOT = re.compile(r"bot\d+:.+")


def target_of(url: str) -> Target:
    """The target of a request: scheme, host and port are the namespace, path and query the name.

    OpenLineage has no naming for HTTP. User, password and fragment are left out, the parameters of a signature too; values that are
    secrets by their name or by their look are masked, in the path as well.
    """
    parts = urlsplit(url)
    path = "/".join(_segment(item) for item in (parts.path or "/").split("/"))
    query = _query(parts.query)
    name = f"{path}?{query}" if query else path
    namespace = f"{parts.scheme.lower()}://{_host(parts)}"
    return Target(namespace, name, namespace + name)


def _host(parts: SplitResult) -> str:
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    try:
        port = parts.port
    except ValueError:
        port = None
    return host if port in (None, {"http": 80, "https": 443}.get(parts.scheme.lower())) else f"{host}:{port}"


def _segment(text: str) -> str:
    # A hash in a path is what the data is called; a token is denser.
    plain = unquote(text)
    return MASK if _DENSE.fullmatch(plain) or _JWT.fullmatch(plain) or _BOT.fullmatch(plain) else text


def _query(query: str) -> str:
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    signed = any(_SIGNED.fullmatch(unquote(name)) for name, _, _ in pairs)
    kept = []
    for name, equals, value in pairs:
        plain = unquote(name)
        if signed and _SIGNING.fullmatch(plain):
            continue
        if equals and (is_secret_name(plain) or is_token(unquote(value))):
            kept.append(f"{name}={MASK}")
        elif not equals and is_token(plain):
            kept.append(MASK)
        else:
            kept.append(f"{name}{equals}{quote(value, safe='%+,:;/?@!$*()._~-')}")
    return "&".join(kept)


def is_secret_name(name: str) -> bool:
    """Whether the name of a parameter says that its value is a secret."""
    return _SECRET_NAME.search(name) is not None


def is_token(value: str) -> bool:
    """Whether a value looks like a secret: a token, a long hexadecimal number."""
    return bool(_DENSE.fullmatch(value) or _JWT.fullmatch(value) or _HEX.fullmatch(value))
