"""The same four labelled pictures as every kind of source that there is."""

from __future__ import annotations

import csv
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image
from pyarrow import parquet

import hostile
import shapes
from raw_server import RawServer, answer

CLASSES = ("red circle", "blue star")
LABELS = ["a red circle", "a blue star"]
# By name in an archive: the first part is the class.
PICTURES: dict[str, bytes] = {
    f"{scene.replace(' ', '_')}/{number}.png": hostile.encoded(
        "PNG", shapes.draw(shapes.scene(scene), seed)
    )
    for scene in CLASSES
    for number, seed in enumerate((5, 6))
}


def class_of(name: str) -> str:
    return name.partition("/")[0].replace("_", " ")


class Bucket(MemoryFileSystem):
    """A store in memory under the scheme of another."""

    protocol = ("s3",)
    store: dict[str, object] = {}  # noqa: RUF012 - as the class above has it
    pseudo_dirs = [""]  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("s3://").strip("/")


@contextmanager
def bucket() -> Iterator[Bucket]:
    fsspec.register_implementation("s3", Bucket, clobber=True)
    Bucket.clear_instance_cache()
    try:
        yield Bucket()
    finally:
        Bucket.store.clear()
        fsspec.register_implementation("s3", "s3fs.S3FileSystem", clobber=True)


@contextmanager
def server(files: dict[str, bytes], *headers: str) -> Iterator[RawServer]:
    """A server of these files, with listings of their folders, and an ETag for each."""

    def respond(connection: Any, head: bytes) -> None:
        lines = head.decode().split("\r\n")
        path = lines[0].split()[1].lstrip("/")
        content = files.get(path)
        if content is None and (path.endswith("/") or not path):
            names = sorted(
                {name[len(path) :].partition("/") for name in files if name.startswith(path)}
            )
            links = "".join(f'<a href="{name}{slash}">x</a>' for name, slash, _ in names)
            content = f'<a href="?C=N">Name</a><a href="../">Up</a>{links}'.encode()
        if content is None:
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        tag = f'"{hash(content):x}"'
        if f"If-None-Match: {tag}" in lines:
            connection.sendall(b"HTTP/1.1 304 Not Modified\r\n\r\n")
            return
        connection.sendall(answer(content, f"ETag: {tag}", *headers))

    with RawServer(respond) as raw:
        yield raw


def in_folder(folder: Path) -> Path:
    for name, content in PICTURES.items():
        path = folder / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder / "folder"


def as_zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "pictures.zip", "w") as archive:
        for name, content in PICTURES.items():
            archive.writestr(f"pictures/{name}", content)
    return folder / "pictures.zip"


def as_tar(folder: Path, name: str = "shard.tar", mode: str = "w") -> Path:
    """A webdataset: the label of each picture beside it."""
    with tarfile.open(folder / name, mode) as archive:
        for number, (member, content) in enumerate(PICTURES.items()):
            for suffix, data in (("png", content), ("cls", class_of(member).encode())):
                info = tarfile.TarInfo(f"./{number:03}.{suffix}")
                info.size = len(data)
                archive.addfile(info, BytesIO(data))
    return folder / name


def as_packed_tar(folder: Path) -> Path:
    return as_tar(folder, "shard.tar.gz", "w:gz")


def as_csv(folder: Path) -> Path:
    in_folder(folder)
    with (folder / "list.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "city"])
        writer.writerows([f"folder/{name}", class_of(name), "Köln"] for name in PICTURES)
    return folder / "list.csv"


def as_json_lines(folder: Path) -> Path:
    in_folder(folder)
    rows = [{"image": f"folder/{name}", "label": class_of(name)} for name in PICTURES]
    (folder / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return folder / "list.jsonl"


def table() -> pa.Table:
    """As Hugging Face writes it: the class is a number, whose name is in the schema."""
    names = {"info": {"features": {"label": {"_type": "ClassLabel", "names": [*CLASSES]}}}}
    return pa.table(
        {
            "image": [{"bytes": one, "path": name} for name, one in PICTURES.items()],
            "label": [CLASSES.index(class_of(name)) for name in PICTURES],
        }
    ).replace_schema_metadata({"huggingface": json.dumps(names)})


def as_parquet(folder: Path) -> Path:
    parquet.write_table(table(), folder / "table.parquet", row_group_size=2)
    return folder / "table.parquet"


def as_arrow(folder: Path) -> Path:
    with pa.ipc.new_stream(str(folder / "table.arrow"), table().schema) as writer:
        writer.write_table(table(), max_chunksize=3)
    return folder / "table.arrow"


def pages() -> list[Image.Image]:
    return [Image.open(BytesIO(content)).convert("RGB") for content in PICTURES.values()]


def as_tiff(folder: Path) -> Path:
    first, *others = pages()
    first.save(folder / "scan.tif", save_all=True, append_images=others, compression="tiff_lzw")
    return folder / "scan.tif"


def as_pdf(folder: Path) -> Path:
    first, *others = pages()
    first.save(folder / "scan.pdf", save_all=True, append_images=others)
    return folder / "scan.pdf"


# Those that are a file or a folder of this machine.
FILES: dict[str, Callable[[Path], Path]] = {
    "folder": in_folder,
    "zip": as_zip,
    "tar": as_tar,
    "packed tar": as_packed_tar,
    "CSV": as_csv,
    "JSON lines": as_json_lines,
    "Parquet": as_parquet,
    "Arrow": as_arrow,
    "TIFF": as_tiff,
    "PDF": as_pdf,
}
