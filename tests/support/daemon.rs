//! The built binary as a process, as an orchestrator sees it.

use super::process::{Frozen, Process, fresh_dir};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Whoever bears it may change something over HTTP.
pub const TOKEN: &str = "a-token-for-these-tests";

/// The config of a daemon that answers hourly readings `{"id":…,"ts":…,"kw":…}` of one topic.
pub struct Settings<'a> {
    pub brokers: &'a str,
    /// Lines of `[kafka]` besides.
    pub kafka: &'a str,
    /// Where the admin server listens.
    pub http: &'a str,
    pub store: &'a str,
    /// Sections besides.
    pub sections: &'a str,
    /// The stream's name.
    pub name: &'a str,
    pub topic: &'a str,
    /// Lines of the stream besides.
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
        let dir = fresh_dir("daemon");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidecast"));
        command.arg("run").arg("--config").arg(config).envs(env.iter().copied());
        let log = dir.path().join("log");
        let process = Process::spawn("tidecast", command, &log).expect("start tidecast");
        Self { process, _dir: dir }
    }

    /// SIGKILL, and wait for the end.
    pub fn kill9(&mut self) {
        self.process.kill();
    }

    /// SIGTERM, and the exit code; panics when it takes longer than `limit`, or a signal ended it.
    pub fn terminate(&mut self, limit: Duration) -> i32 {
        self.process.signal(libc::SIGTERM);
        self.wait(limit)
    }

    /// SIGTERM to a daemon that may be starting still, when nothing of it minds its end.
    pub fn dismiss(&mut self, limit: Duration) -> Option<i32> {
        self.process.signal(libc::SIGTERM);
        self.process.wait(limit).code()
    }

    /// The exit code, once it has ended by itself.
    pub fn wait(&mut self, limit: Duration) -> i32 {
        let status = self.process.wait(limit);
        status.code().unwrap_or_else(|| panic!("tidecast: {status}"))
    }

    /// Any other signal: SIGHUP reloads, SIGSTOP and SIGCONT make a zombie.
    pub fn signal(&mut self, signal: i32) {
        self.process.signal(signal);
    }

    /// Stops one thread by its name until what this gives is dropped; librdkafka's run on.
    pub fn freeze(&self, thread: &str) -> Frozen {
        self.process.freeze(thread)
    }

    pub fn is_running(&mut self) -> bool {
        self.process.exit_status().is_none()
    }

    pub fn log(&self) -> String {
        self.process.log()
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

/// Status and body of `GET path`, or `None` when nobody answers.
pub fn get(http: &str, path: &str) -> Option<(u16, String)> {
    ask(http, &format!("GET {path} HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n"))
}

/// The same of an empty `POST path` with this bearer token.
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
