"""`unseen embed`."""

from __future__ import annotations

import typer

import unseen
from unseen.cli import options, progress
from unseen.cli.output_file import prepare
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions
from unseen.results.manifest import manifest, write_ended
from unseen.results.vectors import beside, check_suffix, writing_vectors
from unseen.sources.expand import count


@options.loads_model(refused={"adapter": options.NO_LABELS})
def embed(
    sources: options.Sources,
    output: options.OutFile,
    load_options: LoadOptions = DEFAULT_LOAD_OPTIONS,
    batch_size: options.BatchSize = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """unseen embed photos/ -o vectors.parquet

    Write the embedding of each picture to a .npy, .safetensors or .parquet file. A picture that
    cannot be read is named on standard error and left out.
    """
    check_suffix(output)
    for path in filter(None, (output, beside(output))):
        prepare(path, overwrite=overwrite)
    total = count(sources)
    classifier = unseen.load(load_options)
    known = classifier.model
    facts = {"model": known.name, "fingerprint": known.fingerprint}
    if known.revision:
        facts["revision"] = known.revision
    stream = classifier.encoder.stream_images(sources, batch_size=batch_size)
    makers = manifest(known, None, load_options.facts())
    stopped = False
    with (
        progress.counting(total, quiet) as counter,
        writing_vectors(output, known.dimension, facts) as file,
    ):
        try:
            for name, row in counter.readable(stream):
                file.add(name, row)
        except KeyboardInterrupt:
            stopped = True
    write_ended(output, makers, counter.done, counter.failed, complete=not stopped)
    kept = counter.done - counter.failed
    if stopped:
        progress.say(f"stopped: {counter.done} done, {kept} embeddings kept in {output}.")
    elif not quiet:
        progress.say(f"{output}: {kept} embeddings of {known.dimension} numbers.")
    progress.failures(counter)
    if stopped or counter.failed:
        raise typer.Exit(130 if stopped else 1)
