"""Commands in processes of their own that are forked, not started: for tests of what they do.

What a command imports from other libraries takes more of the processor than what it does to three
pictures. So its process is forked from one that has imported these, and nothing of unseen.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

AVAILABLE = sys.platform == "linux"
ADDRESS = "UNSEEN_TESTS_FORKING"  # the variable that tells a script where to ask
# The dear ones, which start no thread when they are imported.
IMPORTED = (
    "numpy", "PIL.Image", "PIL.JpegImagePlugin", "PIL.PngImagePlugin", "onnxruntime", "tokenizers",
    "safetensors", "typer", "yaml", "sqlite3", "platformdirs", "concurrent.futures.thread",
)  # fmt: skip

# A process waits for each command, and says its id and its exit status. The command leaves the
# loop, and runs to the end of this program, as any does. All of it is gone with the tests (1:
# PR_SET_PDEATHSIG).
FORKING = """
import ctypes, json, os, random, runpy, socket, sys
ctypes.CDLL(None).prctl(1, 9)
for name in sys.argv[2:]:
    __import__(name)
listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listening.bind(sys.argv[1])
listening.listen(64)
print("ready", flush=True)
while True:
    connection, _ = listening.accept()
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
    if os.fork():
        connection.close()
        continue
    listening.close()
    message, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    child = os.fork()
    if not child:
        break
    for descriptor in descriptors:
        os.close(descriptor)
    connection.send(str(child).encode())
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    connection.send(str(status).encode())
    os._exit(0)
connection.close()
call = json.loads(message)
os.chdir(call["folder"])
os.environ.clear()
os.environ.update(call["environment"])
for number, descriptor in enumerate(descriptors):
    os.dup2(descriptor, number)
    os.close(descriptor)
random.seed()
sys.argv = ["unseen", *call["arguments"]]
sys.path[0] = call["folder"]
runpy.run_module("unseen", run_name="__main__", alter_sys=True)
"""

# `unseen` for a shell: a small interpreter that asks, and gives its own streams away.
SCRIPT = f"""#!{sys.executable} -ISs
import json, os, signal, socket, sys
asking = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
asking.connect(os.environ["{ADDRESS}"])
call = {{"arguments": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}}
socket.send_fds(asking, [json.dumps(call).encode()], [0, 1, 2])
child = int(asking.recv(64))
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: os.kill(child, number))
status = int(asking.recv(64))
sys.exit(status if status >= 0 else 128 - status)
"""


def run(arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """`unseen` with these arguments, in a folder, until it ends."""
    call = {
        "arguments": [*arguments],
        "folder": str(folder),
        "environment": dict(os.environ),
    }
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        Path(os.devnull).open("rb") as nothing,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking,
    ):
        asking.connect(address())
        streams = [nothing.fileno(), out.fileno(), err.fileno()]
        socket.send_fds(asking, [json.dumps(call).encode()], streams)
        asking.recv(64)
        status = int(asking.recv(64))
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8"))
    return subprocess.CompletedProcess(["unseen", *arguments], status, *texts)


def shell_environment(folder: Path) -> dict[str, str]:
    """What a shell needs so that `unseen` is forked; a script is written into a folder."""
    folder.mkdir(exist_ok=True)
    script = folder / "unseen"
    script.write_text(SCRIPT, "utf-8")
    script.chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", ADDRESS: address()}


@functools.cache
def address() -> str:
    """Where to ask; the process that is forked is started the first time."""
    folder = tempfile.TemporaryDirectory(prefix="unseen-fork-")
    path = str(Path(folder.name, "socket"))
    command = [sys.executable, "-c", FORKING, path, *IMPORTED]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)

    def end() -> None:
        process.kill()
        process.wait()
        folder.cleanup()

    atexit.register(end)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    process.stdout.close()
    return path
