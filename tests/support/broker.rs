//! Real Kafka brokers: one for a test or for all tests of a process, or a cluster of several.
//!
//! The jars are in `target/kafka/libs`; `tests/run` puts them there.

#![allow(unsafe_code, reason = "calls of libc")]

use super::kafka::client;
use super::process::{Process, free_port, fresh_dir, write};
use super::proxy::Proxy;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How often a start is tried, because another process may take the free port before the broker does.
const START_ATTEMPTS: usize = 3;

/// Settings that make tests quick.
const SETTINGS: &str = "\
process.roles=broker,controller
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
auto.create.topics.enable=false
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=100
group.consumer.heartbeat.interval.ms=500
group.consumer.session.timeout.ms=3000
log.cleaner.dedupe.buffer.size=4194304
";

const LOGGING: &str = "\
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{HH:mm:ss.SSS} %p %c{1}: %m%n
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
logger.markers.name=kafka.coordinator.transaction.TransactionMarkerChannelManager
logger.markers.level=info
";

const QUICK: &[&str] = &["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"];
const FAST: &[&str] = &["-Xms1g", "-Xmx1g", "-XX:+UseG1GC"];

/// A `KRaft` node that is broker and controller in one, with its data in a directory of its own.
/// Dropping it kills it and removes the data.
pub struct Broker {
    process: Option<Process>,
    port: u16,
    proxy: Proxy,
    dir: tempfile::TempDir,
    jvm: &'static [&'static str],
}

impl Broker {
    /// For tests: starts quickly and stays small.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With broker settings on top of the usual ones.
    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::alone(settings, QUICK)
    }

    /// For benchmarks: slower to start, and as fast as Kafka is.
    pub fn start_for_benchmark() -> Self {
        // What a run has written goes at once with its topic, so that the disk has room for the next.
        Self::alone(&[("log.segment.delete.delay.ms", "0")], FAST)
    }

    fn alone(settings: &[(&str, &str)], jvm: &'static [&'static str]) -> Self {
        let [broker] = start_nodes::<1>(settings, jvm);
        broker
    }

    /// One broker for all tests of a process that do not kill it. Each test uses its own topics and groups.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        static DIR: OnceLock<(PathBuf, u32)> = OnceLock::new();
        // Nothing drops a static: the broker dies with the test process, and this removes its data.
        extern "C" fn clean() {
            if let Some((dir, id)) = DIR.get() {
                // SAFETY: the child is never reaped, so the id is still its own.
                unsafe {
                    libc::kill(*id as i32, libc::SIGKILL);
                    libc::waitpid(*id as i32, std::ptr::null_mut(), 0);
                }
                let _ = std::fs::remove_dir_all(dir);
            }
        }
        SHARED.get_or_init(|| {
            let broker = Self::start();
            let id = broker.process.as_ref().map(Process::id).expect("it runs");
            DIR.get_or_init(|| (broker.dir.path().to_owned(), id));
            // SAFETY: `clean` only reads a static that is set before this.
            unsafe { libc::atexit(clean) };
            broker
        })
    }

    /// `127.0.0.1:PORT`; the same after a restart.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The address of the proxy before it, for a client whose network the test breaks.
    pub fn proxied(&self) -> String {
        format!("127.0.0.1:{}", self.proxy.port())
    }

    /// What stands before it for those that came through [`proxied`](Self::proxied).
    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// The directory of the logs, one folder for each partition.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// SIGTERM, and waits for the orderly end.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(libc::SIGTERM);
            process.wait(STOP_LIMIT);
        }
    }

    /// Sends a signal: SIGSTOP and SIGCONT pause it.
    pub fn signal(&mut self, signal: i32) {
        self.process.as_mut().expect("it runs").signal(signal);
    }

    /// Starts it again over the same data, on the same port; kills it first when it still runs.
    pub fn restart(&mut self) {
        self.kill();
        if let Err(log) = self.try_start() {
            panic!("Kafka does not start again:\n{log}");
        }
    }

    /// Stops it, deletes a partition's log, as a disk may lose it, and starts it again.
    pub fn lose_log(&mut self, topic: &str, partition: i32) {
        self.stop();
        std::fs::remove_dir_all(self.data().join(format!("{topic}-{partition}")))
            .expect("the partition's log");
        self.restart();
    }

    /// Whether its log says that it has left a transaction open for ever, which can happen when it stops or starts
    /// (docs/runbook.md, A transaction that hangs).
    pub fn has_left_one_open(&self) -> bool {
        let log = std::fs::read(self.dir.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).contains("Couldn't find leader endpoint for partitions")
    }

    fn format(&self) {
        let output = self
            .java(&["-Xshare:auto", "-XX:TieredStopAtLevel=1"], "kafka.tools.StorageTool")
            .args(["format", "--cluster-id", "tidecast-tests-------w", "--config"])
            .arg(self.dir.path().join("server.properties"))
            .output()
            .expect("java starts: `tests/run` installs it");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn try_start(&mut self) -> Result<(), String> {
        self.spawn()?;
        self.wait_until_it_answers()
    }

    fn spawn(&mut self) -> Result<(), String> {
        let mut command = self.java(self.jvm, "kafka.Kafka");
        command.arg(self.dir.path().join("server.properties"));
        let started = Process::spawn("Kafka", command, &self.dir.path().join("log"));
        self.process = Some(started.map_err(|e| e.to_string())?);
        Ok(())
    }

    /// Returns the broker's log when it ends or does not answer.
    fn wait_until_it_answers(&mut self) -> Result<(), String> {
        let client: BaseConsumer = client(&self.bootstrap()).create().expect("a client");
        let process = self.process.as_mut().expect("it was spawned");
        let until = Instant::now() + START_LIMIT;
        while Instant::now() < until && process.exit_status().is_none() {
            // An open port is not enough: the answer names a broker once it has registered.
            match client.fetch_metadata(None, Duration::from_millis(500)) {
                Ok(metadata) if !metadata.brokers().is_empty() => return Ok(()),
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        let log = process.log();
        self.kill();
        Err(log)
    }

    fn java(&self, options: &[&str], main: &str) -> Command {
        let libs = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("kafka").join("libs");
        assert!(libs.is_dir(), "no Kafka in {}: run `tests/run kafka` once", libs.display());
        let java =
            std::env::var_os("JAVA_HOME").map_or("java".into(), |home| Path::new(&home).join("bin/java"));
        let logging = self.dir.path().join("log4j2.properties");
        let mut command = Command::new(java);
        command
            .args(options)
            .arg(format!("-Dlog4j2.configurationFile={}", logging.display()))
            .arg("-cp")
            .arg(libs.join("*"))
            .arg(main);
        command
    }
}

/// Three nodes: every partition has three replicas, and two of them must have what is acknowledged.
pub struct Cluster {
    pub nodes: [Broker; 3],
}

impl Cluster {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With broker settings on top of the usual ones.
    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        Self { nodes: start_nodes(settings, QUICK) }
    }

    /// The addresses of all nodes.
    pub fn bootstrap(&self) -> String {
        self.nodes.each_ref().map(Broker::bootstrap).join(",")
    }

    /// The addresses of the proxies before all nodes.
    pub fn proxied(&self) -> String {
        self.nodes.each_ref().map(Broker::proxied).join(",")
    }
}

/// Starts nodes that form one cluster.
fn start_nodes<const N: usize>(settings: &[(&str, &str)], jvm: &'static [&'static str]) -> [Broker; N] {
    let mut fault = String::new();
    for _ in 0..START_ATTEMPTS {
        match try_nodes(settings, jvm) {
            Ok(nodes) => return nodes,
            Err(log) => fault = log,
        }
    }
    panic!("Kafka does not start:\n{fault}");
}

fn try_nodes<const N: usize>(
    settings: &[(&str, &str)],
    jvm: &'static [&'static str],
) -> Result<[Broker; N], String> {
    let controllers: [u16; N] = std::array::from_fn(|_| free_port());
    let voters: Vec<_> =
        controllers.iter().enumerate().map(|(i, port)| format!("{}@127.0.0.1:{port}", i + 1)).collect();
    // A majority of the replicas.
    let in_sync = N / 2 + 1;
    let mut nodes = std::array::from_fn(|node| {
        let (port, behind_proxy, controller) = (free_port(), free_port(), controllers[node]);
        let proxy = Proxy::start(behind_proxy);
        let dir = fresh_dir("kafka");
        let mut text = format!(
            "{SETTINGS}node.id={}\n\
             controller.quorum.voters={}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{behind_proxy},\
             CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{}\n\
             log.dirs={}\n\
             default.replication.factor={N}\n\
             min.insync.replicas={in_sync}\n\
             offsets.topic.replication.factor={N}\n\
             transaction.state.log.replication.factor={N}\n\
             transaction.state.log.min.isr={in_sync}\n\
             share.coordinator.state.topic.replication.factor={N}\n\
             share.coordinator.state.topic.min.isr={in_sync}\n",
            node + 1,
            voters.join(","),
            proxy.port(),
            dir.path().join("data").display(),
        );
        settings.iter().for_each(|(key, value)| text.push_str(&format!("{key}={value}\n")));
        write(dir.path(), "server.properties", &text);
        write(dir.path(), "log4j2.properties", LOGGING);
        Broker { process: None, port, proxy, dir, jvm }
    });
    nodes.iter().for_each(Broker::format);
    nodes.iter_mut().try_for_each(Broker::spawn)?;
    nodes.iter_mut().try_for_each(Broker::wait_until_it_answers)?;
    Ok(nodes)
}
