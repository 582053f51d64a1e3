# The producers of tests/producers, got when they are first needed. Sourced by tests/run, after tools.sh.

telegraf_version=v1.37.2
collector_version=v0.165.0
collector_exporter_version=v0.165.1

# The smallest Telegraf that has these plugins.
need_telegraf() {
  local bin=$1
  [ -x "$bin/telegraf-$telegraf_version" ] && return
  say "building Telegraf $telegraf_version: this takes minutes"
  CGO_ENABLED=0 GOBIN=$bin nice go install -trimpath -ldflags=-s \
    -tags custom,inputs.cpu,inputs.mem,outputs.file,outputs.kafka,serializers.influx,serializers.json \
    "github.com/influxdata/telegraf/cmd/telegraf@$telegraf_version" || die "Go could not build Telegraf"
  mv "$bin/telegraf" "$bin/telegraf-$telegraf_version"
  ln -sf "telegraf-$telegraf_version" "$bin/telegraf"
}

# An OpenTelemetry Collector that receives OTLP and writes to Kafka, made by OpenTelemetry's own builder.
need_collector() {
  local bin=$1
  [ -x "$bin/otelcol-kafka-$collector_version" ] && return
  say "building the OpenTelemetry Collector $collector_version: this takes minutes"
  CGO_ENABLED=0 GOBIN=$bin nice go install "go.opentelemetry.io/collector/cmd/builder@$collector_version" \
    || die "Go could not build the builder of the OpenTelemetry Collector"
  cat >"$bin/../collector.yaml" <<YAML
dist: { name: otelcol-kafka, output_path: $bin/../collector, version: ${collector_version#v} }
receivers:
  - gomod: go.opentelemetry.io/collector/receiver/otlpreceiver $collector_version
exporters:
  - gomod: github.com/open-telemetry/opentelemetry-collector-contrib/exporter/kafkaexporter $collector_exporter_version
YAML
  CGO_ENABLED=0 nice "$bin/builder" --config "$bin/../collector.yaml" >&2 \
    || die "the builder could not build the OpenTelemetry Collector"
  mv "$bin/../collector/otelcol-kafka" "$bin/otelcol-kafka-$collector_version"
  ln -sf "otelcol-kafka-$collector_version" "$bin/otelcol-kafka"
}

# A Python with a library that speaks Sparkplug.
need_sparkplug() {
  local venv=$1/python
  "$venv/bin/python" -c 'import pysparkplug' 2>/dev/null && return
  say "getting pysparkplug from PyPI"
  python3 -m venv "$venv" && "$venv/bin/pip" install -q pysparkplug==0.3.2 || die "pip could not install pysparkplug"
}

need_producers() {
  local at missing=() package
  for package in kcat mosquitto mosquitto-clients prometheus; do
    [[ $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) == *installed ]] || missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
  has go || die "Go is missing: https://go.dev/dl"
  mkdir -p "$target/producers/bin"
  at=$(cd "$target/producers" && pwd)
  need_telegraf "$at/bin"
  need_collector "$at/bin"
  need_sparkplug "$at"
}
