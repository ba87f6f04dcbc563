"""`unseen embed`."""

from __future__ import annotations

import unseen
from unseen.cli import options, progress
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions
from unseen.results.vectors import check_output_files
from unseen.sources.expand import count


@options.loads_model(refused={"adapter": options.NO_LABELS})
def embed(
    sources: options.Sources,
    output: options.OutFile,
    load_options: LoadOptions = DEFAULT_LOAD_OPTIONS,
    batch_size: options.BatchSize = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen embed photos/ -o vectors.parquet

    Write the embedding of each picture to a .npy, .safetensors or .parquet file. A picture that
    cannot be read is named on standard error and left out.
    """
    check_output_files(output, overwrite=overwrite)
    total = count(sources)
    classifier = unseen.load(load_options)
    with progress.counting(total, quiet) as counter, counter.interruptible():
        unseen.embed(
            classifier,
            sources,
            output,
            batch_size=batch_size,
            overwrite=overwrite,
            progress=counter.show,
        )
    summary = counter.finished()
    written = summary.pictures - summary.errors
    if summary.complete and not quiet:
        progress.say(f"{output}: {written} embeddings of {classifier.model.dimension} numbers.")
    several = total != 1 or bool(summary.left_out)
    progress.end(
        summary,
        f"{summary.pictures} done, {written} embeddings kept in {output}",
        closing=several and not quiet,
    )
