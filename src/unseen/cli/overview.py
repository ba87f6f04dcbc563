"""The commands: where each one is, its line, and `unseen --help`, which needs nothing else.

Nothing is imported here: the help answers in the time that Python takes to start.
"""

from __future__ import annotations

# heading → command → (module in `unseen.cli.commands`, its name there, a line that a stranger
# understands)
COMMANDS: dict[str, dict[str, tuple[str, str, str]]] = {
    "Classify": {
        "classify": ("classify", "classify", "Say which of your labels fit each picture."),
        "explain": ("explain", "explain", "Show what in a picture speaks for its label."),
        "organize": ("organize", "organize", "Sort pictures into a folder for each label."),
        "embed": ("embed", "embed", "Write the embedding of each picture to a file."),
        "video": ("video", "video", "Say what happens in a video, and when."),
        "watch": ("watch", "watch", "Follow cameras and streams, and tell somebody."),
    },
    "Collections of pictures": {
        "index": ("index", "index", "Encode a folder once, then search it as often as you like."),
        "search": ("search", "search", "Find pictures by words or by an example."),
        "similar": ("groups", "similar", "Find groups of pictures that are alike."),
        "duplicates": ("groups", "duplicates", "Find copies of the same picture."),
        "clusters": ("groups", "clusters", "Sort a collection into groups, without labels."),
        "map": ("map", "draw_map", "Draw a collection as a map, on a page to look at."),
    },
    "Millions of pictures": {
        "job": ("job", "job", "Plan a job once, run it anywhere: one row a picture."),
    },
    "Label sets": {
        "labels": (
            "labels",
            "labels",
            "Check a label set for mistakes; encode it once for a model.",
        ),
    },
    "Data sets and training": {
        "label": ("label", "label", "Label a folder: a model proposes, you review and export."),
        "adapt": ("adapt", "adapt", "Improve answers with a few labelled pictures."),
        "tune": ("tune", "tune", "Fine-tune a model, and refuse what forgets too much."),
        "distil": ("distil", "distil", "Train a small, fast classifier from labelled pictures."),
    },
    "Measuring": {
        "eval": ("evaluate", "evaluate", "Measure accuracy on labelled pictures."),
        "calibrate": (
            "calibrate",
            "calibrate",
            "Make probabilities honest, with a few labelled pictures.",
        ),
        "diff": ("diff", "diff", "Compare two runs of classify: what changed, and why."),
    },
    "Models": {
        "models": ("models", "models", "List, download and test models."),
        "cache": (
            "cache",
            "cache",
            "Show or clear what is kept, so that it need not be computed again.",
        ),
        "doctor": ("doctor", "doctor", "Check the installation."),
    },
    "Serving": {
        "export": ("export", "export", "Write a classifier as one file that needs no Python."),
        "serve": ("serve", "serve", "Answer over HTTP, with a web page to try it."),
        "keys": ("serve", "keys", "Manage the API keys of the server."),
    },
    "Reading": {
        "help": ("help", "help_page", "Print a page of the documentation."),
    },
}
# Commands that live in a file beside that of their group.
SUBCOMMANDS: dict[str, dict[str, tuple[str, str, str]]] = {
    "job": {
        "plan": ("job_plan", "plan", "List the pictures, and what determines their answers."),
        "estimate": ("job_run", "estimate", "Time a sample, and say what all of it takes."),
        "run": ("job_run", "run", "Do what is not done yet, in processes of this machine."),
        "status": ("job", "status", "Say how far a job is, over all who work at it."),
        "verify": ("job", "verify", "Prove that every picture has one row."),
        "retry": ("job", "retry", "Plan the pictures again that failed."),
        "export": ("job", "export", "Write the rows of a job to one file."),
    },
    "label": {
        "export": (
            "label_export",
            "export",
            "Write the labels as a data set: train, valid, test.",
        ),
        "review": ("label_review", "review", "Review the proposals on a page in the browser."),
    },
    "models": {
        "soup": ("models_soup", "soup", "Write the mean of several tunings of one model."),
        "verify": ("verify", "verify", "Test a model in every runtime and precision."),
    },
}
LINE = "Name what no model was trained to name: zero-shot image classification."
OPTIONS = {
    "--version": "Print the version.",
    "--debug": "Show the traceback of an error.",
    "-q, --quiet": "Show only warnings and errors.",
    "-h, --help": "Show this message and exit.",
}


def overview() -> str:
    """The text of `unseen --help`."""
    sections = {"Options": OPTIONS} | {
        heading: {name: line for name, (_, _, line) in commands.items()}
        for heading, commands in COMMANDS.items()
    }
    lines = ["Usage: unseen [OPTIONS] COMMAND [ARGS]...", "", f"  {LINE}"]
    for heading, rows in sections.items():
        column = max(map(len, rows)) if heading == "Options" else COLUMN
        lines += ["", f"{heading}:"]
        lines += [f"  {name:<{column}}  {line}" for name, line in rows.items()]
    return "\n".join(lines)


COLUMN = max(len(name) for commands in COMMANDS.values() for name in commands)
