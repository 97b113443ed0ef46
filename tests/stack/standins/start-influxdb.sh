#!/bin/sh
# InfluxDB 1.6.7 behind the mapping; when either program ends, the container does.
influxd -config /standin/influxdb.conf &
until influx -port 18086 -execute 'CREATE DATABASE "loadstone"' >/dev/null 2>&1; do sleep 0.2; done
exec nginx -e stderr -c /standin/nginx.conf
