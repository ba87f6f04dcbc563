"""MQTT, as Home Assistant takes it: what is seen is a binary sensor, and events are messages.

Topics, of a source `door` and the prefix `unseen`:

    unseen/availability                       online, or offline (the last will), retained
    unseen/door/availability                  offline while the source is lost, retained
    unseen/door/state                         {"a_person": "ON", "rule_night": "OFF"}, retained
    unseen/door/event                         each message as JSON
    unseen/door/health                        how the source is, retained
    homeassistant/binary_sensor/unseen_door_a_person/config          discovery, retained
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from threading import Lock
from typing import Any
from urllib.parse import unquote, urlsplit

from unseen.errors import MissingExtraError, SourceError
from unseen.monitoring.messages import HEALTH
from unseen.monitoring.sinks import MQTT, Problems
from unseen.sources.live import without_password

PORTS = {"mqtt": 1883, "mqtts": 8883}
DISCOVERY = "homeassistant"
ON, OFF = "ON", "OFF"
ONLINE, OFFLINE = "online", "offline"
# How a source is → whether its sensors say anything: of a camera that is lost nobody knows whether
# there is nobody there.
AVAILABILITY = {"connected": ONLINE, "lost": OFFLINE}
QUEUE_MESSAGES = 1_000  # while the broker is away
SLUG_LENGTH = 40
QOS = 1  # at least once


def slug(text: str) -> str:
    """A text as a part of a topic: a-z, 0-9 and _; what is changed or cut has a mark of its own.

    >>> slug("door"), slug("a person"), slug("camera:0")
    ('door', 'a_person', 'camera_0')
    >>> slug("été")
    't_bd010c'
    """
    simple = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    if simple and len(simple) <= SLUG_LENGTH and re.fullmatch(r"[A-Za-z0-9 _:-]+", text):
        return simple
    return f"{simple[:SLUG_LENGTH]}_{_mark(text)}".lstrip("_")


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]


def slugs(names: Iterable[str], prefix: str = "", taken: Iterable[str] = ()) -> dict[str, str]:
    """The slug of each name, no two alike.

    >>> slugs(["a dog", "A dog"])
    {'a dog': 'a_dog', 'A dog': 'a_dog_d2894c'}
    """
    used, parts = set(taken), {}
    for name in names:
        part = prefix + slug(name)
        parts[name] = f"{part}_{_mark(name)}" if part in used else part
        used.add(parts[name])
    return parts


class Mqtt:
    """A broker is told. It may be away: what is retained is sent when it is back.

    Parameters
    ----------
    url : str
        ``mqtt://host:1883/prefix``, or mqtts for TLS. A user name may stand in it; the password
        better in the environment variable UNSEEN_MQTT_PASSWORD.
    sources : iterable of str
        The names of what is watched.
    labels : iterable of str
        A sensor each, at each source.
    rules : iterable of str
        The same.

    Raises
    ------
    SourceError
        If the address is none.
    MissingExtraError
        If paho-mqtt is not installed.
    """

    name = MQTT

    def __init__(
        self, url: str, *, sources: Iterable[str], labels: Iterable[str], rules: Iterable[str]
    ) -> None:
        try:
            from paho.mqtt.client import Client  # noqa: PLC0415 - an extra
            from paho.mqtt.enums import CallbackAPIVersion  # noqa: PLC0415 - an extra
        except ImportError:
            raise MissingExtraError("MQTT", library="paho-mqtt", extra="video") from None
        parts = _parts(url)
        self._address = without_password(url)
        self._prefix = parts.path.strip("/") or "unseen"
        self._places = slugs(sources, taken=["availability"])
        self._labels = slugs(labels)
        self._rules = slugs(rules, "rule_", self._labels.values())
        keys = [*self._labels.values(), *self._rules.values()]
        self._states = {source: dict.fromkeys(keys, OFF) for source in self._places}
        self._availability = dict.fromkeys(self._places, ONLINE)
        self._going_on: dict[str, tuple[str, str]] = {}  # id → source, key
        self._lock = Lock()
        self._problems = Problems()
        self._client: Any = Client(CallbackAPIVersion.VERSION2)
        self._client.max_queued_messages_set(QUEUE_MESSAGES)
        self._client.reconnect_delay_set(1, 30)
        self._client.on_connect = self._connected
        self._client.on_connect_fail = self._no_connection
        self._client.on_disconnect = self._disconnected
        self._client.will_set(self._topic("availability"), OFFLINE, QOS, retain=True)
        password = os.environ.get("UNSEEN_MQTT_PASSWORD") or unquote(parts.password or "")
        if parts.username or password:
            self._client.username_pw_set(unquote(parts.username or ""), password or None)
        if parts.scheme == "mqtts":
            self._client.tls_set()
        self._client.connect_async(parts.hostname, parts.port or PORTS[parts.scheme])
        self._client.loop_start()

    def put(self, message: dict[str, Any]) -> None:
        """A message to deliver, soon."""
        source = message.get("watched", message["source"])
        if source not in self._states:
            return
        place, is_health = self._places[source], message["type"] == HEALTH
        with self._lock:
            changed = self._note(source, message)
        topic = f"{place}/health" if is_health else f"{place}/event"
        self._publish(topic, json.dumps(message, ensure_ascii=False), retain=is_health)
        if changed:
            self._publish_state(source)

    def close(self, seconds: float) -> None:
        """Nothing more comes: it is offline."""
        if self._client.is_connected():
            try:
                info = self._publish("availability", OFFLINE, retain=True)
                info.wait_for_publish(seconds)
            except (ValueError, RuntimeError):
                pass
        self._client.disconnect()
        self._client.loop_stop()

    def problems(self) -> list[str]:
        """What went wrong since the last call."""
        return self._problems.take()

    def _note(self, source: str, message: dict[str, Any]) -> bool:
        """Whether the state of a source is another now. Several events may be of one label."""
        if message["type"] == HEALTH:
            before = self._availability[source]
            now = AVAILABILITY.get(message["state"], before)
            self._availability[source] = now
            return now != before
        if message["type"] not in ("new", "end"):
            return False
        rule = message["rule"]
        key = self._labels.get(message["label"]) if rule is None else self._rules.get(rule)
        if key is None:  # no sensor
            return False
        if message["type"] == "new":
            self._going_on[message["id"]] = (source, key)
        else:
            self._going_on.pop(message["id"], None)
        value = ON if (source, key) in self._going_on.values() else OFF
        changed = self._states[source][key] != value
        self._states[source][key] = value
        return changed

    def _publish_state(self, source: str) -> None:
        with self._lock:
            available, state = self._availability[source], json.dumps(self._states[source])
        self._publish(f"{self._places[source]}/availability", available, retain=True)
        self._publish(f"{self._places[source]}/state", state, retain=True)

    def _topic(self, rest: str) -> str:
        return f"{self._prefix}/{rest}"

    def _publish(self, rest: str, payload: str, *, retain: bool) -> Any:
        return self._client.publish(self._topic(rest), payload, QOS, retain)

    def _connected(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._problems.failed(f"mqtt: {self._address}: {reason}")
            return
        self._problems.works()
        for topic, payload in self.discovery():
            client.publish(topic, json.dumps(payload), QOS, True)
        self._publish("availability", ONLINE, retain=True)
        for source in self._places:
            self._publish_state(source)

    def _no_connection(self, client: Any, data: Any) -> None:
        self._problems.failed(f"mqtt: {self._address} cannot be reached; it is tried again.")

    def _disconnected(
        self, client: Any, data: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        if reason.is_failure:
            self._problems.failed(f"mqtt: {self._address}: {reason}; it is tried again.")

    def discovery(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """A topic and a payload for each sensor, by which Home Assistant learns of it."""
        for source, place in self._places.items():
            device = f"{slug(self._prefix)}_{place}"
            topics = [self._topic("availability"), self._topic(f"{place}/availability")]
            for name, key in [*self._labels.items(), *self._rules.items()]:
                yield (
                    f"{DISCOVERY}/binary_sensor/{device}_{key}/config",
                    {
                        "name": name,
                        "unique_id": f"{device}_{key}",
                        "state_topic": self._topic(f"{place}/state"),
                        "value_template": f"{{{{ value_json[{key!r}] }}}}",
                        "payload_on": ON,
                        "payload_off": OFF,
                        "availability": [{"topic": topic} for topic in topics],
                        "availability_mode": "all",
                        "device": {"identifiers": [device], "name": source},
                        "origin": {"name": "unseen"},
                    },
                )


def _parts(url: str) -> Any:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in PORTS and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid:
        raise SourceError(
            f"{without_password(url)}: this is no address of a broker; give one such as "
            "mqtt://localhost:1883."
        )
    return parts
