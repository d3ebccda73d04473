"""The peer: paho, and what comes in goes out; `python -m bench.latency.echo PORT FROM TO`."""

from __future__ import annotations

import sys
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion


def main(port: str, source: str, target: str) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)

    def say_again(who: paho.Client, _: Any, message: paho.MQTTMessage) -> None:
        who.publish(target, message.payload, qos=1)

    client.on_message = say_again
    client.on_connect = lambda who, *_: who.subscribe(source, 1)
    client.connect("127.0.0.1", int(port))
    client.loop_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
