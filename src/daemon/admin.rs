use crate::config::{Config, Stream};
use crate::domain::{ModelVersion, Partition};
use crate::http::{Asked, Order, Refusal};
use crate::models::{NAP, Registry, RegistryError, RoundQueue, StoredModel};
use crate::telemetry::{Board, Metrics, ShardView};
use crate::training::Why;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

/// Carries out what is asked over HTTP, one command after the other. The caller waits, and no worker does.
pub(super) struct AdminCommands {
    pub config: Arc<Config>,
    pub registry: Registry,
    pub rounds: RoundQueue,
    pub metrics: Metrics,
    pub board: Board,
}

impl AdminCommands {
    pub fn work(mut self, orders: &Receiver<Asked>, stop: &AtomicBool) {
        while !stop.load(Ordering::Acquire) {
            let Ok(Asked { stream, order, answer }) = orders.recv_timeout(NAP) else { continue };
            // The caller has given up, and was answered that nothing was done.
            if answer.is_closed() {
                continue;
            }
            let known = self.config.streams.iter().find(|s| s.name == stream).cloned();
            let done = match known {
                Some(stream) => self.carry_out(&stream, &order),
                None => Err(Refusal::NotFound(format!("there is no stream \"{stream}\""))),
            };
            // The caller may be gone.
            let _ = answer.send(done);
        }
    }

    fn carry_out(&mut self, stream: &Stream, order: &Order) -> Result<Value, Refusal> {
        let name = &stream.name;
        let metrics = self.metrics.stream(name);
        match order {
            Order::List => {
                let models = self.registry.list(name).map_err(refusal)?;
                let all: Vec<Value> = models.iter().map(|entry| entry.json(stream)).collect();
                Ok(json!({ "stream": name.as_str(), "models": all }))
            }
            Order::Promote(text) => {
                let version = ModelVersion::parse(text, name)
                    .ok_or_else(|| Refusal::NotFound(format!("\"{text}\" is no model of {name}")))?;
                self.registry.promote(stream, version).map_err(refusal)?;
                metrics.promotions.inc();
                Ok(json!({ "stream": name.as_str(), "announced": version.name(name) }))
            }
            Order::RollBack => {
                let to = self.registry.roll_back(stream).map_err(refusal)?;
                metrics.rollbacks.inc();
                Ok(json!({ "stream": name.as_str(), "announced": to.map(|version| version.name(name)) }))
            }
            Order::Retrain => self.retrain(stream),
        }
    }

    fn retrain(&self, stream: &Stream) -> Result<Value, Refusal> {
        if !stream.training.enabled {
            return Err(Refusal::Conflict("training.enabled is false for this stream".to_owned()));
        }
        let topic = &stream.topics[0];
        let view = self.board.stream_view(&stream.name);
        let first = |shard: &ShardView| *shard.at.topic == **topic && shard.at.partition == Partition(0);
        if !view.is_some_and(|view| view.shards.iter().any(first)) {
            let detail = format!("the replica that owns {topic}[0] trains, and this one does not own it");
            return Err(Refusal::Conflict(detail));
        }
        self.rounds.hasten(&stream.name, Why::Request);
        Ok(json!({ "stream": stream.name.as_str(), "requested": true }))
    }
}

fn refusal(cause: RegistryError) -> Refusal {
    let text = cause.to_string();
    match cause {
        RegistryError::Absent(_) => Refusal::NotFound(text),
        RegistryError::Shape(_)
        | RegistryError::Serves(_)
        | RegistryError::Nothing
        | RegistryError::NoFormer(_) => Refusal::Conflict(text),
        RegistryError::Store(_) | RegistryError::Network(_) | RegistryError::Kafka(_) => {
            Refusal::Unavailable(text)
        }
    }
}

impl StoredModel {
    /// For machines: numbers as numbers, the lineage as a list of its lines.
    pub fn json(&self, stream: &Stream) -> Value {
        let mut all = json!({ "model": self.version.name(&stream.name), "version": self.version.0,
            "serves": self.serves, "damage": self.facts.as_ref().err() });
        for (key, value) in self.facts.iter().flatten() {
            all[key] = match (key.as_str(), value.parse::<u64>(), value.parse::<f64>()) {
                ("stream" | "version", ..) => continue,
                ("lineage", ..) => value.lines().collect(),
                (_, Ok(whole), _) => whole.into(),
                (_, _, Ok(real)) => real.into(),
                _ => value.as_str().into(),
            };
        }
        all
    }
}
