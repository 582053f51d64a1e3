use super::{ConfigFile, settled};
use crate::checkpoint::{Error, Manifest, Recovery, SnapshotId, Snapshots, Store, shards};
use crate::config::{Config, Stream};
use crate::console::print_columns;
use crate::console::{Failure, say, size};
use crate::domain::{EventTime, Offset, Partition, StreamName, TopicPartition};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// List the snapshots in the store, newest first; damaged ones are marked.
    #[command(after_help = "Example:\n  tidecast state list --config config/tidecast.toml")]
    List(List),
    /// Show what a snapshot holds, and check all of it.
    #[command(after_help = "Examples:\n  tidecast state show --config config/tidecast.toml power 0\n  \
        tidecast state show --config config/tidecast.toml power 0 --series meter-17")]
    Show(Show),
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    file: ConfigFile,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Show {
    #[command(flatten)]
    file: ConfigFile,
    /// The stream's name in the config.
    stream: String,
    /// The partition's number.
    partition: u32,
    /// The source topic; by default the stream's first.
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// The offset of the snapshot; by default the newest.
    #[arg(long, value_name = "N")]
    offset: Option<i64>,
    /// Show what the snapshot holds of one series; "*" for all of them.
    #[arg(long, value_name = "NAME")]
    series: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn state(verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::List(options) => list(options),
        Verb::Show(options) => show(options),
    }
}

/// One snapshot of the store.
struct Found {
    stream: StreamName,
    at: TopicPartition,
    id: SnapshotId,
    manifest: Result<Manifest, Error>,
}

fn list(options: &List) -> Result<(), Failure> {
    let (config, store) = settled(&options.file.config)?;
    let mut found = Vec::new();
    for stream in config.streams.iter().map(|s| &s.name) {
        for at in shards(&store, stream).map_err(Failure::new)? {
            let snapshots = Snapshots::new(&store, stream, &at, config.snapshots.keep);
            for id in snapshots.list().map_err(Failure::new)? {
                let manifest = match snapshots.reader(id) {
                    Ok(reader) => Ok(reader.manifest().clone()),
                    Err(damage) if damage.is_damage() => Err(damage),
                    Err(cause) => return Err(Failure::new(cause)),
                };
                found.push(Found { stream: stream.clone(), at: at.clone(), id, manifest });
            }
        }
    }
    if options.json {
        let all: Vec<Value> = found.iter().map(Found::json).collect();
        say!("{}", Value::from(all));
        return Ok(());
    }
    if found.is_empty() {
        say!("no snapshots in {store}");
        return Ok(());
    }
    let head = ["stream", "shard", "generation", "offset", "series", "size", "ratio", "model", "age"];
    let rows = found.iter().map(Found::row);
    print_columns(&std::iter::once(head.map(str::to_owned).to_vec()).chain(rows).collect::<Vec<_>>());
    Ok(())
}

fn show(options: &Show) -> Result<(), Failure> {
    let (config, store) = settled(&options.file.config)?;
    let (wanted_stream, at) = shard(&config, options)?;
    let stream = wanted_stream.name.clone();
    let snapshots = Snapshots::new(&store, &stream, &at, config.snapshots.keep);
    let ids = snapshots.list().map_err(Failure::new)?;
    let wanted = |id: &&SnapshotId| options.offset.is_none_or(|offset| id.offset == Offset(offset));
    let Some(&id) = ids.iter().find(wanted) else {
        let which = options.offset.map_or_else(String::new, |offset| format!(" at offset {offset}"));
        return Err(Failure::new(format!("{store} has no snapshot of {stream}, {at}{which}")));
    };
    if let Some(series) = &options.series {
        return show_series(&store, wanted_stream, &at, id, series, options.json);
    }
    // Reading to the end compares each checksum with its bytes.
    let mut reader = snapshots.reader(id).map_err(Failure::new)?;
    while reader.next_chunk().map_err(Failure::new)?.is_some() {}
    let found = Found { stream, at, id, manifest: Ok(reader.manifest().clone()) };
    if options.json {
        say!("{}", found.json());
        return Ok(());
    }
    let manifest = reader.manifest();
    let facts = &manifest.facts;
    let mut rows = vec![
        vec!["stream".to_owned(), found.stream.to_string()],
        vec!["shard".to_owned(), found.at.to_string()],
        vec!["generation".to_owned(), id.generation.to_string()],
        vec!["offset".to_owned(), id.offset.to_string()],
        vec!["model".to_owned(), model(manifest)],
        vec!["series".to_owned(), facts.series.to_string()],
        vec!["size".to_owned(), size(manifest.packed_bytes)],
        vec!["raw".to_owned(), format!("{} in {} chunks", size(manifest.raw_bytes), manifest.chunks)],
        vec!["ratio".to_owned(), format!("{:.2}", manifest.ratio())],
        vec!["per series".to_owned(), size(manifest.packed_bytes / facts.series.max(1))],
        vec!["created".to_owned(), format!("{} ({} ago)", facts.created, age(facts.created))],
        vec!["by".to_owned(), format!("tidecast {}", manifest.written_by)],
        vec!["shape".to_owned(), facts.shape.to_string()],
    ];
    for (number, part) in manifest.parts.iter().enumerate() {
        rows.push(vec![format!("part {number}"), format!("{}, checked", size(part.bytes))]);
    }
    print_columns(&rows);
    say!("whole");
    Ok(())
}

fn shard<'a>(config: &'a Config, options: &Show) -> Result<(&'a Arc<Stream>, TopicPartition), Failure> {
    let stream = config.streams.iter().find(|s| s.name.as_str() == options.stream).ok_or_else(|| {
        let names: Vec<&str> = config.streams.iter().map(|s| s.name.as_str()).collect();
        Failure::new(format!("no stream is named \"{}\"; there are: {}", options.stream, names.join(", ")))
    })?;
    let topic = options.topic.as_ref().unwrap_or(&stream.topics[0]);
    let partition = i32::try_from(options.partition).map_err(Failure::new)?;
    let at = TopicPartition { topic: topic.as_str().into(), partition: Partition(partition) };
    Ok((stream, at))
}

/// The most readings of a series in a table.
const SHOWN: usize = 8;

/// Prints what a snapshot holds of one series, or of every series; as lines of JSON or as a table.
fn show_series(
    store: &Store,
    stream: &Arc<Stream>,
    at: &TopicPartition,
    id: SnapshotId,
    series: &str,
    for_machines: bool,
) -> Result<(), Failure> {
    let recovery = Recovery { store, stream, at, topic_id: None, committed: id.offset, current: None };
    let shard = recovery.exactly(id).map_err(Failure::new)?.shard;
    let mut names: Vec<&str> = shard.names().filter(|name| series == "*" || *name == series).collect();
    names.sort_unstable();
    if names.is_empty() {
        return Err(Failure::new(format!("the snapshot {id} of {at} has no series named \"{series}\"")));
    }
    for name in names {
        let slot = shard.find(name).expect("it was among the names");
        let state = shard.state(slot).map_err(Failure::new)?;
        let recent = |target: usize, most: usize| shard.recent(slot, target, most);
        if for_machines {
            let readings: serde_json::Map<String, Value> = (0..)
                .zip(&stream.targets)
                .map(|(t, target)| {
                    let all = recent(t, usize::MAX).into_iter().map(|(time, v)| json!([time.to_string(), v]));
                    (target.clone(), Value::from(all.collect::<Vec<_>>()))
                })
                .collect();
            say!(
                "{}",
                json!({ "series": name, "offset": id.offset.0, "state": state, "readings": readings })
            );
            continue;
        }
        let mut rows = vec![vec!["series".to_owned(), name.to_owned()]];
        for (t, target) in stream.targets.iter().enumerate() {
            for (time, value) in recent(t, SHOWN) {
                let value = value.map_or_else(|| "missing".to_owned(), |v| v.to_string());
                rows.push(vec![target.clone(), format!("{time}  {value}")]);
            }
        }
        let state = state.map_or_else(
            || "none: no network served, or its bundle is gone".to_owned(),
            |state| state.iter().map(|v| format!("{v:.4}")).collect::<Vec<_>>().join(" "),
        );
        rows.push(vec!["state".to_owned(), state]);
        print_columns(&rows);
    }
    Ok(())
}

impl Found {
    fn row(&self) -> Vec<String> {
        let mut row = [&self.stream as &dyn ToString, &self.at, &self.id.generation, &self.id.offset]
            .map(ToString::to_string)
            .to_vec();
        match &self.manifest {
            Ok(manifest) => row.extend([
                manifest.facts.series.to_string(),
                size(manifest.packed_bytes),
                format!("{:.2}", manifest.ratio()),
                model(manifest),
                age(manifest.facts.created),
            ]),
            Err(damage) => row.push(format!("DAMAGED: {damage}")),
        }
        row
    }

    fn json(&self) -> Value {
        let mut all = json!({
            "stream": self.stream.as_str(),
            "topic": &*self.at.topic,
            "partition": self.at.partition.0,
            "generation": self.id.generation.0,
            "offset": self.id.offset.0,
        });
        let rest = match &self.manifest {
            Ok(manifest) => json!({
                "damage": null,
                "model": manifest.facts.model.map(|version| version.name(&self.stream)),
                "series": manifest.facts.series,
                "chunks": manifest.chunks,
                "parts": manifest.parts.len(),
                "raw_bytes": manifest.raw_bytes,
                "packed_bytes": manifest.packed_bytes,
                "shape": manifest.facts.shape,
                "created": manifest.facts.created.to_string(),
                "age_seconds": since(manifest.facts.created).as_secs(),
                "tidecast": manifest.written_by,
            }),
            Err(damage) => json!({ "damage": damage.to_string() }),
        };
        if let (Value::Object(all), Value::Object(rest)) = (&mut all, rest) {
            all.extend(rest);
        }
        all
    }
}

fn model(manifest: &Manifest) -> String {
    manifest.facts.model.map_or_else(|| "none".to_owned(), |version| version.name(&manifest.stream))
}

fn since(time: EventTime) -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_micros(time.as_micros().max(0) as u64))
}

fn age(time: EventTime) -> String {
    let seconds = since(time).as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}
