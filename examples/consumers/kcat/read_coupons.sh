#!/bin/sh
# Prints key, headers and size of every coupon event with kcat, from the beginning to
# the end of the topic: what happened to which claim, without a schema registry.
#   read_coupons.sh localhost:9092 [topic]
# The values are Avro in Confluent's wire format. A kcat that was built with Avro
# (`kcat -V` says so; Debian's is not) shows them too, with
#   kcat ... -s value=avro -r http://localhost:8081
set -eu
bootstrap=$1 topic=${2:-headgate.coupons}
exec "${KCAT:-kcat}" -C -q -e -o beginning -b "$bootstrap" -t "$topic" -f '%k %h (%S bytes)\n'
