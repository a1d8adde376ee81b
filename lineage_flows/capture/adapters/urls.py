"""Names what lies behind a URL without telling a secret that stands in it.

Knows how URLs are built and where secrets are put in them.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, quote, unquote, urlsplit

from lineage_flows.capture.objects import Target
from lineage_flows.redaction import MASK, is_secret_query, looks_dense

__all__ = ["shown_query", "target_of"]

_SIGNING = re.compile(
    r"(?i)(?:x-(?:amz|goog)-.*|awsaccesskeyid|googleaccessid|key-pair-id|expires|policy|se|sig|skoid|sktid|skt|ske)"
)
"""Parameters of signed URLs: they say who may read until when, not what is read; of those, some change with every signature."""
_SIGNED = re.compile(r"(?i)(?:x-amz-signature|x-goog-signature|signature|sig)")
_BOT = re.compile(r"bot\d+:.+")


def target_of(url: str) -> Target:
    """The target of a request: scheme, host and port are the namespace, path and query the name.

    OpenLineage has no naming for HTTP. User, password and fragment are left out, the parameters of a signature and those whose name
    is a secret's too: asked for with another key it is the same data. What is a secret by its look is masked, in the path as well.
    """
    parts = urlsplit(url)
    path = "/".join(_segment(item) for item in (parts.path or "/").split("/"))
    query = shown_query(parts.query)
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
    return MASK if looks_dense(plain, hashes=False) or _BOT.fullmatch(plain) else text


def shown_query(query: str) -> str:
    """The parameters of a URL: without those of a signature and those that are secrets by name; what looks like one is masked."""
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    signed = any(_SIGNED.fullmatch(unquote(name)) for name, _, _ in pairs)
    kept = []
    for name, equals, value in pairs:
        plain = unquote(name)
        if (signed and _SIGNING.fullmatch(plain)) or (equals and is_secret_query(plain)):
            continue
        if equals and looks_dense(unquote(value)):
            kept.append(f"{name}={MASK}")
        elif not equals and looks_dense(plain):
            kept.append(MASK)
        else:
            kept.append(f"{name}{equals}{quote(value, safe='%+,:;/?@!$*()._~-')}")
    return "&".join(kept)
