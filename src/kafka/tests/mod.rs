//! The room against the embedded broker and, where `TIDECAST_TEST_BROKERS` names one, a real one.

mod delivery;
mod epochs;
mod membership;
mod pausing;
mod topics;

use super::*;
use crate::config::Config;
use crate::domain::{EventTime, Offset, Partition, TopicPartition};
use crate::telemetry::TransactionRequest;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub fn config(brokers: &str, group: &str) -> Config {
    let text = format!(
        "[kafka]\nbrokers = \"{brokers}\"\ngroup = \"{group}\"\n\
         [streams.s]\ntopics = [\"in\"]\ntargets = [\"kw\"]\ninterval = \"1h\"\n"
    );
    crate::config::from_toml(&text, &[]).expect("a right config")
}

const PATIENCE: Duration = Duration::from_secs(30);
const T0_MICROS: i64 = 1_700_000_000_000_000;

/// A broker, and names that no other test uses.
struct Ground {
    brokers: String,
    embedded: Option<EmbeddedBroker>,
    name: String,
}

impl Ground {
    fn config(&self) -> Config {
        let mut config = config(&self.brokers, &self.name);
        // The embedded broker ends a rebalance a second before the session would end.
        config.kafka.properties = vec![("session.timeout.ms".to_owned(), "6000".to_owned())];
        config
    }

    fn topic(&self, suffix: &str, partitions: usize) -> String {
        let name = format!("{}-{suffix}", self.name);
        match &self.embedded {
            Some(broker) => broker.create_topic(&name, partitions).unwrap(),
            None => {
                let spec = TopicSpec { name: name.clone(), partitions, replication: None, config: vec![] };
                let made = Admin::connect(&self.config().kafka).unwrap().create_topics(&[spec]).unwrap();
                assert_eq!(made, [(name.clone(), Creation::Created)]);
            }
        }
        name
    }

    /// `n` records for each partition, a second apart; payloads are `partition/index`.
    fn feed(&self, topic: &str, partitions: usize, n: usize) {
        let mut producer = IdempotentProducer::connect(&self.config().kafka).unwrap();
        for i in 0..n {
            for p in 0..partitions {
                let payload = format!("{p}/{i}");
                let time = EventTime::from_micros(T0_MICROS + i as i64 * 1_000_000).unwrap();
                let partition = Some(Partition(p as i32));
                producer.send(topic, partition, Some(b"k"), payload.as_bytes(), Some(time)).unwrap();
            }
        }
        producer.flush(PATIENCE).unwrap();
    }
}

/// Runs a test on the embedded broker, then on the real one if there is one.
fn on_brokers(name: &str, test: impl Fn(&Ground)) {
    let embedded = EmbeddedBroker::start().unwrap();
    let brokers = embedded.bootstrap_servers();
    test(&Ground { brokers, embedded: Some(embedded), name: name.to_owned() });
    on_real_broker(name, test);
}

fn on_real_broker(name: &str, test: impl Fn(&Ground)) {
    if let Ok(brokers) = std::env::var("TIDECAST_TEST_BROKERS") {
        let name = format!("{name}-{:08x}", rand::random::<u32>());
        test(&Ground { brokers, embedded: None, name });
    }
}

/// A worker without a model: it owns partitions and remembers where it is.
struct Worker {
    link: WorkerClients,
    positions: BTreeMap<TopicPartition, Offset>,
    seen: Vec<String>,
    lost: usize,
    /// Commits that did not come about.
    refused: usize,
    /// Where everything that is read is copied to.
    target: Option<String>,
    /// Whether what it is given is paused at once.
    pausing: bool,
    /// The new epochs of its producer, by the request that was not answered.
    new_epochs: Vec<TransactionRequest>,
}

impl Worker {
    fn start(config: &Config, worker: usize, topic: &str) -> Self {
        let link = WorkerClients::connect(config, worker, &[topic.to_owned()]).unwrap();
        let positions = BTreeMap::new();
        let (seen, new_epochs) = (Vec::new(), Vec::new());
        Self { link, positions, seen, lost: 0, refused: 0, target: None, pausing: false, new_epochs }
    }

    fn turn(&mut self) {
        let Self { positions, seen, .. } = self;
        let before = seen.len();
        self.link
            .poll(1_000, Duration::from_millis(20), &mut |r| {
                let tp = TopicPartition { topic: r.topic.into(), partition: r.partition };
                positions.insert(tp, r.offset.next());
                seen.push(String::from_utf8_lossy(r.payload.unwrap()).into_owned());
            })
            .unwrap();
        if let Some(target) = &self.target {
            for text in &self.seen[before..] {
                self.link.send(target, None, None, text.as_bytes(), &[]).unwrap();
            }
        }
        while let Some(event) = self.link.event() {
            match event {
                Event::Assigned(parts) => {
                    let starts = self.stable(&parts);
                    self.link.assign(&starts).unwrap();
                    if self.pausing {
                        self.link.pause(&parts).unwrap();
                    }
                    let begun = starts.into_iter().map(|(tp, at)| (tp, at.unwrap_or(Offset(0))));
                    self.positions.extend(begun);
                }
                Event::Revoked(parts) => {
                    if self.commit() != Commit::Committed {
                        self.refused += 1;
                        self.recover();
                    }
                    self.link.release(&parts).unwrap();
                    self.positions.retain(|tp, _| !parts.contains(tp));
                }
                Event::Lost(parts) => {
                    self.link.abort().unwrap();
                    self.link.release(&parts).unwrap();
                    self.positions.retain(|tp, _| !parts.contains(tp));
                    self.lost += parts.len();
                    self.recover();
                }
                Event::Expelled => {
                    self.link.abort().unwrap();
                    self.lost += self.positions.len();
                    self.positions.clear();
                }
                Event::NewEpoch(unanswered) => self.new_epochs.push(unanswered),
                Event::Trouble(text) => eprintln!("{text}"),
            }
        }
    }

    fn commit(&mut self) -> Commit {
        let positions: Vec<_> = self.positions.clone().into_iter().collect();
        self.link.commit(&positions).unwrap()
    }

    /// The committed offsets, once no open transaction holds them.
    fn stable(&self, parts: &[TopicPartition]) -> Vec<(TopicPartition, Option<Offset>)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.link.committed(parts) {
                Err(e) if e.is_transient() && Instant::now() < deadline => {}
                answer => return answer.unwrap(),
            }
        }
    }

    /// Goes back to what is committed.
    fn recover(&mut self) {
        let held: Vec<_> = self.positions.keys().cloned().collect();
        let starts = self.stable(&held);
        let starts: Vec<_> = starts.into_iter().map(|(tp, at)| (tp, at.unwrap_or(Offset(0)))).collect();
        self.link.seek(&starts).unwrap();
        self.positions.extend(starts);
    }
}

/// Turns all workers until `done`.
fn until(workers: &mut [&mut Worker], mut done: impl FnMut(&[&mut Worker]) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done(workers) {
        assert!(Instant::now() < deadline, "this did not come about in {PATIENCE:?}");
        workers.iter_mut().for_each(|w| w.turn());
    }
}

fn read_all(ground: &Ground, topic: &str) -> Vec<Record> {
    let mut tail = TopicReader::open(&ground.config().kafka, topic, Start::Beginning).unwrap();
    let mut records = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while !tail.at_end() {
        assert!(Instant::now() < deadline);
        tail.poll(1_000, Duration::from_millis(50), &mut |r| records.push(r.to_record())).unwrap();
    }
    records
}

fn tp(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition { topic: topic.into(), partition: Partition(partition) }
}
