"""Takes a git work tree exactly as it lies on disk, uncommitted and untracked files included, without touching the repository.

Knows git's command line and files. Everything runs in a shadow repository of our own, which borrows the user's objects read-only
(``objects/info/alternates``) and has no hooks, no filters and no remotes: nothing is written to the user's ``.git``, none of the
programs it configures is started, and git's ownership check (``safe.directory``), which guards against those, has nothing to guard.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lineage_flows.errors import CaptureError

__all__ = ["TREE_REF", "Entry", "Git", "Repository", "find_repository", "open_shadow"]

TREE_REF = "refs/lineage/tree"
"""Where a bundle names its one commit."""

BUDGET_SECONDS = 30.0
"""The longest all git commands of one capture may take together; over that, the flow's folder is taken without git."""

_KEPT_VARIABLES = frozenset({"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH"})
"""What says where git and its settings lie. All other ``GIT_*`` variables (set in a hook, for one) speak of another repository."""

_COMMIT_VARIABLES = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in {"NAME": "lineage-flows", "EMAIL": "lineage-flows@localhost", "DATE": "@0 +0000"}.items()
}
"""The same tree gives the same commit, whoever takes it and when."""

_COPIED_SETTINGS = (
    "core.filemode",
    "core.ignorecase",
    "core.precomposeunicode",
    "core.symlinks",
    "core.excludesfile",
    "extensions.objectformat",
)

_SHADOW_SETTINGS = {
    "core.bare": "false",
    "core.autocrlf": "false",
    "core.safecrlf": "false",
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.untrackedCache": "false",
    "core.splitIndex": "false",
    "gc.auto": "0",
    "i18n.commitEncoding": "UTF-8",
    # Searching deltas makes a bundle a little smaller and takes most of the time; those the repository has are reused.
    "pack.window": "0",
    "pack.threads": "1",
}

_NO_CONVERSION = "* -text !eol !crlf -ident -filter !working-tree-encoding\n"
"""Attributes over all others: files are taken byte by byte, whatever line ends or filters (LFS) the project configures."""

_CONVERTING = re.compile(rb"(?<![\w!-])(text|eol|crlf|ident|filter|working-tree-encoding)\b")


@dataclass(frozen=True, slots=True)
class Repository:
    """A work tree, its git folder, and the folder it shares with other work trees (the same when there are none)."""

    root: Path
    git_dir: Path
    common_dir: Path


@dataclass(frozen=True, slots=True)
class Entry:
    """A path of the work tree, relative to its root. ``mode`` and ``object`` are the index's, empty for an untracked path.

    ``flagged`` says that the index was told not to look at the file (assume-unchanged, skip-worktree).
    """

    path: str
    mode: str = ""
    object: str = ""
    flagged: bool = False

    @property
    def tracked(self) -> bool:
        """Whether the index has the path."""
        return bool(self.mode)

    @property
    def is_submodule(self) -> bool:
        """Whether the path is another repository, of which the index only has a commit."""
        return self.mode == "160000"


def find_repository(folder: Path) -> Repository | None:
    """The repository whose work tree ``folder`` lies in, found without git; links are not resolved."""
    for root in (folder, *folder.parents):
        marker = root / ".git"
        with contextlib.suppress(OSError):
            git_dir = _git_dir(marker)
            if git_dir is None or not (git_dir / "HEAD").is_file():
                continue
            common = git_dir
            if (git_dir / "commondir").is_file():
                common = Path(os.path.normpath(git_dir / (git_dir / "commondir").read_text().strip()))
            if (common / "objects").is_dir():
                return Repository(root, git_dir, common)
    return None


def _git_dir(marker: Path) -> Path | None:
    if marker.is_dir():
        return marker
    if not marker.is_file():
        return None
    text = marker.read_text(encoding="utf-8", errors="surrogateescape")
    if not text.startswith("gitdir:"):
        return None
    return Path(os.path.normpath(marker.parent / text.removeprefix("gitdir:").strip()))


class Git:
    """Runs git with nothing of the caller's environment that speaks of another repository, and within a budget of time."""

    def __init__(
        self, program: str, *, variables: Mapping[str, str] | None = None, seconds: float = BUDGET_SECONDS
    ) -> None:
        self._program = program
        self._deadline = time.monotonic() + seconds
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in _KEPT_VARIABLES
        }
        self._environment |= {
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "LC_ALL": "C",
            **_COMMIT_VARIABLES,
            **(variables or {}),
        }

    def run(self, *arguments: str, cwd: Path, given: bytes = b"", ok: Container[int] = (0,)) -> bytes:
        """The standard output of a git command; ``ok`` are the exit codes that do not mean failure.

        Raises:
            CaptureError: git fails, cannot be started, or takes too long.
        """
        doing = next((word for word in arguments if not word.startswith("-") and "=" not in word), "")
        try:
            done = subprocess.run(  # noqa: S603 - a program found on PATH, arguments of our own
                [self._program, *arguments],
                cwd=cwd,
                env=self._environment,
                input=given,
                capture_output=True,
                timeout=max(self._deadline - time.monotonic(), 0.01),
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CaptureError(
                f"git {doing} was stopped", why=f"it took more than {BUDGET_SECONDS:.0f} seconds"
            ) from None
        except OSError as error:
            raise CaptureError(f"git {doing} could not be started", why=error.strerror or str(error)) from None
        if done.returncode not in ok:
            lines = done.stderr.decode("utf-8", "backslashreplace").strip().splitlines() or [
                f"exit code {done.returncode}"
            ]
            raise CaptureError(f"git {doing} failed", why=lines[0])
        return done.stdout


class Shadow:
    """A repository of our own over the user's work tree; see the module's first lines."""

    def __init__(self, repository: Repository, folder: Path, program: str) -> None:
        self.repository = repository
        self.folder = folder
        self._program = program
        self._plain = Git(program)
        self.settings = self._settings()
        self._git = Git(
            program,
            variables={
                "GIT_DIR": str(folder),
                "GIT_WORK_TREE": str(repository.root),
                "GIT_INDEX_FILE": str(folder / "index"),
            },
        )
        self._make()

    def run(self, *arguments: str, given: bytes = b"") -> bytes:
        """The output of a git command in the shadow repository, run at the root of the work tree."""
        return self._git.run(*arguments, cwd=self.repository.root, given=given)

    def entries(self) -> list[Entry]:
        """What the index has and what lies untracked and not ignored in the work tree."""
        out = self.run("ls-files", "-z", "-v", "--stage", "--cached", "--others", "--exclude-standard")
        found: dict[str, Entry] = {}
        for line in os.fsdecode(out).split("\0"):
            if line.startswith("? "):
                found[line[2:]] = Entry(line[2:])
            elif line:
                facts, _, path = line.partition("\t")
                tag, mode, object_id, _stage = facts.split(" ")
                found[path] = Entry(path, mode, object_id, flagged=tag.islower() or tag == "S")
        return list(found.values())

    def head(self) -> tuple[str | None, str | None, str | None]:
        """Commit, its tree, and the branch (None when detached); no commit before the first."""
        branch = None
        with contextlib.suppress(OSError):
            text = (self.repository.git_dir / "HEAD").read_text(encoding="utf-8", errors="replace").strip()
            if text.startswith("ref: refs/heads/") and not text.endswith("/.invalid"):
                branch = text.removeprefix("ref: refs/heads/")
        try:
            asked = ("HEAD^{commit}", "HEAD^{tree}", "--symbolic-full-name", "HEAD")
            out = self._plain.run(
                f"--git-dir={self.repository.git_dir}", "rev-parse", "-q", *asked, cwd=self.repository.root
            )
        except CaptureError:
            return None, None, branch
        commit, tree, *names = out.decode("utf-8", "replace").splitlines()
        followed = next((name for name in names if name.startswith("refs/heads/")), None)
        return commit, tree, None if followed is None else followed.removeprefix("refs/heads/")

    def commit_of(self, submodule: str) -> str | None:
        """The commit that is checked out in a submodule; None when it is not checked out."""
        root = self.repository.root / submodule
        inner = find_repository(root)
        if inner is None or inner.root != root:
            return None
        try:
            out = self._plain.run(
                f"--git-dir={inner.git_dir}", "rev-parse", "-q", "--verify", "HEAD^{commit}", cwd=root
            )
        except CaptureError:
            return None
        return out.decode().strip()

    def is_modified(self) -> bool:
        """Whether tracked files differ from the last commit, in the way ``git status`` sees it (line ends converted).

        Filters are switched off, so that none of their programs is started: a file under one counts as changed when its time did.
        """
        index = self.folder / "index.status"
        shutil.copy2(self.repository.git_dir / "index", index)
        off = ["core.fsmonitor=false", f"core.hooksPath={os.devnull}", "core.splitIndex=false"]
        names = {key.rpartition(".")[0] for key in self.settings if key.startswith("filter.")}
        off += [
            f"{name}.{what}" for name in sorted(names) for what in ("clean=", "smudge=", "process=", "required=false")
        ]
        variables = {
            "GIT_DIR": str(self.repository.git_dir),
            "GIT_WORK_TREE": str(self.repository.root),
            "GIT_INDEX_FILE": str(index),
        }
        git = Git(self._program, variables=variables)
        options = [word for setting in off for word in ("-c", setting)]
        git.run(*options, "update-index", "-q", "--refresh", "--unmerged", cwd=self.repository.root, ok=(0, 1))
        return bool(git.run(*options, "diff-index", "-z", "--name-only", "HEAD", "--", cwd=self.repository.root))

    def converts(self, entries: Iterable[Entry]) -> bool:
        """Whether the index may hold other bytes than the work tree: line ends, keywords, filters such as LFS."""
        if self.settings.get("core.autocrlf", "false") != "false" or "core.eol" in self.settings:
            return True
        files = [self.repository.common_dir / "info" / "attributes"]
        if "core.attributesfile" in self.settings:
            files.append(Path(self.settings["core.attributesfile"]).expanduser())
        else:
            config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
            files.append(Path(config).expanduser() / "git" / "attributes")
        root = self.repository.root
        files += [root / entry.path for entry in entries if entry.path.rpartition("/")[2] == ".gitattributes"]
        return any(_may_convert(path) for path in files)

    def forget_index(self) -> None:
        """Start from an empty index: every file is read again."""
        (self.folder / "index").unlink(missing_ok=True)

    def _settings(self) -> dict[str, str]:
        """The repository's settings over the user's; listing them starts none of the programs they name."""
        out = self._plain.run(
            f"--git-dir={self.repository.git_dir}", "config", "-z", "--list", cwd=self.repository.root
        )
        pairs = (item.partition("\n") for item in out.decode("utf-8", "surrogateescape").split("\0") if item)
        return {key: value for key, _, value in pairs}

    def _make(self) -> None:
        for name in ("objects/info", "objects/pack", "refs", "info"):
            (self.folder / name).mkdir(parents=True)
        objects = str(self.repository.common_dir / "objects")
        if "\n" in objects:
            raise CaptureError("git cannot be used", why="the repository's path has a line break")
        (self.folder / "HEAD").write_text("ref: refs/heads/none\n")
        alternates = [objects, *_alternates(Path(objects))]
        (self.folder / "objects/info/alternates").write_bytes(
            b"".join(os.fsencode(line) + b"\n" for line in alternates)
        )
        (self.folder / "info/attributes").write_text(_NO_CONVERSION)
        exclude = self.repository.common_dir / "info" / "exclude"
        if exclude.is_file():
            shutil.copyfile(exclude, self.folder / "info/exclude")
        settings = {name: self.settings[name] for name in _COPIED_SETTINGS if name in self.settings} | _SHADOW_SETTINGS
        settings["core.repositoryformatversion"] = "1" if "extensions.objectformat" in settings else "0"
        (self.folder / "config").write_text(_config_text(settings), encoding="utf-8", errors="surrogateescape")
        # copy2: git tells a file that changed in the same second as the index by the index's own time.
        for path in (self.repository.git_dir / "index", *self.repository.git_dir.glob("sharedindex.*")):
            if path.is_file():
                shutil.copy2(path, self.folder / path.name)


@contextlib.contextmanager
def open_shadow(repository: Repository) -> Iterator[Shadow]:
    """A shadow repository in a temporary folder, gone at the end.

    Raises:
        CaptureError: git is missing or cannot read the repository.
        OSError: the temporary folder cannot be written, or the repository's files cannot be read.
    """
    program = shutil.which("git")
    if program is None:
        raise CaptureError("git cannot be used", why="it is not on PATH")
    with TemporaryDirectory(prefix="lineage-git-", ignore_cleanup_errors=True) as folder:
        yield Shadow(repository, Path(folder), program)


def _alternates(objects: Path) -> Iterable[str]:
    """Object folders that the repository itself borrows from; relative ones are relative to its own."""
    try:
        text = (objects / "info" / "alternates").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return
    for line in text.splitlines():
        if line and not line.startswith("#"):
            yield os.path.normpath(objects / line)


def _config_text(settings: Mapping[str, str]) -> str:
    lines = []
    for name, value in settings.items():
        section, _, key = name.partition(".")
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        lines.append(f'[{section}]\n\t{key} = "{escaped}"\n')
    return "".join(lines)


def _may_convert(attributes: Path) -> bool:
    try:
        lines = attributes.read_bytes().splitlines()
    except OSError:
        return False
    rules = (
        line.split(maxsplit=1)[1] for line in lines if not line.startswith(b"#") and len(line.split(maxsplit=1)) == 2
    )
    return any(_CONVERTING.search(rule) for rule in rules)
