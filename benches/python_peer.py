#!/usr/bin/env python3
"""The yardstick of `end_to_end`: what a user would write with confluent-kafka, orjson and PyTorch.

Reads `{"id":"meter-17","ts":1700000000000,"kw":1.234}`, keyed by id; keeps one LSTM state a series; steps
all series that have a reading as one batch; answers each reading with 24 leads x 3 quantiles as JSON.
Exactly once: forecasts and offsets in one transaction. The weights are random, as only the speed counts:
no experts, no scores, no calibration, no recovery of the states.

    benches/python_peer.py --bootstrap localhost:9092 --input meters --output forecasts --readings 1000000

Prints one line of JSON. The clock starts with the first reading in hand and stops with the last commit.
"""

import argparse
import json
import os
import sys
import time

import orjson
import torch
from confluent_kafka import Consumer, Producer

FEATURES = 8
LEVELS = ("0.05", "0.5", "0.95")


def arguments():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--bootstrap", required=True)
    p.add_argument("--input", required=True, help="topic of the readings")
    p.add_argument("--output", required=True, help="topic of the forecasts, with as many partitions")
    p.add_argument("--readings", type=int, required=True, help="stop after so many")
    p.add_argument("--group", default=f"python-peer-{os.getpid()}")
    p.add_argument("--hidden", type=int, default=64)
    p.add_argument("--horizon", type=int, default=24)
    p.add_argument("--threads", type=int, default=1, help="of PyTorch")
    p.add_argument("--poll-records", type=int, default=5_000, help="the most that are taken at once")
    p.add_argument("--commit-readings", type=int, default=20_000, help="readings in a transaction")
    p.add_argument("--patience", type=float, default=60.0, help="seconds without a reading before it gives up")
    return p.parse_args()


class Model:
    """One set of weights, and a row of hidden state for each series."""

    def __init__(self, hidden, horizon):
        torch.manual_seed(1)
        self.cell = torch.nn.LSTMCell(FEATURES, hidden)
        self.head = torch.nn.Linear(hidden, horizon * len(LEVELS))
        self.horizon = horizon
        self.h = torch.zeros(1024, hidden)  # [series, hidden]
        self.c = torch.zeros(1024, hidden)
        self.rows = {}

    def row(self, series):
        row = self.rows.setdefault(series, len(self.rows))
        if row >= len(self.h):
            self.h = torch.cat((self.h, torch.zeros_like(self.h)))
            self.c = torch.cat((self.c, torch.zeros_like(self.c)))
        return row

    def step(self, rows, values):
        """Steps each row, none of them twice; returns quantiles as [series, level, lead]."""
        rows = torch.tensor(rows)
        x = torch.zeros(len(rows), FEATURES)
        x[:, 0] = torch.tensor(values)
        h, c = self.cell(x, (self.h[rows], self.c[rows]))
        self.h[rows], self.c[rows] = h, c
        y = self.head(h).view(-1, len(LEVELS), self.horizon)
        return y.round(decimals=4).numpy()


def batches(todo):
    """Cuts readings into batches that hold a series once, in order."""
    while todo:
        seen, now, later = set(), [], []
        for entry in todo:
            (later if entry[0] in seen else now).append(entry)
            seen.add(entry[0])
        yield now
        todo = later


def forecast(reading, quantiles):
    return orjson.dumps(
        {
            "stream": "power",
            "series": reading["id"],
            "origin": reading["ts"],
            "interval_s": 3600,
            "model": "peer",
            "degraded": None,
            "targets": {
                "kw": {
                    "last": reading["kw"],
                    "yhat": quantiles[1],
                    "quantiles": dict(zip(LEVELS, quantiles)),
                }
            },
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )


def produce(producer, *args, **kwargs):
    while True:
        try:
            return producer.produce(*args, **kwargs)
        except BufferError:
            producer.poll(0.01)


def run(args):
    torch.set_num_threads(args.threads)
    consumer = Consumer(
        {
            "bootstrap.servers": args.bootstrap,
            "group.id": args.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            # At its default of 1,000 a fast consumer waits more than it works.
            "fetch.queue.backoff.ms": 10,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": args.bootstrap,
            "transactional.id": args.group,
            "linger.ms": 5,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    producer.init_transactions()
    consumer.subscribe([args.input])
    model = Model(args.hidden, args.horizon)
    done = committed = 0
    started = cpu_started = None
    last_seen = time.perf_counter()

    def commit():
        producer.send_offsets_to_transaction(
            consumer.position(consumer.assignment()), consumer.consumer_group_metadata()
        )
        producer.commit_transaction()

    producer.begin_transaction()
    with torch.inference_mode():
        while done < args.readings:
            messages = consumer.consume(min(args.poll_records, args.readings - done), 0.2)
            now = time.perf_counter()
            if not messages:
                if now - last_seen > args.patience:
                    sys.exit(f"no reading for {args.patience} s after {done} of {args.readings}")
                continue
            last_seen = now
            if started is None:
                started, cpu_started = now, time.process_time()
            todo = []
            for message in messages:
                if message.error():
                    sys.exit(str(message.error()))
                reading = orjson.loads(message.value())
                todo.append((model.row(reading["id"]), reading, message.key(), message.partition()))
            for batch in batches(todo):
                quantiles = model.step([e[0] for e in batch], [e[1]["kw"] for e in batch])
                for (_, reading, key, partition), q in zip(batch, quantiles):
                    produce(producer, args.output, forecast(reading, q), key=key, partition=partition)
                producer.poll(0)
            done += len(todo)
            if done - committed >= args.commit_readings:
                commit()
                committed = done
                producer.begin_transaction()
    commit()
    seconds = time.perf_counter() - started
    cpu = time.process_time() - cpu_started
    consumer.close()
    return {
        "readings": done,
        "series": len(model.rows),
        "seconds": round(seconds, 3),
        "readings_per_second": round(done / seconds),
        "cpu_us_per_reading": round(1e6 * cpu / done, 3),
    }


if __name__ == "__main__":
    print(json.dumps(run(arguments())))
