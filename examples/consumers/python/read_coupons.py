#!/usr/bin/env python3
"""Prints every coupon event as one line of JSON, with Confluent's own client and deserializer.

    pip install 'confluent-kafka[avro,schemaregistry]'
    read_coupons.py --bootstrap localhost:9092 --registry http://localhost:8081

What a consumer has to know about Headgate is in this file: events may come more than once and
are told apart by `ce_id`; per key (`ce_subject`) they come in the order of `ce_sequence`.
"""

import argparse
import collections
import json
import signal
import sys
from datetime import datetime

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

POLL_SECONDS = 1.0
# A consumer that must not act twice keeps these ids in its own database, in the transaction of
# its own change. For printing, the latest will do.
REMEMBERED_IDS = 100_000


def main() -> int:
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    registry = SchemaRegistryClient({"url": arguments.registry})
    # Without a schema of our own: each value is read with the schema that its producer names.
    read_value = AvroDeserializer(registry)
    consumer = Consumer({
        "bootstrap.servers": arguments.bootstrap,
        "group.id": arguments.group,
        "auto.offset.reset": "earliest",
        # Committed below, after the work is done.
        "enable.auto.commit": False,
        "enable.partition.eof": True,
    })
    consumer.subscribe([arguments.topic])
    try:
        for message in messages(consumer, until_end=arguments.until_end):
            context = SerializationContext(message.topic(), MessageField.VALUE)
            print_event(message, read_value(message.value(), context))
            consumer.commit(message, asynchronous=True)
    except KeyboardInterrupt:
        pass
    finally:
        consumer.close()
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bootstrap", required=True, help="host:port of Kafka")
    parser.add_argument("--registry", required=True, help="base URL of the schema registry")
    parser.add_argument("--topic", default="headgate.coupons")
    parser.add_argument("--group", default="example-python")
    parser.add_argument("--until-end", action="store_true",
                        help="stop at the end of the topic instead of waiting for more")
    return parser.parse_args()


def messages(consumer: Consumer, until_end: bool):
    """Each event once, as long as its id is remembered."""
    seen = collections.OrderedDict()
    ended = set()
    while True:
        message = consumer.poll(POLL_SECONDS)
        if message is None:
            continue
        if message.error():
            if message.error().code() != KafkaError._PARTITION_EOF:
                raise KafkaException(message.error())
            ended.add(message.partition())
            if until_end and len(ended) == len(consumer.assignment()):
                return
            continue
        event_id = header(message, "ce_id")
        if event_id in seen:
            continue
        seen[event_id] = None
        if len(seen) > REMEMBERED_IDS:
            seen.popitem(last=False)
        yield message


def header(message, name: str) -> str | None:
    values = [value for key, value in message.headers() or [] if key == name]
    return values[-1].decode() if values and values[-1] is not None else None


def print_event(message, value: dict) -> None:
    event = {
        "id": header(message, "ce_id"),
        "type": header(message, "ce_type"),
        "time": header(message, "ce_time"),
        "key": message.key().decode(),
        "sequence": int(header(message, "ce_sequence")),
        "value": value,
    }
    print(json.dumps(event, default=as_text), flush=True)


def as_text(value):
    """`timestamp-micros` comes as a datetime."""
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value)} in an event")


if __name__ == "__main__":
    sys.exit(main())
