"""MQTT at a real broker: amqtt, in an environment of its own, as it pins what we do not."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from environments import python_with
from unseen.errors import SourceError
from unseen.monitoring.mqtt import Mqtt, slug

paho: Any = pytest.importorskip("paho.mqtt.client", reason="pip install unseen[video]")

SOON = 60.0
CONFIG = """
listeners:
  default: {{type: tcp, bind: "127.0.0.1:{port}"}}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin: {{allow_anonymous: true}}
"""


def wait(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def reachable(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


class Broker:
    """A broker that can be started and killed."""

    def __init__(self, folder: Path) -> None:
        self._python = python_with("amqtt", "amqtt==0.12.1")
        self.port = free_port()
        self._config = folder / "broker.yaml"
        self._config.write_text(CONFIG.format(port=self.port))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = self._python.with_name("amqtt")
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        self._process = subprocess.Popen(
            [command, "-c", self._config],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        wait(lambda: reachable(self.port))

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    yield broker
    broker.kill()


class Subscriber:
    """All messages of a broker, the last of each topic, and in order."""

    def __init__(self, port: int) -> None:
        self.last: dict[str, str] = {}
        self.all: list[tuple[str, str]] = []
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.on_message = self._received
        hears = threading.Event()
        self._client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self._client.on_subscribe = lambda *_: hears.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert hears.wait(SOON)

    def _received(self, client: Any, data: Any, one: Any) -> None:
        self.last[one.topic] = one.payload.decode()
        self.all.append((one.topic, one.payload.decode()))

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def event(kind: str, number: int, label: str = "a person") -> dict[str, Any]:
    facts = {"type": kind, "id": str(number), "source": "front door", "label": label}
    return facts | {"start": 1.0, "end": 2.0, "rule": None, "watched": "front door"}


def health(state: str) -> dict[str, Any]:
    facts = {"type": "health", "id": state, "source": "front door", "state": state}
    return facts | {"time": "2026-11-30T22:22:05.000Z", "detail": "", "watched": "front door"}


def sink(port: int) -> Mqtt:
    url = f"mqtt://127.0.0.1:{port}"
    return Mqtt(url, sources=["front door"], labels=["a person", "a dog"], rules=["at night"])


@pytest.mark.network
def test_home_assistant_learns_of_sensors_and_sees_their_state(broker: Broker) -> None:
    broker.start()
    told = sink(broker.port)
    ear = Subscriber(broker.port)
    told.put(event("new", 1))
    told.put(event("new", 2))
    told.put(event("end", 1))
    state = "unseen/front_door/state"
    wait(lambda: len([1 for topic, _ in ear.all if topic.endswith("/event")]) == 3)
    wait(lambda: json.loads(ear.last.get(state, "{}")).get("a_person") == "ON")
    assert json.loads(ear.last[state]) == {
        "a_person": "ON", "a_dog": "OFF", "rule_at_night": "OFF"
    }  # fmt: skip
    told.put(event("end", 2))
    wait(lambda: json.loads(ear.last[state])["a_person"] == "OFF")
    topic = "homeassistant/binary_sensor/unseen_front_door_a_person/config"
    config = json.loads(ear.last[topic])
    assert config["name"] == "a person" and config["unique_id"] == "unseen_front_door_a_person"
    assert config["state_topic"] == state and config["payload_on"] == "ON"
    assert [one["topic"] for one in config["availability"]] == [
        "unseen/availability", "unseen/front_door/availability"
    ]  # fmt: skip
    told.put(health("lost"))
    wait(lambda: ear.last.get("unseen/front_door/availability") == "offline")
    told.put(health("connected"))
    wait(lambda: ear.last["unseen/front_door/availability"] == "online")
    assert config["device"] == {"identifiers": ["unseen_front_door"], "name": "front door"}
    assert ear.last["unseen/availability"] == "online"
    late = Subscriber(broker.port)  # what is retained is there for who comes later
    wait(lambda: {topic, state, "unseen/availability"} <= set(late.last))
    assert not any(name.endswith("/event") for name in late.last)
    told.close(5)
    wait(lambda: ear.last["unseen/availability"] == "offline")
    ear.close()
    late.close()
    assert told.problems() == []


@pytest.mark.network
def test_a_broker_that_is_away_does_not_stop_the_watching(broker: Broker) -> None:
    told = sink(broker.port)
    wait(lambda: any("cannot be reached" in line for line in told.problems()))
    for number in range(5):
        told.put(event("new", number))
    broker.start()
    ear = Subscriber(broker.port)
    wait(lambda: json.loads(ear.last.get("unseen/front_door/state", "{}")).get("a_person") == "ON")
    told.close(5)
    ear.close()


@pytest.mark.network
@pytest.mark.skipif(os.name == "nt", reason="a process is ended otherwise there")
def test_who_is_killed_is_offline_by_the_last_will(broker: Broker) -> None:
    broker.start()
    code = (
        "import time; from unseen.monitoring.mqtt import Mqtt\n"
        f"Mqtt('mqtt://127.0.0.1:{broker.port}', sources=['x'], labels=['y'], rules=[])\n"
        "time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    ear = Subscriber(broker.port)
    wait(lambda: ear.last.get("unseen/availability") == "online")
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait(lambda: ear.last.get("unseen/availability") == "offline")
    ear.close()


def test_parts_of_topics_differ_where_names_do() -> None:
    names = ["camera:0", "camera 0!", "été", "ete", "猫", "x" * 50, "x" * 51, "3 people", "#/+"]
    parts = [slug(name) for name in names]
    assert len(set(parts)) == len(names)
    assert all(part and set(part) <= set("abcdefghijklmnopqrstuvwxyz0123456789_") for part in parts)


def test_names_that_are_written_alike_have_topics_of_their_own() -> None:
    labels = ["a dog", "A dog", "a-dog", "rule x"]
    broker = Mqtt("mqtt://127.0.0.1:9", sources=["availability", "x y", "x:y"], labels=labels,
                  rules=["x"])  # fmt: skip
    topics = [topic for topic, _ in broker.discovery()]
    broker.close(0)
    assert len(set(topics)) == len(topics) == 3 * 5


def test_what_is_no_broker_is_refused() -> None:
    for url in ("http://localhost", "mqtt://", "localhost:1883", "mqtt://a:b@host:99999"):
        with pytest.raises(SourceError, match="no address of a broker") as caught:
            Mqtt(url, sources=(), labels=(), rules=())
        assert "a:b" not in str(caught.value)


HOME_ASSISTANT = """
import asyncio, json, sys
async def main():
    import homeassistant.core
    home = homeassistant.core.HomeAssistant(sys.argv[1])
    from homeassistant.components.mqtt import binary_sensor, discovery
    state = json.dumps({"a_person": "ON", "rule_at_night": "OFF"})
    for topic, payload in json.load(sys.stdin):
        match = discovery.TOPIC_MATCHER.match(topic.removeprefix("homeassistant/"))
        assert match and match[1] == "binary_sensor", topic
        config = binary_sensor.DISCOVERY_SCHEMA(payload)
        assert set(payload) <= set(config), set(payload) - set(config)
        config["value_template"].hass = home
        print(config["value_template"].async_render_with_possible_json_value(state, "?"))
asyncio.run(main())
"""


@pytest.mark.network
@pytest.mark.skipif(
    not os.environ.get("UNSEEN_TEST_CLIENTS"), reason="$UNSEEN_TEST_CLIENTS is not set"
)
def test_home_assistant_takes_each_payload(tmp_path: Path) -> None:
    """Its own schemas, in an environment of its own, which takes minutes to install."""
    python = python_with("homeassistant", "homeassistant<2026")
    broker = Mqtt("mqtt://127.0.0.1:9/my home", sources=["front door", "\u00e9t\u00e9"],
                  labels=["a person"], rules=["at night"])  # fmt: skip
    payloads = json.dumps([*broker.discovery()])
    broker.close(0)
    done = subprocess.run(
        [python, "-I", "-c", HOME_ASSISTANT, tmp_path],
        input=payloads,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["ON", "OFF"] * 2, done.stderr
