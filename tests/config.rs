//! A wrong config is refused with every fault at once, each with its key and what is allowed.

use tidecast::config::{LoadError, from_toml, load};

fn faults(text: &str) -> Vec<String> {
    match from_toml(text, &[]) {
        Err(LoadError::Faulty(faults)) => faults.iter().map(ToString::to_string).collect(),
        Err(other) => panic!("{other}"),
        Ok(_) => Vec::new(),
    }
}

const LEAST: &str = r#"
[kafka]
brokers = "localhost:9092"
[streams.power]
topics = ["meters"]
interval = "1h"
targets = ["kw"]
"#;

#[test]
fn the_least_config_is_right_and_has_the_documented_defaults() {
    let config = from_toml(LEAST, &[]).unwrap();
    let stream = &config.streams[0];
    assert_eq!(stream.forecast_topic, "power.forecasts");
    assert_eq!(stream.dead_letter_topic, "power.dead-letters");
    assert_eq!(stream.seasons, [24, 168]);
    assert_eq!((stream.horizon, stream.levels.len()), (24, 3));
    assert_eq!(config.kafka.group, "tidecast");
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:9464");
}

#[test]
fn every_fault_is_listed_with_its_key() {
    let found = faults(
        r#"
[kafka]
broker = "localhost:9092"
[kafka.properties]
"transactional.id" = "mine"
[delivery]
guarantee = "maybe"
[streams."bad name"]
topics = []
[streams.power]
topics = ["meters"]
forecast_topic = "meters"
interval = "1 fortnight"
horizon = 0
targets = ["kw", "kw"]
quantiles = [0.5, 1.5]
time_zone = "Europe/Pari"
seasons = ["90m"]
horzon = 12
[streams.power.fields]
series = "id"
[streams.power.model]
family = "transformer"
"#,
    );
    let expected = [
        "delivery.guarantee: is \"maybe\"; allowed are \"exactly-once\", \"at-least-once\"",
        "kafka.broker: is not a known key; did you mean \"brokers\"?",
        "kafka.brokers: is missing",
        "kafka.properties.transactional.id: is set by Tidecast itself",
        "streams.bad name: is not a stream's name",
        "streams.bad name.interval: is missing",
        "streams.bad name.targets: must name at least one value",
        "streams.bad name.topics: must name at least one topic",
        "streams.power.fields.series: is \"id\"; allowed are a JSON pointer",
        "streams.power.horizon: is 0; allowed are whole numbers from 1 to 1000",
        "streams.power.horzon: is not a known key; did you mean \"horizon\"?",
        "streams.power.interval: is \"1 fortnight\"",
        "streams.power.model.family: is \"transformer\"; allowed are \"lstm\", \"gru\"",
        "streams.power.quantiles: 1.5 is not a quantile level",
        "streams.power.seasons: has \"90m\"",
        "streams.power.targets: names \"kw\" twice",
        "streams.power.time_zone: is \"Europe/Pari\"",
        "streams.power.topics: reads \"meters\", which streams.power.forecast_topic writes to",
    ];
    for wanted in expected {
        assert!(found.iter().any(|f| f.starts_with(wanted)), "no {wanted:?} in\n{}", found.join("\n"));
    }
    assert_eq!(found.len(), expected.len(), "{}", found.join("\n"));
}

#[test]
fn secrets_come_from_files_and_a_missing_one_is_a_fault() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("password");
    std::fs::write(&secret, "open sesame\n").unwrap();
    let text = |path: &std::path::Path| {
        format!("{LEAST}\n[kafka.properties]\n\"sasl.password\" = \"${{file:{}}}\"\n", path.display())
    };
    let config = from_toml(&text(&secret), &[]).unwrap();
    assert_eq!(config.kafka.properties, [("sasl.password".to_owned(), "open sesame".to_owned())]);
    let found = faults(&text(&dir.path().join("nothing")));
    assert!(found[0].starts_with("kafka.properties.sasl.password: can't read"), "{found:?}");
}

#[test]
fn yaml_is_read_too_and_a_file_that_is_neither_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = dir.path().join("tidecast.yaml");
    std::fs::write(
        &yaml,
        "kafka: {brokers: 'localhost:9092'}\nstreams: {power: {topics: [m], interval: 1h, targets: [kw]}}\n",
    )
    .unwrap();
    assert_eq!(load(&yaml).unwrap().streams.len(), 1);
    assert!(load(&dir.path().join("absent.toml")).unwrap_err().to_string().contains("absent.toml"));
    let ini = dir.path().join("tidecast.ini");
    std::fs::write(&ini, "").unwrap();
    assert!(load(&ini).unwrap_err().to_string().contains("must end in .toml"));
}

#[test]
fn the_shipped_configs_are_right() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            load(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }
}
