//! Output topics that do not take what is sent to them: each refusal ends in fewer leads, a cut dead letter, another key,
//! or in a pause that is told of. It never ends in one abort after the other.

use crate::support::broker::Broker;
use crate::support::daemon::{Daemon, Settings, get, metric};
use crate::support::kafka::{
    Record, client, committed_offsets, create_models_topic, create_topic, produce, read_committed,
};
use crate::support::process::{free_port, fresh_dir, write};
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);
const HORIZON: usize = 96;
const HOURS: i64 = 30;
const SERIES: i64 = 3;

struct Case {
    dir: tempfile::TempDir,
    name: &'static str,
    http: String,
}

impl Case {
    /// `forecasts` and `letters` are settings of the topics.
    fn new(name: &'static str, forecasts: &[(&str, &str)], letters: &[(&str, &str)], delivery: &str) -> Self {
        let bootstrap = Broker::shared().bootstrap();
        let topics = [("in", &[][..]), ("forecasts", forecasts), ("dead-letters", letters)];
        for (topic, settings) in topics {
            create_topic(&bootstrap, &format!("{name}.{topic}"), 1, settings);
        }
        create_models_topic(&bootstrap, name);
        let (dir, http) = (fresh_dir("refused"), format!("127.0.0.1:{}", free_port()));
        let config = Settings {
            brokers: &bootstrap,
            kafka: &format!("group = \"{name}\""),
            http: &http,
            store: &format!("file://{}", dir.path().join("store").display()),
            sections: "[log]\nformat = \"json\"",
            name,
            topic: &format!("{name}.in"),
            stream: &format!(
                "horizon = {HORIZON}\nwindow = 400\nmodel = {{ hidden = 4 }}\ntraining = {{ enabled = false }}"
            ),
        }
        .text()
        .replace("[delivery]", &format!("[delivery]\n{delivery}"));
        write(dir.path(), "tidecast.toml", &config);
        Self { dir, name, http }
    }

    fn daemon(&self) -> Daemon {
        Daemon::spawn(&self.dir.path().join("tidecast.toml"), &[])
    }

    fn topic(&self, kind: &str) -> String {
        format!("{}.{kind}", self.name)
    }

    fn reading(n: i64) -> (String, String) {
        let (series, hour) = (n % SERIES, n / SERIES);
        let kw = 5.0 + series as f64 + (hour as f64 / 24.0 * std::f64::consts::TAU).sin();
        let id = format!("meter-{series}");
        let value = format!("{{\"id\":\"{id}\",\"ts\":{},\"kw\":{kw:.3}}}", 1_700_000_000 + hour * 3_600);
        (id, value)
    }

    /// Hourly readings, of which the first is at `from`.
    fn produce(&self, from: i64, count: i64) {
        let records = (from..from + count).map(|n| {
            let (key, value) = Self::reading(n);
            (key, value, Some(0))
        });
        produce(&Broker::shared().bootstrap(), &self.topic("in"), records);
    }

    fn read(&self, kind: &str) -> Vec<Record> {
        read_committed(&Broker::shared().bootstrap(), &self.topic(kind))
    }

    fn committed(&self) -> i64 {
        committed_offsets(&Broker::shared().bootstrap(), self.name, &self.topic("in"))[0].unwrap_or(0)
    }

    fn wait_committed(&self, daemon: &mut Daemon, end: i64) {
        let until = Instant::now() + LIMIT;
        while self.committed() != end {
            assert!(daemon.is_running(), "the daemon has ended:\n{}", daemon.log());
            assert!(Instant::now() < until, "committed {} of {end}:\n{}", self.committed(), daemon.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn aborts(&self, cause: &str) -> f64 {
        metric(&self.http, &format!("tidecast_transaction_aborts_total{{cause=\"{cause}\"}}")).unwrap_or(0.0)
    }

    fn large(&self, outcome: &str) -> f64 {
        let series =
            format!("tidecast_records_too_large_total{{outcome=\"{outcome}\",stream=\"{}\"}}", self.name);
        metric(&self.http, &series).unwrap_or(0.0)
    }

    /// Each of the first `end` records has one answer.
    fn assert_answered(&self, end: i64) {
        let mut answers: BTreeMap<i64, usize> = BTreeMap::new();
        for record in self.read("forecasts").iter().chain(&self.read("dead-letters")) {
            *answers.entry(record.source().1).or_default() += 1;
        }
        let wanted: BTreeMap<i64, usize> = (0..end).map(|offset| (offset, 1)).collect();
        assert_eq!(answers, wanted);
    }
}

/// Changes a setting of a topic; its other settings become those of the broker.
fn alter_topic(topic: &str, name: &str, value: &str) {
    let admin: AdminClient<DefaultClientContext> = client(&Broker::shared().bootstrap()).create().unwrap();
    let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(name, value);
    let done = futures::executor::block_on(admin.alter_configs([&change], &AdminOptions::new())).unwrap();
    done.into_iter().for_each(|outcome| drop(outcome.unwrap()));
}

/// The number of a forecast's leads, and of those that are left out.
fn leads(record: &Record) -> (usize, Option<u64>) {
    let value: Value = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
    let target = &value["targets"]["kw"];
    let leads = target["yhat"].as_array().unwrap().len();
    for (level, quantiles) in target["quantiles"].as_object().unwrap() {
        assert_eq!(quantiles.as_array().unwrap().len(), leads, "{level}");
    }
    (leads, value["leads_left_out"].as_u64())
}

#[test]
fn a_forecast_that_is_too_large_has_fewer_leads_and_a_dead_letter_is_cut() {
    // Uncompressed, so that the limit is that of the payload.
    let limit = [("max.message.bytes", "2000"), ("compression.type", "uncompressed")];
    let case = Case::new("shortens", &limit, &[("max.message.bytes", "1500")], "");
    case.produce(0, HOURS * SERIES);
    let text =
        format!("no JSON {}", (0..9_000).map(|n| char::from(b'a' + (n * n % 25) as u8)).collect::<String>());
    produce(&Broker::shared().bootstrap(), &case.topic("in"), [("meter-0", text.as_str(), Some(0))]);
    let end = HOURS * SERIES + 1;
    let mut daemon = case.daemon();
    case.wait_committed(&mut daemon, end);
    case.assert_answered(end);
    let mut shortened = 0;
    for forecast in case.read("forecasts") {
        let (leads, left_out) = leads(&forecast);
        assert_eq!(left_out, (leads < HORIZON).then_some((HORIZON - leads) as u64));
        let bytes = forecast.value.as_ref().unwrap().len();
        let is_full = left_out.is_none() || bytes > 1_400;
        assert!(bytes < 2_000 && is_full && leads > 5, "{bytes} bytes, {leads} leads: as much as fits");
        shortened += usize::from(left_out.is_some());
    }
    // The first forecasts of a series have no intervals yet.
    assert!(shortened > 60, "{shortened} forecasts are shortened");
    let letters = case.read("dead-letters");
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].header("tidecast-length"), Some(&*text.len().to_string()));
    let cut = letters[0].value.as_deref().unwrap();
    assert!(text.as_bytes().starts_with(cut) && cut.len() > 800, "{} bytes", cut.len());
    let aborts = case.aborts("too_large");
    println!("{aborts} aborts, {shortened} forecasts were shortened");
    assert!((1.0..=4.0).contains(&aborts), "{aborts} aborts:\n{}", daemon.log());
    assert!(case.large("shortened") >= shortened as f64 && case.large("cut") >= 1.0);
    let told = daemon.events("too_large");
    assert!(!told.is_empty() && told.len() < 6, "told at intervals: {told:?}");
    assert_eq!(get(&case.http, "/readyz").unwrap().0, 200);
    // A limit that is lowered further while the daemon runs.
    alter_topic(&case.topic("forecasts"), "max.message.bytes", "1200");
    case.produce(HOURS * SERIES, 30);
    case.wait_committed(&mut daemon, end + 30);
    case.assert_answered(end + 30);
    assert!(case.aborts("too_large") > aborts, "the lower limit was never met");
    assert_eq!(daemon.terminate(LIMIT), 0);
}

#[test]
fn a_forecast_that_is_too_large_is_a_dead_letter_where_the_config_says_so() {
    let limit = [("max.message.bytes", "2000"), ("compression.type", "uncompressed")];
    let case = Case::new("refuses", &limit, &[], "too_large = \"dead_letter\"");
    case.produce(0, 60);
    let mut daemon = case.daemon();
    case.wait_committed(&mut daemon, 60);
    case.assert_answered(60);
    let letters = case.read("dead-letters");
    // The first forecasts of a series have no intervals yet, and fit.
    assert!(letters.len() > 50, "{}", letters.len());
    for letter in &letters {
        assert_eq!(letter.header("tidecast-reason"), Some("forecast_too_large"));
        assert!(letter.header("tidecast-length").unwrap().parse::<usize>().unwrap() > 2_000);
        assert!(
            letter.key.as_ref().unwrap().starts_with(b"meter-") && letter.value.as_ref().unwrap().is_empty()
        );
    }
    assert_eq!(daemon.terminate(LIMIT), 0);
}

#[test]
fn batches_are_no_larger_than_the_smallest_limit() {
    let limit = [("max.message.bytes", "30000"), ("compression.type", "uncompressed")];
    let case = Case::new("batches", &limit, &[], "");
    let count = 40 * SERIES;
    case.produce(0, count);
    let mut daemon = case.daemon();
    case.wait_committed(&mut daemon, count);
    case.assert_answered(count);
    let bytes: usize = case.read("forecasts").iter().map(|record| record.value.as_ref().unwrap().len()).sum();
    assert!(bytes > 10 * 30_000, "{bytes} bytes are no more than a few batches");
    assert_eq!(case.aborts("too_large"), 0.0, "{}", daemon.log());
    assert!(case.read("forecasts").iter().all(|forecast| leads(forecast) == (HORIZON, None)));
    assert_eq!(daemon.terminate(LIMIT), 0);
}

#[test]
fn a_compacted_topic_gets_the_name_of_the_series_as_the_key() {
    let compacted = [("cleanup.policy", "compact")];
    let case = Case::new("compacted", &compacted, &compacted, "");
    let producer: BaseProducer = client(&Broker::shared().bootstrap()).create().unwrap();
    let topic = case.topic("in");
    for value in (0..60).map(|n| Case::reading(n).1).chain(["no JSON".to_owned()]) {
        producer.send(BaseRecord::<(), str>::to(&topic).payload(&value).partition(0)).unwrap();
    }
    producer.flush(LIMIT).unwrap();
    let mut daemon = case.daemon();
    case.wait_committed(&mut daemon, 61);
    case.assert_answered(61);
    for (n, forecast) in case.read("forecasts").iter().enumerate() {
        assert_eq!(forecast.key.as_deref(), Some(Case::reading(n as i64).0.as_bytes()));
    }
    assert_eq!(case.read("dead-letters")[0].key.as_deref(), Some("compacted.in-0-60".as_bytes()));
    assert_eq!(case.aborts("invalid_record"), 0.0);
    assert_eq!(daemon.terminate(LIMIT), 0);
}

/// Neither topic takes a record, however short it is.
#[test]
fn a_topic_that_takes_nothing_is_tried_at_longer_and_longer_intervals_and_told_of() {
    let limit = [("max.message.bytes", "100")];
    let case = Case::new("takes-nothing", &limit, &limit, "");
    let mut daemon = case.daemon();
    daemon.wait_ready(&case.http, LIMIT);
    case.produce(0, 30);
    let began = Instant::now();
    let until = began + LIMIT;
    let (status, page) = loop {
        let found = get(&case.http, "/readyz").unwrap();
        if found.1.contains("in a row were aborted") {
            break found;
        }
        assert!(Instant::now() < until, "{found:?}:\n{}", daemon.log());
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(status, 503);
    assert!(page.contains("the topic takes-nothing.") && page.contains("too_large"), "{page}");
    daemon.wait_for_events("aborted", 6, LIMIT);
    let pauses: Vec<f64> =
        daemon.events("aborted").iter().map(|event| event["pause_seconds"].as_f64().unwrap()).collect();
    assert!(
        pauses.iter().zip([0.0, 0.25, 0.5, 1.0, 2.0, 4.0]).all(|(found, wanted)| *found == wanted),
        "{pauses:?}"
    );
    assert_eq!(get(&case.http, "/livez").unwrap().0, 200);
    assert_eq!(case.committed(), 0);
    alter_topic(&case.topic("dead-letters"), "max.message.bytes", "100000");
    alter_topic(&case.topic("forecasts"), "max.message.bytes", "100000");
    case.wait_committed(&mut daemon, 30);
    case.assert_answered(30);
    daemon.wait_ready(&case.http, LIMIT);
    println!("{} aborts in {:?}", case.aborts("too_large"), began.elapsed());
    assert_eq!(daemon.terminate(LIMIT), 0);
}
