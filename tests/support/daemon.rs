//! The built binary as a process, driven as an orchestrator does.

use super::process::{Frozen, Process, fresh_dir};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// The token that allows changes over HTTP.
pub const TOKEN: &str = "a-token-for-these-tests";

/// The config of a daemon that answers hourly readings `{"id":…,"ts":…,"kw":…}` of one topic.
pub struct Settings<'a> {
    pub brokers: &'a str,
    /// More lines of `[kafka]`.
    pub kafka: &'a str,
    /// Where the admin server listens.
    pub http: &'a str,
    pub store: &'a str,
    /// More sections.
    pub sections: &'a str,
    /// The stream's name.
    pub name: &'a str,
    pub topic: &'a str,
    /// More lines of the stream.
    pub stream: &'a str,
}

impl Settings<'_> {
    pub fn text(&self) -> String {
        let Self { brokers, kafka, http, store, sections, name, topic, stream } = self;
        format!(
            r#"
[kafka]
brokers = "{brokers}"
{kafka}
[http]
listen = "{http}"
token = "{TOKEN}"
[store]
url = "{store}"
[delivery]
commit_interval = "100ms"
{sections}
[streams.{name}]
topics = ["{topic}"]
interval = "1h"
targets = ["kw"]
seasons = ["1d"]
fields = {{ series = "/id", time = "/ts" }}
{stream}
"#
        )
    }
}

pub struct Daemon {
    process: Process,
    /// Holds the log.
    _dir: tempfile::TempDir,
}

impl Daemon {
    /// `tidecast run --config CONFIG`, with `env` on top of this process's environment.
    pub fn spawn(config: &Path, env: &[(&str, &str)]) -> Self {
        Self::spawn_program(Path::new(env!("CARGO_BIN_EXE_tidecast")), config, env)
    }

    /// The same with the program of another release.
    pub fn spawn_program(program: &Path, config: &Path, env: &[(&str, &str)]) -> Self {
        let dir = fresh_dir("daemon");
        let mut command = Command::new(program);
        command.arg("run").arg("--config").arg(config).envs(env.iter().copied());
        let log = dir.path().join("log");
        let process = Process::spawn("tidecast", command, &log).expect("start tidecast");
        Self { process, _dir: dir }
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends SIGKILL and waits for the end.
    pub fn kill9(&mut self) {
        self.process.kill();
    }

    /// Sends SIGTERM and returns the exit code. Panics when it takes longer than `limit`, or a signal ended it.
    pub fn terminate(&mut self, limit: Duration) -> i32 {
        self.process.signal(libc::SIGTERM);
        self.wait(limit)
    }

    /// Sends SIGTERM to a daemon that may still be starting and have no handler yet.
    pub fn dismiss(&mut self, limit: Duration) -> Option<i32> {
        self.process.signal(libc::SIGTERM);
        self.process.wait(limit).code()
    }

    /// Waits until it ends by itself, and returns the exit code.
    pub fn wait(&mut self, limit: Duration) -> i32 {
        let status = self.process.wait(limit);
        status.code().unwrap_or_else(|| panic!("tidecast: {status}"))
    }

    /// Sends a signal. SIGSTOP and SIGCONT make a zombie.
    pub fn signal(&mut self, signal: i32) {
        self.process.signal(signal);
    }

    /// Stops one thread by its name until the result is dropped. librdkafka's threads run on.
    pub fn freeze(&self, thread: &str) -> Frozen {
        self.process.freeze(thread)
    }

    pub fn is_running(&mut self) -> bool {
        self.process.exit_status().is_none()
    }

    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The log's events of this name, oldest first; the config must have `format = "json"` in `[log]`.
    pub fn events(&self, name: &str) -> Vec<Value> {
        let log = self.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["event"] == name).collect()
    }

    /// Waits until the log has `count` events of this name.
    pub fn wait_for_events(&mut self, name: &str, count: usize, limit: Duration) -> Vec<Value> {
        let until = Instant::now() + limit;
        loop {
            let found = self.events(name);
            if found.len() >= count {
                return found;
            }
            assert!(self.is_running(), "the daemon has ended:\n{}", self.log());
            assert!(Instant::now() < until, "{} of {count} {name}:\n{}", found.len(), self.log());
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Waits until `/readyz` at `http` ("127.0.0.1:9464") answers 200; panics when the daemon ends first,
    /// or after `limit`.
    pub fn wait_ready(&mut self, http: &str, limit: Duration) {
        let until = Instant::now() + limit;
        let mut answer = None;
        while Instant::now() < until {
            answer = get(http, "/readyz");
            if answer.as_ref().is_some_and(|(status, _)| *status == 200) {
                return;
            }
            if let Some(status) = self.process.exit_status() {
                panic!("tidecast ended before it was ready: {status}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("not ready after {limit:?}; /readyz last said {answer:?}");
    }
}

/// Status and body of `GET path`; `None` without an answer.
pub fn get(http: &str, path: &str) -> Option<(u16, String)> {
    ask(http, &format!("GET {path} HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n"))
}

/// A metric's value at `http`, by its name and labels as `/metrics` writes them; `None` while it does not exist.
pub fn metric(http: &str, series: &str) -> Option<f64> {
    let (_, page) = get(http, "/metrics").expect("the admin server answers");
    let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(value.trim().parse().expect("a number"))
}

/// Status and body of an empty `POST path` with this bearer token.
pub fn post(http: &str, path: &str, token: &str) -> Option<(u16, String)> {
    let head = format!("Host: {http}\r\nAuthorization: Bearer {token}\r\nContent-Length: 0");
    ask(http, &format!("POST {path} HTTP/1.1\r\n{head}\r\nConnection: close\r\n\r\n"))
}

fn ask(http: &str, request: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(http).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}
