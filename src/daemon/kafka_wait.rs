//! Waits for Kafka, and for the schema registry at the start: who waits says so in the log, at once and then once a minute, and asks again. Kafka may be away for as
//! long as it likes; a restart of the process would mend nothing.

use super::Error;
use crate::config::Config;
use crate::http;
use crate::kafka::{self, WorkerClients};
use crate::models;
use crate::registry;
use crate::telemetry::{Board, BoardOptions, Metrics, StreamShape, events};
use crate::worker;
use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The pause before Kafka is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// How often the log says that somebody still waits.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// A wait for Kafka that may be going on.
pub(super) struct KafkaWait {
    who: String,
    /// Whether it is the schema registry that does not answer.
    is_registry: bool,
    since: Option<Instant>,
    say_at: Instant,
}

impl KafkaWait {
    pub fn of(who: impl Into<String>) -> Self {
        Self { who: who.into(), is_registry: false, since: None, say_at: Instant::now() }
    }

    /// Kafka did not answer. Waits for a moment.
    pub fn pause(&mut self, cause: &dyn Display) {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        if now >= self.say_at {
            self.say_at = now + SAY_AGAIN;
            let waited = now.saturating_duration_since(since);
            if self.is_registry {
                events::registry_awaited(&self.who, waited, cause);
            } else {
                events::kafka_awaited(&self.who, waited, cause);
            }
        }
        std::thread::sleep(ASK_AGAIN);
    }
}

/// Kafka has answered.
impl Drop for KafkaWait {
    fn drop(&mut self) {
        if let Some(since) = self.since {
            if self.is_registry {
                events::registry_answered(since.elapsed());
            } else {
                events::kafka_answered(&self.who, since.elapsed());
            }
        }
    }
}

impl Error {
    /// Whether it is Kafka, or the schema registry, that does not answer.
    fn is_transient(&self) -> bool {
        match self {
            Self::Kafka(cause)
            | Self::Worker(worker::Error::Kafka(cause))
            | Self::Models(models::Error::Kafka(cause)) => cause.is_transient(),
            Self::Registry(registry::Error::Away(_)) => true,
            _ => false,
        }
    }
}

/// What needs Kafka before the workers start. While it waits, metrics and health are served, and say so.
pub(super) struct StartingDaemon {
    config: Config,
    shown: Option<(http::Server, Board)>,
}

impl StartingDaemon {
    pub fn of(config: &Config) -> Self {
        Self { config: config.clone(), shown: None }
    }

    /// Repeats what needs Kafka, or the schema registry, until it answers.
    ///
    /// # Errors
    /// When it fails for another reason, or the admin address is taken.
    pub fn until_answered<T>(&mut self, mut ask: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
        let mut wait = KafkaWait::of("the start");
        loop {
            match ask() {
                Err(cause) if cause.is_transient() => {
                    self.show(&cause)?;
                    wait.is_registry = matches!(cause, Error::Registry(_));
                    wait.pause(&cause);
                }
                outcome => return outcome,
            }
        }
    }

    fn show(&mut self, cause: &Error) -> Result<(), Error> {
        let workers = self.config.daemon.workers;
        if self.shown.is_none() {
            let shapes: Vec<StreamShape> =
                self.config.streams.iter().map(|s| worker::stream_shape(s)).collect();
            let metrics = Metrics::new(&shapes);
            for number in 0..workers {
                worker::clients(&metrics, number);
            }
            let streams = self.config.streams.iter().map(|s| s.name.clone()).collect();
            let board = Board::new(&BoardOptions { workers, stall_after: super::STALL_AFTER, streams });
            // Nobody carries out what is asked meanwhile.
            let (orders, _) = http::CommandSender::new(None);
            let server = http::Server::start(self.config.http.listen, metrics, board.clone(), orders)?;
            self.shown = Some((server, board));
        }
        let Some((_, board)) = &self.shown else { return Ok(()) };
        for number in 0..workers {
            board.beat(number);
            board.waits_for_kafka(number, Some(cause.to_string()));
        }
        Ok(())
    }
}

/// Connects a worker's clients, and asks for its topics. `None` when the process is stopping.
pub(super) fn connect(
    config: &Config,
    number: usize,
    topics: &[String],
    board: &Board,
    stop: &AtomicBool,
) -> Result<Option<(WorkerClients, kafka::TopicDescriptions)>, kafka::Error> {
    let names = topics.iter().map(|topic| topic.as_str().into()).collect();
    let mut wait = KafkaWait::of(format!("worker-{number}"));
    let mut clients = None;
    while !stop.load(Ordering::Acquire) {
        let asked = match clients.take() {
            None => WorkerClients::connect(config, number, topics),
            Some(connected) => Ok(connected),
        };
        let answer = asked.and_then(|connected| {
            let connected = clients.insert(connected);
            connected.topics(&names)
        });
        match answer {
            Ok(known) => {
                board.waits_for_kafka(number, None);
                return Ok(clients.map(|clients| (clients, known)));
            }
            Err(cause) if cause.is_transient() => {
                board.beat(number);
                board.waits_for_kafka(number, Some(cause.to_string()));
                wait.pause(&cause);
            }
            Err(cause) => return Err(cause),
        }
    }
    Ok(None)
}
