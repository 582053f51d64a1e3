//! Every network that a config can choose, through the whole engine: it is trained, comes to serve where
//! it is better than none, its states are warmed, and no forecast knows what comes after.

use std::collections::BTreeMap;

use crate::support::stream::{Answer, Bench, Sensed, hour, sensed, stream};
use std::sync::Arc;
use tidecast::nn::{Networks, Trained, bundle};
use tidecast::training::blueprint;

const HOURS: i64 = 420;

/// Keys of the model and of the training.
const NETWORKS: [(&str, &str); 18] = [
    (r#"family = "lstm", hidden = 8"#, ""),
    (r#"family = "lstm", hidden = 8, head = "direct""#, ""),
    (r#"family = "lstm", hidden = 8, layers = 2, residual = true"#, ""),
    (r#"family = "gru", hidden = 8, layers = 2, norm = "batch""#, ""),
    (r#"family = "lstm", hidden = 8"#, r#"loss = "pinball""#),
    (r#"family = "gru", hidden = 8, norm = "none""#, r#"loss = "squared""#),
    (r#"family = "gru", hidden = 8, gru_reset = "before""#, r"huber_delta = 0.5"),
    (r#"family = "rnn", hidden = 8"#, "lead_weights = [1, 1, 0.5, 0.5, 0.2, 0]"),
    (r#"family = "rnn", hidden = 8, activation = "relu", norm = "none""#, ""),
    (r#"family = "gru", hidden = 8, head = "encoder_decoder""#, "teacher_forcing = 0.5"),
    (r#"family = "lstm", hidden = 8, head = "encoder_decoder", norm = "none""#, r#"loss = "pinball""#),
    (r#"family = "lstm", hidden = 8, head = "vector_to_sequence""#, "teacher_forcing = 0"),
    (r#"family = "conv_gru", hidden = 8, kernel = 4, stride = 2"#, ""),
    (r#"family = "wavenet", hidden = 8, layers = 4"#, ""),
    (r#"family = "wavenet", hidden = 4, layers = 3, stacks = 2"#, r#"loss = "pinball""#),
    (r#"family = "dense", hidden = 8, readings = 12"#, ""),
    (r#"family = "dense", hidden = 8, layers = 2, activation = "tanh""#, ""),
    (r#"family = "linear""#, ""),
];

fn run(model: &str, training: &str, readings: &[Sensed]) -> (Vec<Answer>, u64) {
    let comma = if training.is_empty() { "" } else { ", " };
    let mut bench = Bench::new(&stream(&format!(
        "horizon = 6\nseasons = [24]\nwindow = 512\nmodel = {{ {model}, base = \"seasonal\" }}\n\
         training = {{ first_after = 200, every = 100, first_steps = 200, steps = 20, batch = 16, \
         truncation = 32, holdout = 48{comma}{training} }}\n\
         promotion = {{ confidence = 0, gain = 0 }}"
    )));
    for (offset, reading) in readings.iter().enumerate() {
        bench.offer(reading, offset as i64);
        bench.step();
        bench.train();
    }
    (bench.answers, bench.versions)
}

#[test]
fn every_network_serves_and_knows_nothing_of_what_comes_after() {
    let readings = sensed(3, HOURS, 1);
    let mut changed = readings.clone();
    let t = hour(330);
    changed.iter_mut().filter(|r| r.time > t).for_each(|r| r.value = r.value.map(|v| 100.0 - 3.0 * v));
    let mut idle = Vec::new();
    for (model, training) in NETWORKS {
        let (quiet, versions) = run(model, training, &readings);
        if versions == 0 {
            idle.push(format!("{model} {training}"));
        }
        let (other, _) = run(model, training, &changed);
        let before = |answers: &[Answer]| -> Vec<Answer> {
            answers.iter().filter(|(_, offset, _)| readings[*offset as usize].time <= t).cloned().collect()
        };
        assert_eq!(before(&quiet), before(&other), "{model} {training}");
        assert_ne!(quiet, other, "the change has to show somewhere");
    }
    // Whether a network is better than none after two hundred readings is luck for some of them.
    assert!(idle.len() <= 3, "never better than no correction: {idle:#?}");
}

#[test]
fn every_networks_shape_survives_a_bundle() {
    for (model, training) in NETWORKS {
        let stream = stream(&format!("horizon = 6\nmodel = {{ {model} }}\ntraining = {{ {training} }}"));
        let weights =
            tidecast::nn::Weights::initial(&blueprint(&stream, &stream.model.networks[0]).unwrap(), 1);
        let networks = Networks::from(Trained { weights: Arc::new(weights), optimiser: None });
        let bytes = bundle::save(&networks, &BTreeMap::new()).unwrap();
        assert_eq!(bundle::load(&bytes).unwrap().networks, networks, "{model} {training}");
    }
}
