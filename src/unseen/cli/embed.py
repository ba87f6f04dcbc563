"""`unseen embed`."""

from __future__ import annotations

from typing import Annotated, Optional

import numpy as np
import typer

from unseen import load
from unseen.cli import options, progress
from unseen.cli.output import named
from unseen.encode import BATCH_SIZE
from unseen.sources import count
from unseen.vectors import check_suffix, save_vectors


def embed(
    sources: options.Sources,
    output: options.OutFile,
    model: options.Model = "builtin",
    revision: Annotated[Optional[str], typer.Option(help="Of a hub id.")] = None,  # noqa: UP045
    batch_size: options.BatchSize = BATCH_SIZE,
    exact: options.Exact = False,
    threads: options.Threads = None,
    quiet: options.Quiet = False,
) -> None:
    """unseen embed photos/ -o vectors.parquet

    Write the embedding of each picture to a .npy, .safetensors or .parquet file.
    """
    check_suffix(output)
    classifier = load(model, revision=revision, exact=exact, threads=threads)
    names, rows = [], []
    stream = classifier.encoder.stream_images(sources, batch_size=batch_size)
    with progress.counting(count(sources), quiet) as counter:
        try:
            for encoded in stream:
                counter.picture(encoded.error is None)
                if encoded.embedding is None:
                    progress.say(named(encoded.name, str(encoded.error)))
                    continue
                names.append(encoded.name)
                rows.append(encoded.embedding)
        except KeyboardInterrupt:
            progress.say(f"stopped: {counter.done} done; these are kept.")
    facts = {"model": classifier.model.name, "fingerprint": classifier.model.fingerprint}
    matrix = np.array(rows, dtype=np.float32).reshape(len(rows), classifier.model.dimension)
    save_vectors(output, names, matrix, facts)
    progress.say(f"{output}: {matrix.shape[0]} embeddings of {matrix.shape[1]} numbers.")
    if counter.failed:
        progress.say(f"{counter.failed} of {counter.done} pictures could not be read.")
        raise typer.Exit(1)
