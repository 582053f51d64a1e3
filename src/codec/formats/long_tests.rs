//! Long tables: one value at a time.

use super::tests::{stream, values};
use crate::config::from_toml;

#[test]
fn a_long_table_has_one_value_at_a_time() {
    let lines = "format = \"prometheus_json\"\ntargets = [\"user\", \"system\"]\ncovariates = [\"load\"]\n\
        aggregate = \"join\"\n\
        fields = { series = \"/labels/host\", name = \"/name\", names = { user = \"cpu.user\", system = \"cpu.system\" } }";
    let stream = stream(lines);
    let of = |name: &str, value: &str| {
        let json = format!(
            r#"{{"timestamp":"2026-01-01T00:00:00Z","value":"{value}","name":"{name}","labels":{{"host":"h"}}}}"#
        );
        values(&stream, json.as_bytes())
    };
    assert_eq!(of("cpu.user", "1.5"), (vec![vec![Some(1.5), None, None]], 0));
    assert_eq!(of("cpu.system", "2"), (vec![vec![None, Some(2.0), None]], 0));
    assert_eq!(of("load", "3"), (vec![vec![None, None, Some(3.0)]], 0));
    assert_eq!(of("cpu.idle", "4"), (vec![], 1), "no value of the stream");
}

#[test]
fn a_long_table_without_a_join_is_a_fault() {
    for (lines, want) in [
        ("targets = [\"a\", \"b\"]\nfields.name = \"/n\"", "streams.s.aggregate: is \"none\""),
        ("targets = [\"a\"]\nfields.names = { a = \"x\" }", "streams.s.fields.name: must say where"),
        (
            "targets = [\"a\", \"b\"]\naggregate = \"join\"\nfields = { name = \"/n\", names = { a = \"b\" } }",
            "streams.s.fields.names: has \"b\" for two values",
        ),
        ("targets = [\"a\"]\ncounters = { a = \"week\" }", "streams.s.counters.a: is \"week\""),
        ("targets = [\"a\"]\ncounters = { b = \"hour\" }", "streams.s.counters.b: is not a known key"),
    ] {
        let text =
            format!("kafka.brokers = \"b\"\n[streams.s]\ntopics = [\"in\"]\ninterval = \"10s\"\n{lines}");
        let faults = from_toml(&text, &[]).unwrap_err().to_string();
        assert!(faults.contains(want), "{lines}: {faults}");
    }
}
