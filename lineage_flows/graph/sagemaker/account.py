"""Whose account is called, and whether it is the one in which the things of this home stand.

What another account answers of our things (that they are missing, or refused) says nothing of them. Knows the cache and lists; must
not know what is written.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from lineage_flows.errors import SageMakerError

if TYPE_CHECKING:
    from lineage_flows.graph.sagemaker.cache import Cache
    from lineage_flows.graph.sagemaker.client import Client

__all__ = ["Account", "doubt"]

_LISTS: Final = (
    ("ListArtifacts", "ArtifactSummaries", "ArtifactArn"),
    ("ListActions", "ActionSummaries", "ActionArn"),
)


class Account:
    """What the answers to one client's calls have shown. Safe for threads."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._held = cache.bound("account")
        self.is_sure = self._held is None
        """Whether it is certain whose account is called; also while nothing of this home stands in any."""

    def expect(self, number: str | None) -> None:
        """Before a push: compare what the credentials say, where they say it; and note if the cache is another than before.

        Raises:
            KeeperUnavailableError: it is another account.
        """
        held = self._cache.bound("account")
        if held != self._held:
            self._held, self.is_sure = held, held is None
        if held is not None and number is not None and not self.is_sure:
            self._cache.bind("account", f"{held.rpartition(':')[0]}:{number}")
            self.is_sure = True

    def saw(self, arn: str) -> None:
        """Compare an ARN that SageMaker gave out: of what was made, changed or described by this client.

        Raises:
            KeeperUnavailableError: it is of another account.
        """
        found = _account_of(arn)
        if found != self._held:
            self._cache.bind("account", found)
            self._held = found
        self.is_sure = True

    def ask(self, client: Client) -> None:
        """Find it out from what is listed: of an account in which nothing stands, or that does not let us list, it stays unknown.

        Raises:
            KeeperUnavailableError: it is another account.
        """
        with suppress(SageMakerError):
            for operation, field, name in _LISTS:
                arns = [str(item.get(name)) for item in client.call(operation, "*", MaxResults=100).get(field) or ()]
                # Of those that somebody shares with us, should lists show them, one may be the first.
                seen = next((arn for arn in arns if _account_of(arn) == self._held), next(iter(arns), None))
                if seen is not None:
                    self.saw(seen)
                    return


def doubt(what: str) -> SageMakerError:
    """The error of what cannot be told: whether things are gone, or another account was asked."""
    return SageMakerError(
        f"SageMaker does not know {what}, which this home has written",
        problem="away",
        why="all of it was deleted there, or these are credentials of another account: nothing in it tells which",
        fix="check AWS_PROFILE and the credentials; in the right account the next new run is written, and this after it",
    )


def _account_of(arn: str) -> str:
    """Partition, region and account, as an ARN begins."""
    return ":".join(arn.split(":")[:5])
