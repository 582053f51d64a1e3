//! A topic that a producer writes to, a daemon that answers it, and the answers.

use crate::support::broker::Broker;
use crate::support::daemon::{Daemon, metric};
use crate::support::kafka::{
    Record, client, committed_offsets, create_models_topic, create_topic, read_committed,
};
use crate::support::process::{Process, free_port, fresh_dir, write};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

pub const LIMIT: Duration = Duration::from_secs(120);

/// Each series' readings: time in microseconds, and the value of the first target.
pub type Readings = BTreeMap<String, Vec<(i64, Option<f64>)>>;

pub struct Site {
    pub dir: tempfile::TempDir,
    name: String,
    http: String,
}

impl Site {
    pub fn new(name: &str) -> Self {
        let bootstrap = Self::brokers();
        for topic in ["in", "forecasts", "dead-letters"] {
            create_topic(&bootstrap, &format!("{name}.{topic}"), 1, &[]);
        }
        create_models_topic(&bootstrap, name);
        let (dir, http) = (fresh_dir("producers"), format!("127.0.0.1:{}", free_port()));
        Self { dir, name: name.to_owned(), http }
    }

    pub fn brokers() -> String {
        Broker::shared().bootstrap()
    }

    /// The name of the topic of this kind.
    pub fn topic(&self, kind: &str) -> String {
        format!("{}.{kind}", self.name)
    }

    /// The records that the producer wrote.
    pub fn written(&self) -> Vec<Record> {
        read_committed(&Self::brokers(), &self.topic("in"))
    }

    /// Deletes all records of the topic, as its retention does in time.
    pub fn forget_written(&self) {
        let admin: AdminClient<DefaultClientContext> = client(&Self::brokers()).create().expect("a client");
        let mut ends = TopicPartitionList::new();
        ends.add_partition_offset(&self.topic("in"), 0, Offset::End).expect("a partition");
        let deleted = admin.delete_records(&ends, &AdminOptions::new());
        futures::executor::block_on(deleted).expect("the records are deleted");
    }

    /// Waits until the producer has written so many records.
    pub fn wait_written(&self, count: usize) -> Vec<Record> {
        let until = Instant::now() + LIMIT;
        loop {
            let written = self.written();
            if written.len() >= count {
                return written;
            }
            assert!(Instant::now() < until, "{} of {count} records are written", written.len());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Starts a producer whose output goes to a log of its own.
    pub fn start(&self, name: &'static str, mut command: Command) -> Process {
        command.current_dir(self.dir.path());
        let log = self.dir.path().join(format!("{name}.log"));
        Process::spawn(name, command, &log).unwrap_or_else(|e| panic!("{name}: {e}; run tests/run producers"))
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        write(self.dir.path(), name, text)
    }

    /// A daemon with these lines of the stream, which ends once it has answered all that is written.
    pub fn answer(&self, stream: &str) -> Answers {
        let (name, http) = (&self.name, &self.http);
        let config = format!(
            "kafka = {{ brokers = \"{}\", group = \"{name}\" }}\nhttp.listen = \"{http}\"\n\
             store.url = \"file://{}\"\ndelivery.commit_interval = \"100ms\"\n[streams.{name}]\n\
             topics = [\"{name}.in\"]\nhorizon = 3\nseasons = []\nwindow = 64\nmodel = {{ hidden = 4 }}\n\
             training = {{ enabled = false }}\n{stream}\n",
            Self::brokers(),
            self.dir.path().join("store").display()
        );
        let mut daemon = Daemon::spawn(&self.file("tidecast.toml", &config), &[]);
        daemon.wait_ready(http, LIMIT);
        let end = self.written().last().expect("something is written").offset + 1;
        let until = Instant::now() + LIMIT;
        while committed_offsets(&Self::brokers(), name, &self.topic("in"))[0].unwrap_or(0) < end {
            assert!(daemon.is_running(), "the daemon has ended:\n{}", daemon.log());
            assert!(Instant::now() < until, "not all is answered:\n{}", daemon.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        let filtered = format!("tidecast_readings_discarded_total{{reason=\"filtered\",stream=\"{name}\"}}");
        let filtered = metric(http, &filtered).unwrap_or(0.0) as usize;
        assert_eq!(daemon.terminate(LIMIT), 0);
        let mut answers = Answers { filtered, ..Answers::default() };
        for record in read_committed(&Self::brokers(), &self.topic("forecasts")) {
            let value: Value = serde_json::from_slice(record.value.as_deref().expect("a forecast")).unwrap();
            let origin: jiff::Timestamp = value["origin"].as_str().unwrap().parse().unwrap();
            let (_, target) = value["targets"].as_object().unwrap().iter().next().unwrap();
            let series = value["series"].as_str().unwrap().to_owned();
            answers
                .readings
                .entry(series)
                .or_default()
                .push((origin.as_microsecond(), target["last"].as_f64()));
        }
        for letter in read_committed(&Self::brokers(), &self.topic("dead-letters")) {
            let text = |name: &str| letter.header(name).unwrap_or_default().to_owned();
            answers.letters.push((text("tidecast-reason"), text("tidecast-field")));
        }
        answers
    }
}

/// What the daemon answered.
#[derive(Debug, Default)]
pub struct Answers {
    /// The readings that a forecast was made at.
    pub readings: Readings,
    /// The reason and the field of each dead letter.
    pub letters: Vec<(String, String)>,
    /// Elements that the stream is not about.
    pub filtered: usize,
}

impl Answers {
    /// No record was refused, and these and no other readings have a forecast each. A forecast has as many decimals of a
    /// reading as are significant.
    pub fn assert_all(&self, wanted: &Readings) {
        assert_eq!(self.letters, [], "no dead letters");
        let places = |readings: &Readings| -> Vec<(String, i64, bool)> {
            let all =
                readings.iter().flat_map(|(series, readings)| readings.iter().map(move |at| (series, at)));
            all.map(|(series, (time, value))| (series.clone(), *time, value.is_some())).collect()
        };
        assert_eq!(places(&self.readings), places(wanted));
        let values = |readings: &Readings| -> Vec<f64> {
            readings.values().flatten().filter_map(|(_, value)| *value).collect()
        };
        for (got, wanted) in values(&self.readings).iter().zip(values(wanted)) {
            assert!((got - wanted).abs() <= 1e-3 * wanted.abs().max(1.0), "{got} and not {wanted}");
        }
    }
}

/// A producer that `tests/run producers` has built.
pub fn built(name: &str) -> Command {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target's directory");
    Command::new(target.join("producers/bin").join(name))
}

/// Runs a command that feeds a producer to its end.
pub fn run(command: &mut Command) {
    let done = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}; run tests/run producers"));
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Writes what a producer sent to `tests/payloads`, for the usual tests, if the environment asks for it.
pub fn keep(name: &str, payload: &[u8]) {
    if std::env::var_os("TIDECAST_WRITE_PAYLOADS").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/payloads").join(name);
        std::fs::write(path, payload).expect("write a payload");
    }
}

/// Posts a body to a producer that listens on this port of this machine, as soon as it listens. Returns the status.
pub fn post(port: u16, path: &str, kind: &str, body: &[u8]) -> u16 {
    let until = Instant::now() + LIMIT;
    let mut socket = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(socket) => break socket,
            Err(e) => assert!(Instant::now() < until, "nobody listens on port {port}: {e}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    socket.write_all(&[head.as_bytes(), body].concat()).expect("it takes a request");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("it answers");
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
}
