"""Clients of other projects, unchanged, against a server: each in an environment of its own.

Those that take minutes to install run where $UNSEEN_TEST_CLIENTS says so.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import urllib.error
import uuid
from pathlib import Path
from typing import Any

import pytest

from asking import ask, png
from environments import node_with, python_with
from serving import serving, until
from unseen.load_options import LoadOptions
from unseen.web.server.core.settings import Settings

pytestmark = pytest.mark.network

SCRIPTS = Path(__file__).with_name("clients")
LARGE = pytest.mark.skipif(
    not os.environ.get("UNSEEN_TEST_CLIENTS"), reason="$UNSEEN_TEST_CLIENTS is not set"
)


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("infinity", "infinity-client==0.0.78"),
        pytest.param("langchain", "langchain-openai==1.7.4", marks=LARGE),
        pytest.param("llama_index", "llama-index-embeddings-openai==0.7.0", marks=LARGE),
        pytest.param("litellm", "litellm==1.83.0", marks=LARGE),
    ],
)
def test_python(name: str, package: str, url: str, shapes_clip: Path) -> None:
    python = python_with(name, package)
    script = SCRIPTS / "python_clients.py"
    done = subprocess.run(
        [python, "-I", script, name, url, str(shapes_clip)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.endswith("ok\n"), done.stderr


def test_javascript(url: str, tmp_path: Path) -> None:
    """openai and @huggingface/inference."""
    folder = node_with("node", "openai@6", "@huggingface/inference@4")
    script = shutil.copy(SCRIPTS / "javascript_clients.mjs", folder)
    picture = tmp_path / "red.png"
    picture.write_bytes(png("red circle"))
    done = subprocess.run(
        ["node", script, url, picture], capture_output=True, text=True, timeout=300
    )
    assert done.stdout == "ok\n", done.stderr


CONFIG = """<View><Image name="image" value="$image"/><Choices name="what" toName="image">
<Choice value="red circle"/><Choice value="blue square"/></Choices></View>"""
# Without the first two it connects to no private address: docs/clients.md.
OPEN = {
    "ML_BLOCK_LOCAL_IP": "false",
    "SSRF_PROTECTION_ENABLED": "false",
    "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
    "COLLECT_ANALYTICS": "false",
}


@LARGE
def test_label_studio(shapes_clip: Path, tmp_path: Path) -> None:
    """Uploads are fetched from it with its token, and labelled."""
    python = python_with("label-studio", "label-studio==1.23.2")
    token = uuid.uuid4().hex
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    studio = f"http://127.0.0.1:{port}"
    settings = Settings(
        LoadOptions(str(shapes_clip)),
        label_store=tmp_path / "sets.sqlite",
        url_hosts=frozenset({f"127.0.0.1:{port}", f"localhost:{port}"}),
    )
    options = ["--username", "a@example.org", "--password", "secret123", "--user-token", token]
    options += ["--no-browser", "--internal-host", "127.0.0.1", "--port", port]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = subprocess.Popen(
        [python.with_name("label-studio"), "start", *options, "--data-dir", tmp_path / "data"],
        env=environment | OPEN,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def call(path: str, body: Any = None, **headers: str) -> Any:
        status, answer, _ = ask(studio + path, body, authorization=f"Token {token}", **headers)
        assert status < 300, answer
        return answer

    def answers() -> bool:
        try:
            return bool(ask(f"{studio}/health")[0] == 200)
        except (urllib.error.URLError, OSError):
            return False

    try:
        with serving(settings) as served:
            until(answers, 600)
            project = call("/api/projects", {"title": "shapes", "label_config": CONFIG})["id"]
            for label in ("red circle", "blue square"):
                form = (
                    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n'
                    b"Content-Type: image/png\r\n\r\n" + png(label) + b"\r\n--x--\r\n"
                )
                kind = "multipart/form-data; boundary=x"
                call(f"/api/projects/{project}/import", form, Content_Type=kind)
            backend = {"url": served.url, "project": project, "title": "unseen"}
            assert call("/api/ml", backend)["readable_state"] == "Connected"
            action = f"/api/dm/actions?id=retrieve_tasks_predictions&project={project}"
            call(action, {"selectedItems": {"all": True, "excluded": []}})
            tasks = call(f"/api/tasks?project={project}&fields=all")["tasks"]
    finally:
        command.terminate()
        command.wait(60)
    labels = [task["predictions"][0]["result"][0]["value"]["choices"] for task in tasks]
    assert labels == [["red circle"], ["blue square"]]
