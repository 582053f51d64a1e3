//! OpenTelemetry's metrics: an `ExportMetricsServiceRequest` as protobuf or as JSON, read by OpenTelemetry's own
//! definitions. A data point becomes
//! `{"name", "unit", "type", "temporality", "scope", "resource": {…}, "attributes": {…}, "time": 1700000000000000000, "value": 1.5}`.
//! One of a sum of temporality `delta` has `rate` too: what was added per second.
//! One of a histogram or a summary has `count`, `sum`, and `min` and `max` where they are known, in place of `value`.

use super::text::ObjectText;
use super::{ElementSink, Payload, not_in_format};
use crate::codec::BadRecord;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, DataPointFlags, Metric, NumberDataPoint,
};
use prost::Message;

pub fn read_protobuf(
    payload: &Payload<'_>,
    element: &mut String,
    elements: &mut impl ElementSink,
) -> Result<(), BadRecord> {
    let request = ExportMetricsServiceRequest::decode(payload.bytes).map_err(not_in_format)?;
    request_elements(&request, element, elements);
    Ok(())
}

pub fn read_json(
    payload: &str,
    element: &mut String,
    elements: &mut impl ElementSink,
) -> Result<(), BadRecord> {
    let request = serde_json::from_str(payload).map_err(not_in_format)?;
    request_elements(&request, element, elements);
    Ok(())
}

fn request_elements(
    request: &ExportMetricsServiceRequest,
    element: &mut String,
    elements: &mut impl ElementSink,
) {
    for of_resource in &request.resource_metrics {
        let resource = of_resource.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
        for of_scope in &of_resource.scope_metrics {
            let scope = of_scope.scope.as_ref().map_or("", |scope| &scope.name);
            for metric in &of_scope.metrics {
                Points { resource, scope, metric, temporality: None, element, elements }.all();
            }
        }
    }
}

/// The data points of one metric.
struct Points<'a, S> {
    resource: &'a [KeyValue],
    scope: &'a str,
    metric: &'a Metric,
    /// Of a sum or a histogram.
    temporality: Option<&'static str>,
    element: &'a mut String,
    elements: &'a mut S,
}

impl<S: ElementSink> Points<'_, S> {
    fn all(mut self) {
        match &self.metric.data {
            None => self.elements.refuse(not_in_format(format!("metric {} has no data", self.metric.name))),
            Some(Data::Gauge(gauge)) => {
                gauge.data_points.iter().for_each(|point| self.number("gauge", point));
            }
            Some(Data::Sum(sum)) => {
                self.temporality = temporality(sum.aggregation_temporality);
                sum.data_points.iter().for_each(|point| self.number("sum", point));
            }
            Some(Data::Histogram(histogram)) => {
                self.temporality = temporality(histogram.aggregation_temporality);
                for p in &histogram.data_points {
                    let of = Distribution { count: p.count, sum: p.sum, min: p.min, max: p.max };
                    self.point("histogram", &p.attributes, p.time_unix_nano, |to| of.write(to));
                }
            }
            Some(Data::ExponentialHistogram(histogram)) => {
                self.temporality = temporality(histogram.aggregation_temporality);
                for p in &histogram.data_points {
                    let of = Distribution { count: p.count, sum: p.sum, min: p.min, max: p.max };
                    self.point("exponential_histogram", &p.attributes, p.time_unix_nano, |to| of.write(to));
                }
            }
            Some(Data::Summary(summary)) => {
                for p in &summary.data_points {
                    let of = Distribution { count: p.count, sum: Some(p.sum), min: None, max: None };
                    self.point("summary", &p.attributes, p.time_unix_nano, |to| of.write(to));
                }
            }
        }
    }

    fn number(&mut self, kind: &str, point: &NumberDataPoint) {
        let is_absent = point.flags & DataPointFlags::NoRecordedValueMask as u32 != 0;
        let value = point.value.filter(|_| !is_absent);
        let seconds = self.seconds(point);
        self.point(kind, &point.attributes, point.time_unix_nano, |to| {
            let number = match value {
                Some(Number::AsDouble(value)) => {
                    to.number("value", value);
                    value
                }
                Some(Number::AsInt(value)) => {
                    to.whole("value", value);
                    value as f64
                }
                None => return to.raw("value", "null"),
            };
            if let Some(seconds) = seconds {
                to.number("rate", number / seconds);
            }
        });
    }

    /// The seconds in which a number has grown, where it says what was added in them.
    fn seconds(&self, point: &NumberDataPoint) -> Option<f64> {
        let nanos = point.time_unix_nano.checked_sub(point.start_time_unix_nano)?;
        let is_delta = self.temporality == Some(DELTA) && point.start_time_unix_nano > 0 && nanos > 0;
        is_delta.then_some(nanos as f64 / 1e9)
    }

    fn point(
        &mut self,
        kind: &str,
        attributes: &[KeyValue],
        time: u64,
        values: impl FnOnce(&mut ObjectText<'_>),
    ) {
        let mut object = ObjectText::begin(self.element);
        object.text("name", &self.metric.name);
        object.text("unit", &self.metric.unit);
        object.text("type", kind);
        self.temporality.into_iter().for_each(|word| object.text("temporality", word));
        object.text("scope", self.scope);
        object.object("resource", |to| put(to, self.resource));
        object.object("attributes", |to| put(to, attributes));
        object.whole("time", time);
        values(&mut object);
        self.elements.element(object.end());
    }
}

const DELTA: &str = "delta";

/// Whether a number has grown since the last one, or since the process began.
fn temporality(number: i32) -> Option<&'static str> {
    match AggregationTemporality::try_from(number) {
        Ok(AggregationTemporality::Delta) => Some(DELTA),
        Ok(AggregationTemporality::Cumulative) => Some("cumulative"),
        _ => None,
    }
}

/// What a histogram or a summary says as a whole.
struct Distribution {
    count: u64,
    sum: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
}

impl Distribution {
    fn write(&self, to: &mut ObjectText<'_>) {
        to.whole("count", self.count);
        for (name, value) in [("sum", self.sum), ("min", self.min), ("max", self.max)] {
            value.into_iter().for_each(|value| to.number(name, value));
        }
    }
}

/// Attributes that are texts, numbers or booleans; no series is named by a list, a table or bytes.
fn put(to: &mut ObjectText<'_>, attributes: &[KeyValue]) {
    for KeyValue { key, value, .. } in attributes {
        let Some(AnyValue { value: Some(value) }) = value else { continue };
        match value {
            Value::StringValue(text) => to.text(key, text),
            Value::BoolValue(flag) => to.flag(key, *flag),
            Value::IntValue(whole) => to.whole(key, *whole),
            Value::DoubleValue(number) => to.number(key, *number),
            _ => {}
        }
    }
}
