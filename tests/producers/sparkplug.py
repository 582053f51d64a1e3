"""A device that speaks Sparkplug B, by pysparkplug: its births, or some of its data by alias alone.

usage: sparkplug.py PORT births|FROM TO
"""

import sys

import paho.mqtt.client as mqtt
from pysparkplug import DataType, DBirth, DData, Metric, NBirth

START = 1_767_225_600_000
port, what = int(sys.argv[1]), sys.argv[2]
client = mqtt.Client(client_id=f"line-1-{what}")
client.connect("127.0.0.1", port)
client.loop_start()


def publish(topic, payload):
    client.publish(f"spBv1.0/plant/{topic}", payload.encode(), qos=1).wait_for_publish()


def values(step, names):
    time = START + step * 1000
    name = lambda text: text if names else None
    return (
        Metric(time, name("temperature"), DataType.FLOAT, 20.0 + step % 7 / 8, alias=11),
        Metric(time, name("offset"), DataType.INT16, step % 5 - 3, alias=12),
        Metric(time, name("running"), DataType.BOOLEAN, step % 2 == 0, alias=13),
    )


if what == "births":
    rebirth = Metric(START, "Node Control/Rebirth", DataType.BOOLEAN, False)
    sequence = Metric(START, "bdSeq", DataType.INT64, 0)
    publish("NBIRTH/line-1", NBirth(START, 0, (sequence, rebirth)))
    maker = Metric(START, "Properties/Maker", DataType.STRING, "Acme")
    publish("DBIRTH/line-1/press", DBirth(START, 1, (*values(0, True), maker)))
else:
    for step in range(int(what), int(sys.argv[3])):
        publish("DDATA/line-1/press", DData(START + step * 1000, (step + 1) % 256, values(step, False)))
client.loop_stop()
