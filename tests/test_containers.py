"""The Dockerfile and the examples that run it: what they name is there. (No engine runs here.)"""

from __future__ import annotations

import json
import re
import shlex
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from unseen.cli.app import app
from unseen.web.server.core.settings import ServerLimits, Settings
from unseen.web.server.http import health

ROOT = Path(__file__).parent.parent
OURS = {"UNSEEN_HOME", "UNSEEN_API_KEY"}  # variables that are no option's


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    """(COPY, its arguments), …: of the Dockerfile, in order."""
    text = (ROOT / "Dockerfile").read_text("utf-8")
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line]  # type: ignore[misc]


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / "examples/compose.yaml").read_text("utf-8"))
    return config["services"]["unseen"]


@pytest.fixture(scope="module")
def cluster() -> dict[str, dict[str, Any]]:
    documents = yaml.safe_load_all((ROOT / "examples/kubernetes.yaml").read_text("utf-8"))
    return {document["kind"]: document for document in documents}


@pytest.fixture(scope="module")
def pod(cluster: dict[str, dict[str, Any]]) -> dict[str, Any]:
    spec: dict[str, Any] = cluster["Deployment"]["spec"]["template"]["spec"]
    return spec


@pytest.fixture(scope="module")
def container(pod: dict[str, Any]) -> dict[str, Any]:
    first: dict[str, Any] = pod["containers"][0]
    return first


def serve_parameters() -> list[Any]:
    command = typer.main.get_command(app)
    return command.commands["serve"].params  # type: ignore[attr-defined,no-any-return]


def options_of(arguments: list[str]) -> dict[str, str]:
    """--name value pairs, each an option of `unseen serve`."""
    known = {name for parameter in serve_parameters() for name in parameter.opts}
    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert set(given) <= known
    return given


def variables() -> set[str]:
    return OURS | {parameter.envvar for parameter in serve_parameters() if parameter.envvar}


def paths() -> set[str]:
    return {getattr(route, "path", "") for route in health.router.routes}


def all_of(instructions: list[tuple[str, str]], name: str) -> list[str]:
    return [rest for word, rest in instructions if word == name]


def test_what_the_image_is_made_of_is_there_and_is_sent(
    instructions: list[tuple[str, str]],
) -> None:
    rules = (ROOT / ".dockerignore").read_text("utf-8").split("\n")
    sent = [rule[1:] for rule in rules if rule.startswith("!")]
    assert "*" in rules
    copied = []
    for arguments in all_of(instructions, "COPY"):
        words = shlex.split(arguments)
        if not words[0].startswith("--from"):
            copied += words[:-1]
    assert "src" in copied
    for name in copied:
        assert (ROOT / name).exists()
        assert any(fnmatch(name, rule) for rule in sent), f"{name} is kept back by .dockerignore"


def test_the_wheel_is_made_of_what_is_copied(instructions: list[tuple[str, str]]) -> None:
    copied = " ".join(all_of(instructions, "COPY")).split()
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    readme = re.search(r'^readme = "(.+)"', project, re.MULTILINE)
    licences = re.search(r"^license-files = \[(.+)\]", project, re.MULTILINE)
    assert readme is not None and licences is not None
    assert readme[1] in copied
    for pattern in re.findall(r'"([^"]+)"', licences[1]):
        assert pattern.partition("/")[0] in copied


def test_the_entry_point_is_a_command_that_exists(instructions: list[tuple[str, str]]) -> None:
    (text,) = all_of(instructions, "ENTRYPOINT")
    program, command, *rest = json.loads(text)  # the form without a shell, which takes signals
    assert (program, command) == ("unseen", "serve")
    assert options_of(rest) == {"--host": "0.0.0.0"}
    assert all_of(instructions, "STOPSIGNAL") == ["SIGTERM"]


def test_the_image_has_no_root(instructions: list[tuple[str, str]], pod: dict[str, Any]) -> None:
    words = [word for word, _ in instructions]
    (user,) = all_of(instructions, "USER")
    number, _, group = user.partition(":")
    assert number.isdigit() and int(number) > 0
    assert "USER" in words[words.index("ENTRYPOINT") :] or words.index("USER") < words.index(
        "ENTRYPOINT"
    )
    assert f"--uid {number} " in " ".join(all_of(instructions, "RUN"))
    context = pod["securityContext"]
    assert context["runAsNonRoot"] is True
    assert (context["runAsUser"], context["runAsGroup"]) == (int(number), int(group))
    assert context["fsGroup"] == int(group)


def test_health_checks_ask_routes_that_exist(
    instructions: list[tuple[str, str]], service: dict[str, Any], container: dict[str, Any]
) -> None:
    checks = [*all_of(instructions, "HEALTHCHECK"), " ".join(service["healthcheck"]["test"])]
    for check in checks:
        match = re.search(r"'GET', '([^']+)'", check)
        assert match is not None and match[1] in paths()
        assert str(Settings().port) in check
    for name, path in {
        "startupProbe": "/readyz",
        "readinessProbe": "/readyz",
        "livenessProbe": "/healthz",
    }.items():
        assert container[name]["httpGet"] == {"path": path, "port": "http"}
        assert path in paths()


def test_the_checks_of_containers_are_programs(
    instructions: list[tuple[str, str]], service: dict[str, Any]
) -> None:
    (image,) = all_of(instructions, "HEALTHCHECK")
    program = json.loads(image.partition("CMD ")[2])
    assert program[:2] == ["python", "-c"]
    compile(program[2], "HEALTHCHECK", "exec")
    assert service["healthcheck"]["test"][:3] == ["CMD", "python", "-c"]
    compile(service["healthcheck"]["test"][3], "healthcheck", "exec")


def test_ports(
    instructions: list[tuple[str, str]],
    service: dict[str, Any],
    cluster: dict[str, dict[str, Any]],
    container: dict[str, Any],
) -> None:
    port = Settings().port
    assert all_of(instructions, "EXPOSE") == [str(port)]
    assert service["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert container["ports"] == [{"name": "http", "containerPort": port}]
    notes = cluster["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert notes["prometheus.io/port"] == str(port)
    assert notes["prometheus.io/path"] in paths()
    assert cluster["Service"]["spec"]["ports"][0]["targetPort"] == "http"


def test_the_service_finds_its_pods(cluster: dict[str, dict[str, Any]]) -> None:
    deployment = cluster["Deployment"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"].items() <= labels.items()
    assert cluster["Service"]["spec"]["selector"].items() <= labels.items()


def test_a_volume_where_the_server_writes_and_nothing_else(
    instructions: list[tuple[str, str]],
    service: dict[str, Any],
    pod: dict[str, Any],
    container: dict[str, Any],
) -> None:
    (home,) = all_of(instructions, "VOLUME")
    environment = " ".join(all_of(instructions, "ENV")).split()
    assert f"UNSEEN_HOME={home}" in environment
    assert f"HF_HOME={home}/huggingface" in environment
    assert service["read_only"] is True and service["tmpfs"] == ["/tmp"]
    assert service["volumes"] == [f"unseen:{home}"]
    assert service["cap_drop"] == ["ALL"] == container["securityContext"]["capabilities"]["drop"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts == {"home": home, "tmp": "/tmp"}
    assert {volume["name"] for volume in pod["volumes"]} == set(mounts)


def test_options_and_variables_exist(
    instructions: list[tuple[str, str]], service: dict[str, Any], container: dict[str, Any]
) -> None:
    compose, kubernetes = options_of(service["command"]), options_of(container["args"])
    # They find out by themselves how many processors they may use.
    assert {*compose, *kubernetes} == {"--model"}
    assert service["cpus"] and container["resources"]["limits"]["cpu"]
    named = {*service["environment"], *(entry["name"] for entry in container["env"])}
    named |= set(re.findall(r"(UNSEEN_\w+)", (ROOT / "Dockerfile").read_text("utf-8")))
    assert named <= variables()


def test_time_to_end(service: dict[str, Any], pod: dict[str, Any]) -> None:
    drain = ServerLimits().drain_seconds
    assert float(service["stop_grace_period"].removesuffix("s")) > drain + 5
    assert pod["terminationGracePeriodSeconds"] > drain + 5
