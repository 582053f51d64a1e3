//! The formats of records, and where each has a reading's parts.

use super::key::Key;
use super::kinds::{Choice, Word, choice};

/// The format of a stream's records.
///
/// All but JSON are read as JSON objects of a documented shape, the elements: places lead through these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// An object, an array of objects, or a nested batch.
    #[default]
    Json,
    /// One JSON object a line.
    Ndjson,
    /// Telegraf's JSON, single or batch.
    TelegrafJson,
    /// `InfluxDB`'s line protocol, one or many lines.
    Influx,
    /// OpenTelemetry's `ExportMetricsServiceRequest` as protobuf.
    OtlpProto,
    /// The same as JSON.
    OtlpJson,
    /// One sample of Prometheus as JSON, as its Kafka adapter writes it.
    PrometheusJson,
    /// Prometheus' remote write, version 1: protobuf in a snappy block.
    PrometheusRemoteWrite,
    /// The telemetry formats of the `ThingsBoard` platform and its gateways.
    Thingsboard,
    /// Rows of separated values, whose columns the config names.
    Csv,
    /// A number and nothing else.
    Plain,
    /// Sparkplug B, bridged from MQTT: protobuf, with the MQTT topic beside it.
    SparkplugB,
    /// Avro: a datum in Confluent's wire format, or of a schema from a file; or a container.
    Avro,
    /// Protobuf in Confluent's wire format, or of a schema from a file.
    Protobuf,
    /// JSON in Confluent's wire format.
    JsonSchema,
}

pub(super) static FORMAT: Key<Choice<Format>> = choice(
    "format",
    &[
        Word::new("json", Format::Json, "an object, an array of objects, or a nested batch"),
        Word::new("ndjson", Format::Ndjson, "one JSON object a line"),
        Word::new("telegraf_json", Format::TelegrafJson, "Telegraf's JSON, single or batch"),
        Word::new("influx", Format::Influx, "InfluxDB's line protocol, one or many lines"),
        Word::new("otlp_proto", Format::OtlpProto, "OpenTelemetry metrics as protobuf"),
        Word::new("otlp_json", Format::OtlpJson, "OpenTelemetry metrics as JSON"),
        Word::new("prometheus_json", Format::PrometheusJson, "one Prometheus sample as JSON"),
        Word::new(
            "prometheus_remote_write",
            Format::PrometheusRemoteWrite,
            "Prometheus remote write 1.0, protobuf in a snappy block",
        ),
        Word::new("thingsboard", Format::Thingsboard, "ThingsBoard's telemetry, of devices and gateways"),
        Word::new("csv", Format::Csv, "rows of separated values"),
        Word::new("plain", Format::Plain, "a number and nothing else"),
        Word::new("sparkplug_b", Format::SparkplugB, "Sparkplug B, bridged from MQTT"),
        Word::new("avro", Format::Avro, "Avro with a schema registry or a schema's file; or a container"),
        Word::new("protobuf", Format::Protobuf, "Protobuf with a schema registry or a schema's file"),
        Word::new("json_schema", Format::JsonSchema, "JSON in the wire format of schema registries"),
    ],
    "The format of the records. docs/formats.md has the shape of each, and where its series, times and values lie.",
);

impl Format {
    /// The word in the config.
    pub fn as_str(self) -> &'static str {
        FORMAT.kind.word_of(&self).map_or("json", |word| word.word)
    }

    /// Whether the elements of a batch may lie inside a record, where `fields.records` leads.
    pub(super) fn has_batches(self) -> bool {
        matches!(self, Self::Json | Self::Ndjson | Self::Avro | Self::Protobuf | Self::JsonSchema)
    }

    /// Whether an element has one value under a name of its own.
    pub(super) fn has_one_value(self) -> bool {
        matches!(
            self,
            Self::OtlpProto
                | Self::OtlpJson
                | Self::PrometheusJson
                | Self::PrometheusRemoteWrite
                | Self::Plain
                | Self::SparkplugB
        )
    }

    /// The places that name a series by default.
    pub(super) fn series(self) -> &'static [&'static str] {
        match self {
            Self::Json
            | Self::Ndjson
            | Self::Csv
            | Self::Plain
            | Self::Avro
            | Self::Protobuf
            | Self::JsonSchema => &["@key"],
            Self::TelegrafJson | Self::Influx => &["/name", "/tags/*"],
            Self::OtlpProto | Self::OtlpJson => &["/name", "/resource/*", "/attributes/*"],
            Self::PrometheusJson | Self::PrometheusRemoteWrite => &["/name", "/labels/*"],
            Self::Thingsboard => &["/device"],
            Self::SparkplugB => &["/name", "/source/*"],
        }
    }

    /// The object that tells series apart, where the format has one: a name in a template is one of its members.
    pub(super) fn labels(self) -> &'static str {
        match self {
            Self::TelegrafJson | Self::Influx => "/tags",
            Self::OtlpProto | Self::OtlpJson => "/attributes",
            Self::PrometheusJson | Self::PrometheusRemoteWrite => "/labels",
            Self::SparkplugB => "/source",
            _ => "",
        }
    }

    /// The place of the time by default.
    pub(super) fn time(self) -> &'static str {
        match self {
            Self::Json
            | Self::Ndjson
            | Self::Csv
            | Self::Plain
            | Self::Avro
            | Self::Protobuf
            | Self::JsonSchema => "@timestamp",
            Self::TelegrafJson
            | Self::Influx
            | Self::PrometheusJson
            | Self::PrometheusRemoteWrite
            | Self::SparkplugB => "/timestamp",
            Self::OtlpProto | Self::OtlpJson => "/time",
            Self::Thingsboard => "/ts",
        }
    }

    /// Whether an element without a time has that of its record, as the format's own users expect.
    pub fn may_lack_time(self) -> bool {
        matches!(self, Self::Influx | Self::Thingsboard)
    }

    /// Whether the schema of a record must be known to read it.
    pub fn has_schemas(self) -> bool {
        matches!(self, Self::Avro | Self::Protobuf)
    }

    /// The label that repeats the name of a metric, which is part of the series' name already.
    pub fn name_label(self) -> Option<&'static str> {
        matches!(self, Self::PrometheusJson | Self::PrometheusRemoteWrite).then_some("__name__")
    }

    /// The pointer to a value's parent by default, and whether the value's own name follows.
    pub(super) fn value(self) -> (&'static str, bool) {
        match self {
            Self::Json | Self::Ndjson | Self::Csv | Self::Avro | Self::Protobuf | Self::JsonSchema => {
                ("", true)
            }
            Self::TelegrafJson | Self::Influx => ("/fields", true),
            Self::Thingsboard => ("/values", true),
            _ => ("/value", false),
        }
    }
}
