//! Which snapshot is used, and with which model: over a store in memory.

use super::support::stream::{Sensed, any_model, hour, networks, sensed, stream};
use futures::executor::block_on;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use tidecast::checkpoint::{
    Bundles, Champion, Facts, Recovered, Recovery, RecoveryError, SnapshotId, Snapshots, Store,
};
use tidecast::config::{Stream, from_toml};
use tidecast::domain::{
    EventTime, Forecast, Generation, ModelVersion, Offset, Partition, Reading, TopicId, TopicPartition,
    Values,
};
use tidecast::engine::{Model, Shard};

const LINES: &str = "horizon = 4\nseasons = [24]\nwindow = 128\nmodel = { hidden = 4 }\n\
    training = { enabled = false }";

fn at() -> TopicPartition {
    TopicPartition { topic: "in".into(), partition: Partition(0) }
}

fn id(offset: i64) -> SnapshotId {
    SnapshotId { offset: Offset(offset), generation: Generation(3) }
}

/// The answers to readings `from..to`, stepped one by one.
fn feed(shard: &mut Shard, readings: &[Sensed], from: usize, to: usize) -> Vec<(i64, Forecast)> {
    let mut answers = Vec::new();
    for (offset, sensed) in readings.iter().enumerate().take(to).skip(from) {
        let values = Values::from_iter([sensed.value]);
        let reading = Reading { series: &sensed.series, time: sensed.time, later: None, values: &values };
        shard.offer(&reading, offset as i64, None);
        while shard.run_round(&mut |e| answers.push((e.offset, e.forecast.clone()))).unwrap().is_some() {}
    }
    answers
}

/// A store with a shard's snapshots, and the shard that made them.
struct StoredShard {
    objects: Arc<InMemory>,
    store: Store,
    stream: Arc<Stream>,
    readings: Vec<Sensed>,
    shard: Shard,
    /// The topic's id, if it is known.
    topic_id: Option<TopicId>,
}

impl StoredShard {
    fn new(model: Option<&Model>) -> Self {
        let objects = Arc::new(InMemory::new());
        let stream = stream(LINES);
        let mut shard = Shard::new(stream.clone());
        if let Some(model) = model {
            shard.bring(model).unwrap();
            shard.warm(usize::MAX).unwrap();
        }
        let store = Store::over(objects.clone());
        Self { objects, store, stream, readings: sensed(5, 80, 1), shard, topic_id: None }
    }

    /// The shard goes on to `offset`.
    fn go_to(&mut self, from: usize, offset: usize) {
        feed(&mut self.shard, &self.readings, from, offset);
    }

    /// Takes a snapshot of the shard at `offset`.
    fn keep(&mut self, offset: i64) {
        self.shard.between_rounds().unwrap().begin_cut();
        let mut chunks = Vec::new();
        while let Some(chunk) = self.shard.cut(2_000).unwrap() {
            chunks.push(chunk);
        }
        self.keep_chunks(offset, &chunks);
    }

    fn keep_chunks(&self, offset: i64, chunks: &[Vec<u8>]) {
        self.keep_as(offset, chunks, Shard::shape(&self.stream));
    }

    fn keep_as(&self, offset: i64, chunks: &[Vec<u8>], shape: serde_json::Value) {
        let snapshots = Snapshots::new(&self.store, &self.stream.name, &at(), 9);
        let mut writer = snapshots.writer(id(offset));
        chunks.iter().for_each(|chunk| writer.push(chunk).unwrap());
        let facts = Facts {
            model: self.shard.model(),
            topic_id: self.topic_id,
            shape,
            series: self.shard.series() as u64,
            created: EventTime::from_micros(1_700_000_000_000_000).unwrap(),
        };
        writer.finish(facts).unwrap();
    }

    fn recover(
        &self,
        stream: &Arc<Stream>,
        committed: i64,
        current: Option<&Model>,
    ) -> (Option<Recovered>, String) {
        let committed = Offset(committed);
        let recovery =
            Recovery { store: &self.store, stream, at: &at(), topic_id: self.topic_id, committed, current };
        let (found, log) = logged(|| recovery.newest().unwrap());
        if let Some(found) = &found {
            assert_eq!(found.violations.iter().next(), None);
        }
        (found, log)
    }

    fn objects(&self, offset: i64) -> Vec<Path> {
        let list = futures::TryStreamExt::try_collect::<Vec<_>>(self.objects.list(None));
        let mut paths: Vec<Path> = block_on(list).unwrap().into_iter().map(|meta| meta.location).collect();
        paths.retain(|path| path.as_ref().contains(&id(offset).to_string()));
        paths
    }

    fn object(&self, offset: i64, what: &str) -> Path {
        let found = self.objects(offset).into_iter().find(|path| path.as_ref().contains(what));
        found.unwrap_or_else(|| panic!("no {what} at {offset}"))
    }

    fn get(&self, path: &Path) -> Vec<u8> {
        block_on(async { self.objects.get(path).await.unwrap().bytes().await.unwrap() }).to_vec()
    }

    fn put(&self, path: &Path, bytes: Vec<u8>) {
        block_on(self.objects.put(path, bytes.into())).unwrap();
    }

    fn remove(&self, path: &Path) {
        block_on(self.objects.delete(path)).unwrap();
    }
}

/// The result of `work`, and what it logs on this thread.
fn logged<T>(work: impl FnOnce() -> T) -> (T, String) {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber =
        tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone()).finish();
    let outcome = tracing::subscriber::with_default(subscriber, work);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    (outcome, text)
}

fn keep_bundle(store: &Store, stream: &Stream, model: &Model) {
    let networks = networks(stream, model);
    let champion = Champion { version: model.version, networks, rounds: 1, facts: BTreeMap::new() };
    Bundles::new(store, &stream.name).keep(&champion).unwrap();
}

#[test]
fn a_topic_that_was_recreated_gets_no_snapshot_of_the_former_one() {
    let mut stored = StoredShard::new(None);
    stored.go_to(0, 50);
    // From an older Tidecast, or from a broker without ids.
    stored.keep(50);
    stored.topic_id = TopicId::new(7);
    stored.go_to(50, 100);
    stored.keep(100);
    let stream = stored.stream.clone();
    let found = |stored: &StoredShard, committed| {
        let (found, log) = stored.recover(&stream, committed, None);
        (found.map(|found| found.id.offset.0), log)
    };
    assert_eq!(found(&stored, 200), (Some(100), String::new()));
    stored.topic_id = TopicId::new(8);
    for committed in [200, 60] {
        let (found, log) = found(&stored, committed);
        assert_eq!(found, Some(50), "what says nothing of its topic may be of this one");
        let said = log.matches("\"event\":\"snapshot_passed_over\"").count();
        assert!(said == 1 && log.contains("created again since"), "{log}");
    }
    stored.topic_id = None;
    assert_eq!(found(&stored, 200).0, Some(100));
}

#[test]
fn a_topic_that_was_recreated_and_is_as_long_gets_a_snapshot_of_its_own() {
    let mut stored = StoredShard::new(None);
    stored.topic_id = TopicId::new(7);
    stored.go_to(0, 100);
    stored.keep(100);
    // The same generation has read as many records of the new topic, and no more follow.
    let mut anew =
        StoredShard { topic_id: TopicId::new(8), shard: Shard::new(stored.stream.clone()), ..stored };
    anew.readings = sensed(3, 80, 2);
    anew.go_to(0, 100);
    let stream = anew.stream.clone();
    let (found, log) = anew.recover(&stream, 100, None);
    assert!(found.is_none() && log.contains("created again since"), "{log}");
    anew.keep(100);
    let (found, log) = anew.recover(&stream, 100, None);
    let mut found = found.unwrap_or_else(|| panic!("{log}"));
    assert_eq!((found.id, log.as_str()), (id(100), ""));
    let readings = anew.readings.clone();
    let answers = feed(&mut anew.shard, &readings, 100, 160);
    assert_eq!(feed(&mut found.shard, &readings, 100, 160), answers);
}

#[test]
fn a_group_that_was_set_back_gets_an_older_snapshot_or_none() {
    let mut stored = StoredShard::new(None);
    stored.go_to(0, 100);
    stored.keep(100);
    stored.go_to(100, 200);
    stored.keep(200);
    for (committed, used) in
        [(250, Some(200)), (200, Some(200)), (199, Some(100)), (100, Some(100)), (99, None)]
    {
        let (found, log) = stored.recover(&stored.stream, committed, None);
        assert_eq!(found.map(|f| f.id.offset.0), used, "committed {committed}");
        assert_eq!(log.contains("it lies ahead of the committed offset"), committed < 200, "{log}");
    }
}

#[test]
fn what_is_damaged_or_newer_is_passed_over_for_the_next_older_one() {
    let whole = || {
        let mut stored = StoredShard::new(None);
        stored.go_to(0, 100);
        stored.keep(100);
        stored.go_to(100, 200);
        stored.keep(200);
        stored
    };
    type Harm = fn(&StoredShard, i64);
    let flip = |stored: &StoredShard, path: &Path| {
        let mut bytes = stored.get(path);
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x20;
        stored.put(path, bytes);
    };
    let cut = |stored: &StoredShard, path: &Path| {
        let bytes = stored.get(path);
        stored.put(path, bytes[..bytes.len() - 1].to_vec());
    };
    let flip: fn(&StoredShard, &Path) = flip;
    let cut: fn(&StoredShard, &Path) = cut;
    let on = |what: &'static str, harm: fn(&StoredShard, &Path)| {
        move |stored: &StoredShard, offset: i64| harm(stored, &stored.object(offset, what))
    };
    let rewrite = |stored: &StoredShard, offset: i64, chunks: &[Vec<u8>]| {
        stored.objects(offset).iter().for_each(|path| stored.remove(path));
        stored.keep_chunks(offset, chunks);
    };
    let other_place: Harm = |stored, offset| {
        let from = stored.get(&stored.object(300 - offset, "manifest"));
        stored.put(&stored.object(offset, "manifest"), from);
    };
    type AnyHarm = Box<dyn Fn(&StoredShard, i64)>;
    let harms: Vec<(&str, AnyHarm)> = vec![
        ("a manifest with a bit flipped", Box::new(on("manifest", flip))),
        ("a manifest cut short", Box::new(on("manifest", cut))),
        ("a part with a bit flipped", Box::new(on("part", flip))),
        ("a part cut short", Box::new(on("part", cut))),
        ("a part that is gone", Box::new(on("part", StoredShard::remove))),
        (
            "a newer format",
            Box::new(on("manifest", |stored, path| {
                stored.put(path, br#"{"format":7,"layout":"of a later day"}"#.to_vec());
            })),
        ),
        ("another snapshot's manifest", Box::new(other_place)),
        ("no head", Box::new(move |stored, offset| rewrite(stored, offset, &[]))),
        ("a head of no shard", Box::new(move |stored, offset| rewrite(stored, offset, &[vec![7; 99]]))),
        (
            "rows that are missing",
            Box::new(move |stored, offset| {
                let mut shard = Shard::new(stored.stream.clone());
                feed(&mut shard, &stored.readings, 0, 100);
                shard.between_rounds().unwrap().begin_cut();
                let some = [(); 2].map(|()| shard.cut(1).unwrap().unwrap());
                rewrite(stored, offset, &some);
            }),
        ),
    ];
    for (what, harm) in harms {
        let stored = whole();
        harm(&stored, 200);
        let (found, log) = stored.recover(&stored.stream, 220, None);
        let Some(found) = found else { panic!("{what}: the older one is not used\n{log}") };
        assert_eq!(found.id, id(100), "{what}");
        let passed = log.lines().filter(|line| line.contains("snapshot_passed_over")).collect::<Vec<_>>();
        assert!(passed.len() == 1 && passed[0].contains(&id(200).to_string()), "{what}: {log}");
        // The restored shard goes on like one that never stopped.
        let mut back = found.shard;
        let mut stayed = Shard::new(stored.stream.clone());
        feed(&mut stayed, &stored.readings, 0, 100);
        assert_eq!(
            feed(&mut back, &stored.readings, 100, 250),
            feed(&mut stayed, &stored.readings, 100, 250),
            "{what}"
        );
    }
    let stored = whole();
    [100, 200].iter().for_each(|offset| flip(&stored, &stored.object(*offset, "part")));
    assert!(stored.recover(&stored.stream, 220, None).0.is_none(), "two damaged ones: a cold start");
    // A snapshot without a manifest was never finished, and is not logged.
    let stored = whole();
    stored.remove(&stored.object(200, "manifest"));
    let (found, log) = stored.recover(&stored.stream, 220, None);
    assert_eq!(found.unwrap().id, id(100));
    assert!(!log.contains("passed_over"), "{log}");
}

/// As after an upgrade: the rows of the older version mean nothing to this one, and their bytes are never read.
#[test]
fn a_snapshot_of_another_version_is_passed_over_and_the_log_says_what_comes_next() {
    let mut stored = StoredShard::new(None);
    stored.go_to(0, 200);
    stored.keep(100);
    let mut shape = Shard::shape(&stored.stream);
    let present = shape["tables"].as_u64().unwrap();
    for (offset, tables) in [(150, Some(present - 1)), (160, Some(present + 1)), (170, None)] {
        match tables {
            Some(tables) => shape["tables"] = tables.into(),
            None => drop(shape.as_object_mut().unwrap().remove("tables")),
        }
        // With other keys as well, the version is what counts.
        shape["horizon"] = 7.into();
        stored.keep_as(offset, &[vec![0xff; 100]], shape.clone());
    }
    let (found, log) = stored.recover(&stored.stream, 200, None);
    assert_eq!(found.unwrap().id, id(100), "the newest that fits");
    let causes: Vec<String> = log
        .lines()
        .filter(|line| line.contains("snapshot_passed_over"))
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["cause"].to_string())
        .collect();
    assert_eq!(causes.len(), 3, "{log}");
    for (cause, format) in
        causes.iter().zip(["none".to_owned(), format!("{}", present + 1), format!("{}", present - 1)])
    {
        assert!(cause.contains("another version of Tidecast wrote it"), "{cause}");
        assert!(cause.contains(&format!("its rows have format {format},")), "{cause}");
        assert!(cause.contains("warmed from its topic") && !cause.contains("horizon"), "{cause}");
    }
}

#[test]
fn a_config_of_another_shape_passes_the_snapshot_over_and_names_the_key() {
    let mut stored = StoredShard::new(None);
    stored.go_to(0, 200);
    stored.keep(200);
    let changed = |from: &str, to: &str| {
        let text = format!(
            "[kafka]\nbrokers = \"localhost:9092\"\n[streams.test]\ntopics = [\"in\"]\ninterval = \"1h\"\n\
             targets = [\"kw\"]\n{LINES}\n"
        );
        assert!(text.contains(from), "{from}");
        from_toml(&text.replace(from, to), &[]).unwrap_or_else(|e| panic!("{e}")).streams[0].clone()
    };
    for (key, from, to) in [
        ("horizon", "horizon = 4", "horizon = 5"),
        ("targets", "[\"kw\"]", "[\"kw\", \"volt\"]"),
        ("targets", "[\"kw\"]", "[\"watts\"]"),
        ("covariates", "horizon = 4", "horizon = 4\ncovariates = [\"outdoor\"]"),
        ("seasons", "[24]", "[12]"),
        ("interval", "\"1h\"", "\"30m\""),
        ("quantiles", "horizon = 4", "horizon = 4\nquantiles = [0.1, 0.5, 0.9]"),
    ] {
        let stream = changed(from, to);
        let (found, log) = stored.recover(&stream, 200, None);
        assert!(found.is_none(), "{key} changed");
        let line = log.lines().find(|line| line.contains("snapshot_passed_over")).unwrap_or_default();
        let cause =
            serde_json::from_str::<serde_json::Value>(line).unwrap()["cause"].as_str().unwrap().to_owned();
        assert!(
            cause.contains("the config has changed") && cause.contains(&format!("{key} was ")),
            "{cause}"
        );
        assert!(!cause.contains(", horizon was") || key == "horizon", "only what differs is named: {cause}");
    }
    // Keys that do not change a shard's rows may change.
    for (from, to) in [
        ("horizon = 4", "horizon = 4\nmax_series = 900\nlateness = \"1h\"\nmax_gap = 3"),
        ("window = 128", "window = 200"),
        ("window = 128", "window = 100"),
    ] {
        let found = stored.recover(&changed(from, to), 200, None).0;
        assert_eq!(found.unwrap().shard.series(), 5, "{to}");
    }
}

/// The stored shard as if it had changed to `current` at that reading.
fn swapped(stored: StoredShard, current: &Model) -> Vec<(i64, Forecast)> {
    let StoredShard { mut shard, readings, .. } = stored;
    shard.bring(current).unwrap();
    shard.warm(usize::MAX).unwrap();
    feed(&mut shard, &readings, 200, 300)
}

fn stored_with_model(model: &Model) -> StoredShard {
    let mut stored = StoredShard::new(Some(model));
    stored.go_to(0, 200);
    stored.keep(200);
    stored
}

#[test]
fn states_come_back_with_the_model_that_the_snapshot_names() {
    let (first, second) = (any_model(&stream(LINES), 1), any_model(&stream(LINES), 2));
    let mut stored = stored_with_model(&first);
    keep_bundle(&stored.store, &stored.stream, &first);
    // A newer model serves by now, but the replay still uses the old one.
    let (found, log) = stored.recover(&stored.stream, 200, Some(&second));
    let mut back = found.unwrap().shard;
    assert_eq!((back.model(), log.as_str()), (Some(ModelVersion(1)), ""));
    assert_eq!(
        feed(&mut back, &stored.readings, 200, 300),
        feed(&mut stored.shard, &stored.readings, 200, 300)
    );
}

#[test]
fn a_bundle_that_is_gone_or_damaged_leaves_states_to_be_warmed_by_the_current_model() {
    let (first, second) = (any_model(&stream(LINES), 1), any_model(&stream(LINES), 2));
    for damaged in [false, true] {
        let stored = stored_with_model(&first);
        if damaged {
            keep_bundle(&stored.store, &stored.stream, &first);
            let list = futures::TryStreamExt::try_collect::<Vec<_>>(stored.objects.list(None));
            let bundle = block_on(list).unwrap().into_iter().map(|meta| meta.location);
            let bundle = bundle.into_iter().find(|path| path.as_ref().contains("/models/")).unwrap();
            stored.put(&bundle, stored.get(&bundle)[..50].to_vec());
        }
        let (found, log) = stored.recover(&stored.stream, 200, Some(&second));
        let mut back = found.unwrap().shard;
        assert!(log.contains("bundle_passed_over") && log.contains("test-000001"), "{log}");
        assert_eq!((back.model(), back.series()), (Some(ModelVersion(2)), 5));
        assert_eq!(feed(&mut back, &stored.readings, 200, 300), swapped(stored, &second));
    }
    // Without a current model the experts go on from their states.
    let stored = stored_with_model(&first);
    let mut back = stored.recover(&stored.stream, 200, None).0.unwrap().shard;
    assert_eq!((back.model(), back.series()), (None, 5));
    let answers = feed(&mut back, &stored.readings, 200, 300);
    assert!(!answers.is_empty() && answers.iter().all(|(_, f)| f.degraded.is_some()));
}

#[test]
fn a_model_of_another_shape_keeps_the_rows_and_warms_the_states() {
    let first = any_model(&stream(LINES), 1);
    let stored = stored_with_model(&first);
    keep_bundle(&stored.store, &stored.stream, &first);
    let wider = stream(&LINES.replace("hidden = 4", "hidden = 12"));
    let second = any_model(&wider, 2);
    let (found, log) = stored.recover(&wider, 200, Some(&second));
    let mut back = found.unwrap().shard;
    assert!(log.contains("bundle_passed_over") && !log.contains("snapshot_passed_over"), "{log}");
    assert_eq!((back.model(), back.series()), (Some(ModelVersion(2)), 5));
    assert_eq!(feed(&mut back, &stored.readings, 200, 300), swapped(stored, &second));
}

#[test]
fn a_config_with_other_networks_takes_the_rows_and_warms_the_states() {
    let first = any_model(&stream(LINES), 1);
    let stored = stored_with_model(&first);
    keep_bundle(&stored.store, &stored.stream, &first);
    let several = "models = [{ family = \"gru\", hidden = 4 }, { family = \"dense\" }]";
    let other = stream(&LINES.replace("model = { hidden = 4 }", several));
    let second = any_model(&other, 2);
    let (found, log) = stored.recover(&other, 200, Some(&second));
    let mut back = found.unwrap().shard;
    assert!(log.contains("bundle_passed_over") && !log.contains("snapshot_passed_over"), "{log}");
    assert_eq!((back.model(), back.series()), (Some(ModelVersion(2)), 5));
    let answers = feed(&mut back, &stored.readings, 200, 300);
    assert!(answers.len() > 50 && answers.iter().all(|(_, forecast)| forecast.degraded.is_none()));
}

#[test]
fn fewer_series_than_before_are_the_ones_seen_last() {
    let mut stored = StoredShard::new(None);
    stored.readings =
        (0..10).map(|i| Sensed { series: format!("s{i}"), time: hour(i), value: Some(1.0) }).collect();
    stored.go_to(0, 10);
    stored.keep(10);
    let small = stream(&format!("max_series = 4\n{LINES}"));
    let shard = stored.recover(&small, 10, None).0.unwrap().shard;
    let mut names: Vec<&str> = shard.names().collect();
    names.sort_unstable();
    assert_eq!(names, ["s6", "s7", "s8", "s9"]);
}

/// A file in the place of the folder is a store that does not answer, not an empty one.
#[test]
fn a_store_that_does_not_answer_is_an_error_and_not_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("store");
    let text = format!(
        "[kafka]\nbrokers = \"localhost:9092\"\n[store]\nurl = \"file://{}\"\n[streams.test]\n\
         topics = [\"in\"]\ninterval = \"1h\"\ntargets = [\"kw\"]\n{LINES}\n",
        place.display()
    );
    let config = from_toml(&text, &[]).unwrap_or_else(|e| panic!("{e}"));
    let store = Store::open(&config.store).unwrap();
    let recovery = Recovery {
        store: &store,
        stream: &config.streams[0],
        at: &at(),
        topic_id: None,
        committed: Offset(200),
        current: None,
    };
    assert!(recovery.newest().unwrap().is_none(), "an empty store");
    std::fs::remove_dir_all(&place).unwrap();
    std::fs::write(&place, "no folder").unwrap();
    let outcome = recovery.newest();
    assert!(
        matches!(outcome, Err(RecoveryError::Store(_))),
        "a file in the folder's place: {:?}",
        outcome.is_ok()
    );
}
