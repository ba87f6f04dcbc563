"""ONNX Runtime Web: two files of its npm package, fetched once and checked, or from a folder."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import tarfile
from pathlib import Path

from unseen.errors import SourceError
from unseen.sources.http import fetch
from unseen.system import cache

VERSION = "1.30.0"
# Module and WebAssembly. The second build also knows WebGPU, and is twice as large; a third one
# (asyncify) has no arithmetic in double precision, which resizing needs.
RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
WEBGPU_RUNTIME = ("ort.bundle.min.mjs", "ort-wasm-simd-threaded.jsep.wasm")
REGISTRY = "https://registry.npmjs.org"
VARIABLE = "npm_config_registry"  # as npm itself reads it
# What npm calls the integrity of the package: SHA-512 of the archive, in base64.
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
LARGEST_ARCHIVE = 80_000_000  # bytes
LARGEST_FILE = 40_000_000
SECONDS = 300.0
LICENCE = f"""\
onnxruntime-web {VERSION}, https://www.npmjs.com/package/onnxruntime-web
Copyright (c) Microsoft Corporation

MIT License

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial
portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES
OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def runtime_files(folder: Path | None = None, *, webgpu: bool = False) -> dict[str, bytes]:
    """The runtime's two files by name, from a folder or from the cache, which npm's registry fills.

    Raises
    ------
    SourceError
        If the folder does not have them, or they cannot be fetched.
    """
    names = WEBGPU_RUNTIME if webgpu else RUNTIME
    if folder is None:
        build = "-webgpu" if webgpu else ""
        folder = cache.intact_folder(
            f"onnxruntime-web-{VERSION}{build}", lambda empty: _fetch(empty, names)
        )
    for location in (folder, folder / "dist", folder / "package" / "dist"):
        if all((location / name).is_file() for name in names):
            return {name: (location / name).read_bytes() for name in names}
    raise SourceError(
        f"{folder}: it does not have {' and '.join(names)}; give the folder of the npm package "
        f"onnxruntime-web (npm pack onnxruntime-web@{VERSION}, then unpack it)."
    )


def _fetch(folder: Path, names: tuple[str, ...]) -> None:
    registry = os.environ.get(VARIABLE, REGISTRY).rstrip("/")
    url = f"{registry}/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
    try:
        content = fetch(url, max_bytes=LARGEST_ARCHIVE, max_seconds=SECONDS, max_redirects=5)
    except SourceError as error:
        raise SourceError(
            f"ONNX Runtime Web could not be fetched ({error}) Connect and try again, or pass "
            f"--runtime with the folder of the npm package onnxruntime-web {VERSION}."
        ) from None
    if base64.b64encode(hashlib.sha512(content).digest()).decode() != SHA512:
        raise SourceError(f"{url}: it is not the archive of version {VERSION} that is known here.")
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        for name in names:
            member = archive.extractfile(f"package/dist/{name}")
            if member is None:
                raise SourceError(f"{url}: it has no {name}.")
            (folder / name).write_bytes(member.read(LARGEST_FILE))
