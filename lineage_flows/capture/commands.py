"""Says how a program was called, without telling a secret that stands among its arguments.

Knows how command lines are written and where secrets are put in them; starts and opens nothing.
"""

# A program's name is a string here: it may hold any bytes.
# ruff: noqa: PTH119

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence

from lineage_flows.capture.adapters.urls import target_of
from lineage_flows.capture.paths import printable
from lineage_flows.redaction import MASK, is_secret_query, looks_dense, redact

__all__ = ["program_of", "redacted", "words_of"]

MOST_WORDS = 24
MOST_CHARACTERS = 240
_MOST_READ = 2000

_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*w?")
_INTERPRETERS = re.compile(r"(?:perl|ruby|node|deno|php|R|Rscript|julia|lua|osascript)[0-9.]*")
_CODE = re.compile(r"-[A-Za-z]{0,4}[eEpr]|--(?:eval|print|execute|command)")
_PYTHON_CODE = re.compile(r"-[A-Za-z]{0,4}c")
_OPERATORS = frozenset({"|", "||", "&&", ";", "&", ")", "|&"})
_TELLERS = frozenset({"echo", "printf"})
"""What they say may be a password for the next program."""
_PASSWORD_IN_ONE = {"7z", "mariadb", "mariadb-dump", "mysql", "mysqladmin", "mysqldump", "mysqlimport", "sshpass"}
"""Programs that take a password as ``-pPASSWORD``."""
_SHORT = {
    "curl": {"-u", "-U", "-b", "--user", "--proxy-user", "--cookie", "--oauth2-bearer"},
    "ftp": {"-u"},
    "ldapsearch": {"-w"},
    "mongo": {"-p"},
    "mongosh": {"-p"},
    "mysql": {"-p"},
    "redis-cli": {"-a", "--pass"},
    "smbclient": {"-U"},
    "sqlcmd": {"-P"},
    "sshpass": {"-p"},
    "wget": {"--user"},
    "zip": {"-P"},
}
"""Program -> options whose value is a secret though their name does not say so."""

_BLANKS = frozenset(" \t\r\n")
_HEADER = re.compile(
    r"(?is)\s*(?:[\w-]*authorization|(?:set-)?cookie|[\w-]*(?:key|token|secret|auth)[\w-]*)\s*:(?!//).*"
)
_USER_AND_PASSWORD = re.compile(r"(?<![\w/])([^\s:/@=]+):([^\s@/]+)@(?=[\w.\[-])")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_ASSIGNMENT = re.compile(r"(--?)?([A-Za-z_][\w.-]*)=(.*)", re.DOTALL)


def words_of(command: object) -> list[str]:
    """The first words of a command as ``subprocess`` and ``os`` take it: a text, bytes, a path, or a sequence of them.

    A text that is no list is for a shell: it is taken apart as a shell would; where its quotes do not match, only its first word is
    given. Of what is longer than anybody reads, the beginning is looked at.
    """
    if isinstance(command, str | bytes | os.PathLike):
        text = os.fsdecode(command)[:_MOST_READ]
        try:
            return shlex.split(text)
        except ValueError:
            return text.split()[:1]
    if isinstance(command, list | tuple):
        return [_word_of(word)[:_MOST_READ] for word in command[: MOST_WORDS + 1]]
    return []


def _word_of(word: object) -> str:
    return os.fsdecode(word) if isinstance(word, str | bytes | os.PathLike) else str(word)


def program_of(words: Sequence[str]) -> str:
    """The name of the program, without its folder; empty when there are no words."""
    return printable(os.path.basename(words[0])) if words else ""


def redacted(words: Sequence[str]) -> str:
    """A command in one line of at most ``MOST_CHARACTERS``: the program's name and its arguments, secrets as ``***``.

    A secret is what an option, a variable or a header says it is by its name, what is a user's password in a URL or before a host,
    what looks like a token, and the source text given to an interpreter, which may hold any.
    """
    return _cut(" ".join(" ".join(_said(words)).splitlines()))


def _said(words: Sequence[str], *, of_text: bool = False) -> list[str]:
    """The words as they may be told. Any of them may be a program: after ``env``, ``sudo`` or a pipe.

    Args:
        words: of a command.
        of_text: they stand inside one word, which may be a command too.
    """
    programs = {os.path.basename(word) for word in words}
    secret = {option for program in programs for option in _SHORT.get(program, ())}
    if programs & _PASSWORD_IN_ONE:
        secret.add("-p")
    said: list[str] = []
    hidden = telling = False
    for at, word in enumerate(words[:MOST_WORDS]):
        telling = telling and word not in _OPERATORS
        if telling or hidden:
            said.append(MASK)
            # The option before may be a switch that takes no value.
            hidden = _names_a_secret(word, secret) and not telling
            continue
        if word.startswith("<<"):
            return [*said, word[:3] if word.startswith("<<<") else "<<", MASK]
        if at + 1 < len(words) and _gives_code(word, programs):
            return [*said, word, MASK]
        hidden = _names_a_secret(word, secret)
        telling = os.path.basename(word) in _TELLERS and "|" in words
        first = at == 0 and not of_text and not _ASSIGNMENT.fullmatch(word)
        said.append(program_of([word]) if first else _word(word, secret))
    return [*said, "…"] if len(words) > MOST_WORDS else said


def _gives_code(word: str, programs: set[str]) -> bool:
    """Whether the next word is source text for an interpreter, which may hold anything."""
    if _PYTHON_CODE.fullmatch(word) and any(_PYTHON.fullmatch(name) for name in programs):
        return True
    return bool(_CODE.fullmatch(word)) and any(_INTERPRETERS.fullmatch(name) for name in programs)


def _names_a_secret(word: str, secret: set[str]) -> bool:
    """Whether the next word is the value of an option that holds a secret."""
    if not word.startswith("-") or "=" in word or (word == "-p" and word not in secret):
        return False
    return word in secret or (len(word.lstrip("-")) > 1 and is_secret_query(word.lstrip("-")))


def _word(word: str, secret: set[str]) -> str:
    word = printable(word).replace("\0", "\ufffd")
    if _HEADER.fullmatch(word):
        return f"{word.partition(':')[0].strip()}:{MASK}"
    if len(word) > 2 and word[:2] in secret and not word.startswith("--"):
        return f"{word[:2]}{MASK}"
    found = _ASSIGNMENT.fullmatch(word)
    if found is not None:
        option = f"{found[1] or ''}{found[2]}"
        return f"{option}={MASK if is_secret_query(found[2]) or option in secret else _text(found[3])}"
    return _text(word)


def _text(text: str) -> str:
    if looks_dense(text):
        return MASK
    if not _BLANKS.isdisjoint(text):  # a command for a shell, for ssh, for su; its words are shorter than it is
        return f"'{' '.join(_said(words_of(text), of_text=True))}'"
    text = _URL.sub(lambda match: _url(match[0]), text)
    text = _USER_AND_PASSWORD.sub(rf"\1:{MASK}@", text)
    return redact(text)


def _url(url: str) -> str:
    try:
        return target_of(url).uri
    except ValueError:
        return f"{url.partition('://')[0]}://{MASK}"


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
