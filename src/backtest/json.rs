//! The scores for machines. `docs/backtest.md` describes each field.

use super::comparison::Comparison;
use super::finished_run::FinishedRun;
use serde_json::{Map, Value, json};

/// One JSON object. Except for `seconds`, file, configs and seed determine its bytes.
pub(super) fn json(
    runs: &[FinishedRun],
    comparison: Option<&Comparison>,
    labels: &[String],
    seconds: f64,
) -> String {
    let mut all = of_run(&runs[0], &labels[0]);
    all.insert("seconds".to_owned(), json!(seconds));
    if let (Some(comparison), [_, second]) = (comparison, runs) {
        all.insert("against".to_owned(), Value::Object(of_run(second, &labels[1])));
        all.insert("comparison".to_owned(), comparison.to_json());
        let better = comparison.better_series().into_iter();
        all.insert(
            "better_series".to_owned(),
            better
                .map(|(target, better, of)| json!({"target": target, "better": better, "of": of}))
                .collect(),
        );
    }
    format!("{}\n", Value::Object(all))
}

fn of_run(run: &FinishedRun, label: &str) -> Map<String, Value> {
    let (axes, tally) = (&run.auditor.axes, &run.tally);
    let series = run.auditor.series().flat_map(|(name, scores)| scores.series_to_json(axes, name));
    let fields = [
        ("config", json!(label)),
        ("stream", json!(run.stream.name.as_str())),
        ("seed", json!(run.stream.training.seed)),
        ("network", json!(run.stream.training.enabled)),
        ("seasons", json!(run.stream.seasons)),
        ("seasons_from", json!(run.stream.seasons_from.as_str())),
        ("readings", json!(tally.readings)),
        ("discarded", tally.discards.to_json()),
        ("bad_rows", json!(tally.bad)),
        ("series", json!(run.auditor.series().len())),
        ("horizon", json!(axes.horizon)),
        ("training_rounds", json!(run.counts.rounds)),
        ("promoted", json!(run.counts.promoted)),
        ("scores", run.auditor.scores().to_json(axes)),
        ("series_scores", series.collect()),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
