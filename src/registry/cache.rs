//! Schemas that are known, and a thread that asks for those that are not.

use super::{Error, RegistryClient};
use crate::config::SchemaRegistry;
use crate::schemas::{Lookup, SchemaId, SchemaSource};
use crate::telemetry::{Metrics, RegistryOutcome, events};
use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

/// The pause before a registry is asked again that did not answer; it doubles up to the longest.
const ASK_AGAIN_FIRST: Duration = Duration::from_millis(250);
const ASK_AGAIN_LONGEST: Duration = Duration::from_secs(5);
/// How often the log says that the registry is still away.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// How long it is believed that there is no schema with a number.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);
/// Numbers that are remembered to have no schema.
const UNKNOWN_MOST: usize = 10_000;

/// Finds schemas in a registry. Shared by all workers.
pub struct SchemaCache {
    known: Arc<Known>,
    wanted: Mutex<Sender<SchemaId>>,
}

#[derive(Default)]
struct Known {
    /// A number that was asked for and has no answer yet is here as [`Lookup::Pending`].
    schemas: RwLock<HashMap<SchemaId, (Lookup, Instant)>>,
}

impl SchemaCache {
    /// Starts the thread. It ends when this is dropped.
    ///
    /// # Errors
    /// [`Error::Client`] when the client can't be made.
    pub fn start(config: &SchemaRegistry, metrics: &Metrics) -> Result<Arc<Self>, Error> {
        let client = RegistryClient::new(config)?;
        let (wanted, asked) = channel();
        let known = Arc::new(Known::default());
        let asker = Asker { client, known: known.clone(), metrics: metrics.clone(), away: None };
        std::thread::Builder::new()
            .name("registry".into())
            .spawn(move || asker.run(&asked))
            .map_err(|e| Error::Client(format!("can't start a thread: {e}")))?;
        Ok(Arc::new(Self { known, wanted: Mutex::new(wanted) }))
    }
}

impl SchemaSource for SchemaCache {
    fn look_up(&self, id: SchemaId) -> Lookup {
        let now = Instant::now();
        let is_valid = |(lookup, since): &&(Lookup, Instant)| {
            !matches!(lookup, Lookup::Unknown) || now.saturating_duration_since(*since) < UNKNOWN_FOR
        };
        if let Some((lookup, _)) =
            self.known.schemas.read().expect("no holder of this lock panics").get(&id).filter(is_valid)
        {
            return lookup.clone();
        }
        self.known.put(id, Lookup::Pending);
        let wanted = self.wanted.lock().expect("no holder of this lock panics");
        // The thread ends with the process alone.
        let _ = wanted.send(id);
        Lookup::Pending
    }
}

impl Known {
    fn put(&self, id: SchemaId, lookup: Lookup) {
        let mut schemas = self.schemas.write().expect("no holder of this lock panics");
        if schemas.len() >= UNKNOWN_MOST && matches!(lookup, Lookup::Unknown) {
            schemas.retain(|_, (lookup, _)| !matches!(lookup, Lookup::Unknown));
        }
        schemas.insert(id, (lookup, Instant::now()));
    }
}

/// Asks the registry, beside the workers.
struct Asker {
    client: RegistryClient,
    known: Arc<Known>,
    metrics: Metrics,
    away: Option<Away>,
}

/// A registry that does not answer.
struct Away {
    since: Instant,
    say_at: Instant,
    pause: Duration,
}

impl Asker {
    fn run(mut self, asked: &Receiver<SchemaId>) {
        let mut wanted: VecDeque<SchemaId> = VecDeque::new();
        loop {
            let Some(id) = wanted.front().copied() else {
                match asked.recv() {
                    Ok(id) => wanted.push_back(id),
                    Err(_) => return,
                }
                continue;
            };
            match self.ask(id) {
                Ok(lookup) => {
                    wanted.pop_front();
                    self.known.put(id, lookup);
                    self.answered();
                }
                Err(cause) => {
                    // A schema that can't be had now does not keep the others waiting.
                    wanted.rotate_left(1);
                    let pause = self.is_away(wanted.len(), &cause);
                    match asked.recv_timeout(pause) {
                        Ok(id) => wanted.push_front(id),
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => return,
                    }
                }
            }
            self.metrics.schemas_pending(wanted.len());
        }
    }

    /// What the registry says of a schema, or why it says nothing.
    fn ask(&self, id: SchemaId) -> Result<Lookup, String> {
        let (outcome, lookup) = match self.client.find(id) {
            Ok(lookup @ Lookup::Unknown) => (RegistryOutcome::Unknown, Ok(lookup)),
            Ok(lookup @ Lookup::Unusable(_)) => (RegistryOutcome::Unusable, Ok(lookup)),
            Ok(lookup) => (RegistryOutcome::Found, Ok(lookup)),
            Err(cause) => (RegistryOutcome::Away, Err(cause.to_string())),
        };
        self.metrics.schema_asked(outcome);
        lookup
    }

    /// Says that the registry is away, at once and then once a minute; returns the pause before it is asked again.
    fn is_away(&mut self, waiting: usize, cause: &str) -> Duration {
        let now = Instant::now();
        let away = self.away.get_or_insert(Away { since: now, say_at: now, pause: ASK_AGAIN_FIRST });
        if now >= away.say_at {
            away.say_at = now + SAY_AGAIN;
            events::registry_away(now.saturating_duration_since(away.since), waiting, cause);
        }
        let pause = away.pause;
        away.pause = (pause * 2).min(ASK_AGAIN_LONGEST);
        pause
    }

    fn answered(&mut self) {
        if let Some(away) = self.away.take() {
            events::registry_answered(away.since.elapsed());
        }
    }
}
