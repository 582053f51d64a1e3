//! Telegraf's JSON (`data_format = "json"`): `{"name", "tags", "fields", "timestamp"}`, single, or many in `metrics`.
//! Each is an element as it stands.

use super::{ElementSink, not_in_format};
use crate::codec::BadRecord;
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    metrics: Option<Vec<&'a RawValue>>,
}

pub fn read(payload: &str, elements: &mut impl ElementSink) -> Result<(), BadRecord> {
    match serde_json::from_str(payload).map_err(not_in_format)? {
        Batch { metrics: Some(metrics) } => {
            metrics.into_iter().for_each(|metric| elements.element(metric.get()));
        }
        Batch { metrics: None } => elements.element(payload),
    }
    Ok(())
}
