//! Prometheus' remote write, version 1: a snappy block of protobuf. A sample becomes
//! `{"name": "up", "labels": {"job": "a"}, "timestamp": 1700000000000, "value": 1.0}`, the shape that Prometheus' Kafka
//! adapter writes in JSON. A stale marker is a value that is not a number.
//!
//! The messages are those of `prometheus/prompb/remote.proto` and `types.proto`, as far as they are read.

use super::text::ObjectText;
use super::{ElementSink, Payload, not_in_format};
use crate::codec::{BadRecord, Reason};
use prost::Message;

/// The label that has the metric's name.
const NAME: &str = "__name__";

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    /// Milliseconds.
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

pub fn read(
    payload: &Payload<'_>,
    element: &mut String,
    elements: &mut impl ElementSink,
) -> Result<(), BadRecord> {
    let size = snap::raw::decompress_len(payload.bytes).map_err(not_in_format)?;
    if size > payload.max {
        let detail = format!("{size} bytes, once unpacked, are more than max_record_bytes");
        return Err(BadRecord { reason: Reason::TooLarge, field: None, detail });
    }
    let bytes = snap::raw::Decoder::new().decompress_vec(payload.bytes).map_err(not_in_format)?;
    let request = WriteRequest::decode(&*bytes).map_err(not_in_format)?;
    for TimeSeries { labels, samples } in &request.timeseries {
        for sample in samples {
            let mut object = ObjectText::begin(element);
            if let Some(name) = labels.iter().find(|label| label.name == NAME) {
                object.text("name", &name.value);
            }
            object.object("labels", |to| {
                labels.iter().filter(|l| l.name != NAME).for_each(|l| to.text(&l.name, &l.value));
            });
            object.whole("timestamp", sample.timestamp);
            object.number("value", sample.value);
            elements.element(object.end());
        }
    }
    Ok(())
}
