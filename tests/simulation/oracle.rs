//! What a run commits that never fails: a shard and nothing else, one reading at a time.

use crate::output::{Answer, Output, said};
use crate::plan::{Plan, TOO_LARGE};
use std::sync::Arc;
use tidecast::config::Stream;
use tidecast::domain::Reading;
use tidecast::engine::{Model, Offered, Shard};
use tidecast::telemetry::Discard;

/// The outputs of all streams and partitions.
pub fn outputs(plan: &Plan) -> Vec<Output> {
    let mut outputs = Vec::new();
    for (stream, models) in plan.streams().iter().zip(&plan.models) {
        for partition in 0..plan.log.len() {
            of_partition(plan, stream, &models[0], partition, &mut outputs);
        }
    }
    outputs
}

fn of_partition(
    plan: &Plan,
    stream: &Arc<Stream>,
    model: &Model,
    partition: usize,
    outputs: &mut Vec<Output>,
) {
    let name = stream.name.to_string();
    let judged = Shard::judged(stream).len();
    let mut shard = Shard::new(stream.clone());
    shard.bring(model).unwrap();
    shard.warm(1).unwrap();
    for (offset, sent) in plan.log[partition].iter().enumerate().filter(|(_, sent)| !sent.gap) {
        let offset = offset as i64;
        let mut put = |offset, answer| {
            outputs.push(Output { stream: name.clone(), partition, offset, log: 0, answer });
        };
        if sent.bad {
            put(offset, Answer::DeadLetter);
            continue;
        }
        let values = sent.values(stream);
        let reading = Reading { series: &sent.series, time: sent.time, later: None, values: &values };
        let offered = shard.offer_of(&reading, offset, Some(sent.series.as_bytes()), sent.record);
        if let Offered::Discarded(Discard::Late | Discard::TimeAhead) = offered {
            put(offset, Answer::DeadLetter);
        }
        let mut sink = |e: tidecast::engine::Emitted<'_>| {
            if e.is_thinned {
                return;
            }
            if plan.too_large && e.key == Some(TOO_LARGE.as_bytes()) {
                return put(e.offset, Answer::DeadLetter);
            }
            let (series, origin) = (e.series.to_owned(), e.forecast.origin);
            let model = e.model.map(|version| version.name(&stream.name));
            put(e.offset, Answer::Forecast { series, origin, model, said: said(&e, judged) });
        };
        while shard.run_round(&mut sink).unwrap().is_some() {}
        shard.take_accounts();
        let violations: Vec<_> = shard.take_violations().iter().collect();
        assert!(violations.is_empty(), "{violations:?}");
    }
}
