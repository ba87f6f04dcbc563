"""Images in tar archives, and what stands beside them; what hostile archives cannot do."""

from __future__ import annotations

import io
import json
import resource
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

import hostile
import unseen
from memory import taken
from unseen.images.open import open_image
from unseen.sources.expand import count, expand, fields_of, left_out
from unseen.sources.item import Source

PNG = hostile.encoded("PNG")


def packed(path: Path, members: Iterable[tuple[str, bytes]], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def error_of(source: Source) -> str | None:
    try:
        open_image(source.content)
    except unseen.UnseenError as error:
        return str(error)
    return None


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tgz", "tar.bz2", "tar.xz", "TAR"])
def test_images_in_their_order_and_none_that_is_hidden(tmp_path: Path, suffix: str) -> None:
    names = ["b.png", "a/c.png", "notes.md", ".hidden.png", "__MACOSX/._b.png", "in.zip"]
    mode = {"gz": "w:gz", "tgz": "w:gz", "bz2": "w:bz2", "xz": "w:xz"}.get(
        suffix.rpartition(".")[2], "w"
    )
    path = packed(tmp_path / f"photos.{suffix}", [(name, PNG) for name in names], mode)
    sources = list(expand(path))
    assert [source.name for source in sources] == [f"{path}!/b.png", f"{path}!/a/c.png"]
    assert [source.meta for source in sources] == [{"member": "b.png"}, {"member": "a/c.png"}]
    assert [error_of(source) for source in sources] == [None, None]
    assert left_out(path) == {"zip archive": 1, "other": 3}
    assert fields_of(path) == ("member", "cls", "txt") and count(path) is None


def test_what_stands_beside_a_picture_is_its_metadata(tmp_path: Path) -> None:
    """As webdataset groups: by the name up to the first dot of its last part."""
    facts = {"author": "A", "year": 2020, "score": 0.5, "ok": True, "tags": ["x"], "nan": None}
    path = packed(
        tmp_path / "shard.tar",
        [
            ("a.b/1.json", json.dumps(facts).encode()),
            ("a.b/1.jpg", hostile.encoded("JPEG")),
            ("a.b/1.seg.png", PNG),
            ("a.b/2.cls", b"17\n"),
            ("a.b/2.png", PNG),
            ("a.b/2.txt", b"ein Bild"),
            ("a.b/3.png", PNG),
            ("a.b/3.json", b"{"),
            ("a.b/4.txt", b"a text without a picture"),
        ],
    )
    one = {key: value for key, value in facts.items() if key != "tags"}
    assert [dict(source.meta) for source in expand(path)] == [
        one | {"member": "a.b/1.jpg"},
        one | {"member": "a.b/1.seg.png"},
        {"cls": 17, "txt": "ein Bild", "member": "a.b/2.png"},
        {"member": "a.b/3.png"},
    ]


def test_it_is_the_sample_of_webdataset_itself(tmp_path: Path) -> None:
    """The keys are those that its documentation gives (no library of it is installed)."""
    path = packed(tmp_path / "s.tar", [("x/001.left.png", PNG), ("x/001.right.png", PNG)])
    assert [Path(s.name).name for s in expand(path)] == ["001.left.png", "001.right.png"]


def test_an_archive_that_is_cut_gives_what_it_had_and_an_error(tmp_path: Path) -> None:
    whole = packed(tmp_path / "a.tar", [(f"{i}.png", PNG) for i in range(20)]).read_bytes()
    for length in (len(whole) // 2, 512 * 4, 700):
        cut = tmp_path / "cut.tar"
        cut.write_bytes(whole[:length])
        *read, last = expand(cut)
        assert all(error_of(source) is None for source in read)
        where = f"after {len(read)} members" if read else "at its start"
        assert last.name == str(cut) and f"cannot be read {where}" in str(error_of(last))
    for content in (b"", b"no archive", b"\x1f\x8b" + bytes(100), PNG):
        cut.write_bytes(content)
        (only,) = expand(cut)
        assert "cannot be read at its start" in str(error_of(only))


def test_links_devices_and_names_that_lead_out_are_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"{kind.decode()}.png")
            info.type, info.linkname = kind, "/etc/hostname"
            archive.addfile(info)
        info = tarfile.TarInfo("../../b.png")
        info.size = len(PNG)
        archive.addfile(info, io.BytesIO(PNG))
    (only,) = expand(path)
    assert "leads out" in str(error_of(only))


HOSTILE = {
    "a long name": (tarfile.GNUTYPE_LONGNAME, 8 << 30),
    "pax records": (tarfile.XHDTYPE, 8 << 30),
    "a sparse member": (tarfile.GNUTYPE_SPARSE, 512),
    "a picture": (tarfile.REGTYPE, 8 << 30),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_header_does_not_decide_over_memory(tmp_path: Path, kind: str) -> None:
    """A packed archive of a megabyte claims gigabytes; the child may have 1 GB."""
    import gzip

    type_, size = HOSTILE[kind]
    info = tarfile.TarInfo("a.png")
    info.type, info.size = type_, size
    path = tmp_path / "a.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(256):
            file.write(bytes(1 << 20))
    code = (
        "import sys\nfrom unseen.sources.expand import expand\n"
        "for source in expand(sys.argv[1]): print(type(source.content).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True, text=True, timeout=60, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["Unreadable"]


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is what Linux says it is")
def test_a_large_archive_is_read_at_flat_memory(tmp_path: Path) -> None:
    """300 MB in a child that may grow by 50."""
    noise = np.random.default_rng(0).bytes(1 << 20)
    path = packed(tmp_path / "large.tar", ((f"{i}.png", noise) for i in range(300)))
    code = """
import sys
from pathlib import Path
from unseen.sources.expand import expand
def peak():  # not ru_maxrss: that begins with what the process had that started this one
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) // 1024
before = peak()
print(sum(1 for _ in expand(sys.argv[1])))
print(peak() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    number, grown = map(int, done.stdout.split())
    assert number == 300 and grown < 50


def test_the_answers_are_those_of_the_files(tmp_path: Path) -> None:
    paths = sorted(map(str, Path("examples").glob("*.jpg")))
    assert len(paths) > 1
    path = packed(tmp_path / "a.tar.gz", [(p, Path(p).read_bytes()) for p in paths], "w:gz")
    classifier = unseen.load()
    labels = ["cat", "dog", "sheep"]
    from_files = classifier.classify_many(paths, labels)
    from_tar = classifier.classify_many(path, labels)
    assert [p.probabilities for p in from_tar] == [p.probabilities for p in from_files]


def test_a_sample_of_many_large_members_is_not_held_whole(tmp_path: Path) -> None:
    """All share a name, so they belong together; they come packed to a thousandth."""
    blank = bytes(8_000_000)
    names = [f"a.{number}.bmp" for number in range(40)]
    path = packed(tmp_path / "a.tgz", [(name, blank) for name in names], "w:gz")
    with path.open("ab") as file:  # so that it may grow to so much
        file.write(bytes(2_000_000))
    code = """
from unseen.sources.expand import expand
expand([sys.argv[1] + "x.png"])
begin(2_000_000_000)
print(sum(1 for _ in expand(sys.argv[1])), file=sys.stderr)
end()
"""
    most, _ = taken(code, path)
    assert most < 250_000_000, f"{most / 1e6:.0f} MB of {len(names) * len(blank) / 1e6:.0f}"
