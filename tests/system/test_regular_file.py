"""Files of other people: what is no regular file is an error at once, wherever it is named."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from unseen.system.regular_file import open_regular, read_text

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
SECONDS = 120  # of a process that would otherwise wait for ever

# Every kind of file that a user may name: a pipe in its place is an error, not a wait.
OPENED = """
import os
import sys
from pathlib import Path
import unseen
from unseen.datasets.readers import read_annotations
from unseen.labels import label_file
from unseen.models.checkpoint import Checkpoint, read_json
from unseen.models.hub import config_file
from unseen.models.weights.files import open_files
from unseen.prediction.adapter import Adapter
from unseen.prediction.calibration import Calibration
from unseen.results import read
from unseen.annotation.organize import take_back
from unseen.web.server.http import keys

folder = Path(sys.argv[1])
calls = {
    "picture.jpg": unseen.open_image,
    "labels.txt": label_file.read,
    "labels.safetensors": lambda path: Adapter.load(path),
    "calibration.json": Calibration.load,
    "table.csv": read_annotations,
    "rows.jsonl": lambda path: [*read(path)],
    "undo.jsonl": lambda path: [*take_back(path)],
    "keys.txt": keys.read,
    "model.safetensors": lambda path: open_files([path], "m"),
    "config.json": lambda path: read_json(Checkpoint("m", path.parent), path.name),
}
for name, call in calls.items():
    os.mkfifo(folder / name)
    try:
        call(folder / name)
    except unseen.UnseenError as error:
        assert "a named pipe" in str(error) or name == "model.safetensors", (name, error)
        print(name, error)
    else:
        raise SystemExit(f"{name} was read")
assert config_file(folder) == "config.json"
"""


def test_a_pipe_in_the_place_of_any_file_is_an_error_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPENED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 10


def test_sockets_devices_and_folders(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        with pytest.raises(OSError, match="this is a socket, not a file"):
            open_regular(tmp_path / "s")
    with pytest.raises(OSError, match="this is a device, not a file"):
        open_regular("/dev/zero")
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError, match="it is a link to nowhere, which is not there"):
        open_regular(tmp_path / "link")
    (tmp_path / "text").write_bytes(b"\xef\xbb\xbfa\r\nb")
    assert read_text(tmp_path / "text", "utf-8-sig") == "a\nb"


def test_a_link_to_standard_input_is_a_pipe_like_any_other(tmp_path: Path) -> None:
    """Only whoever names it reads it: in a folder of strange files it would be waited for."""
    (tmp_path / "x.jpg").symlink_to("/dev/stdin")
    code = "import sys; from unseen.system.regular_file import *; open_regular(sys.argv[1]).read()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen([*command, tmp_path / "x.jpg"], stdin=-1, stderr=-1) as waiting:
        assert b"this is a named pipe" in waiting.communicate(timeout=SECONDS)[1]
    subprocess.run([*command, "/dev/stdin"], input=b"content", check=True, timeout=SECONDS)
