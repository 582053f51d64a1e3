use super::{ConfigFile, settled};
use crate::config::{Config, Stream};
use crate::console::print_columns;
use crate::console::{Failure, say};
use crate::domain::ModelVersion;
use crate::models::{Registry, StoredModel};
use serde_json::Value;
use std::sync::Arc;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// List the models in the store, newest first. The one that was announced last serves.
    #[command(after_help = "Example:\n  tidecast models list --config config/tidecast.toml")]
    List(List),
    /// Show the history of a model: scores, parent, and every decision since the first.
    #[command(after_help = "Example:\n  tidecast models show --config config/tidecast.toml power 12")]
    Show(Show),
    /// Make another model serve, in every process, whatever its rounds have found.
    #[command(after_help = "Example:\n  tidecast models promote --config config/tidecast.toml power 11")]
    Promote(Promote),
    /// Make the model that served before the present one serve again.
    #[command(after_help = "Example:\n  tidecast models rollback --config config/tidecast.toml power")]
    Rollback(Rollback),
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    file: ConfigFile,
    /// List this stream only.
    stream: Option<String>,
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
    /// The model's number or name; by default the one that serves.
    version: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Promote {
    #[command(flatten)]
    file: ConfigFile,
    /// The stream's name in the config.
    stream: String,
    /// The model's number or name.
    version: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct Rollback {
    #[command(flatten)]
    file: ConfigFile,
    /// The stream's name in the config.
    stream: String,
}

pub(super) fn models(verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::List(options) => list(options),
        Verb::Show(options) => show(options),
        Verb::Promote(options) => {
            let (stream, mut registry) = opened(&options.file, &options.stream)?;
            let version = version(&stream, &options.version)?;
            registry.promote(&stream, version).map_err(Failure::new)?;
            say!("{} was announced", version.name(&stream.name));
            Ok(())
        }
        Verb::Rollback(options) => {
            let (stream, mut registry) = opened(&options.file, &options.stream)?;
            match registry.roll_back(&stream).map_err(Failure::new)? {
                Some(version) => say!("{} was announced", version.name(&stream.name)),
                None => say!("no network serves from now on, the experts alone do"),
            }
            Ok(())
        }
    }
}

fn list(options: &List) -> Result<(), Failure> {
    let (config, _) = settled(&options.file.config)?;
    let streams = match &options.stream {
        Some(name) => vec![stream(&config, name)?],
        None => config.streams.clone(),
    };
    let registry = Registry::open(&config).map_err(Failure::new)?;
    let mut all = Vec::new();
    for stream in &streams {
        for entry in registry.list(&stream.name).map_err(Failure::new)? {
            all.push((stream.clone(), entry));
        }
    }
    if options.json {
        say!("{}", all.iter().map(|(stream, entry)| entry.json(stream)).collect::<Value>());
        return Ok(());
    }
    if all.is_empty() {
        say!("no models");
        return Ok(());
    }
    let head = ["model", "serves", "round", "why", "parent", "loss", "champion", "base", "p", "time"];
    let rows = all.iter().map(|(stream, entry)| row(stream, entry));
    print_columns(&std::iter::once(head.map(str::to_owned).to_vec()).chain(rows).collect::<Vec<_>>());
    Ok(())
}

fn show(options: &Show) -> Result<(), Failure> {
    let (stream, registry) = opened(&options.file, &options.stream)?;
    let wanted = options.version.as_ref().map(|text| version(&stream, text)).transpose()?;
    let entries = registry.list(&stream.name).map_err(Failure::new)?;
    let found = entries.iter().find(|e| wanted.map_or(e.serves, |version| e.version == version));
    let Some(entry) = found else {
        return Err(Failure::new(match wanted {
            Some(version) => format!("the store has no {}", version.name(&stream.name)),
            None => format!("no network serves {}", stream.name),
        }));
    };
    if options.json {
        say!("{}", entry.json(&stream));
        return Ok(());
    }
    let told = entry.facts.as_ref().map_err(Failure::new)?;
    let serves = if entry.serves { "yes" } else { "no" };
    let mut rows = vec![
        vec!["model".to_owned(), entry.version.name(&stream.name)],
        vec!["serves".to_owned(), serves.to_owned()],
    ];
    let plain = told.iter().filter(|(key, _)| !["stream", "version", "lineage"].contains(&key.as_str()));
    rows.extend(plain.map(|(key, value)| vec![key.replace('_', " "), value.clone()]));
    for line in told.get("lineage").map(String::as_str).unwrap_or_default().lines() {
        rows.push(vec!["lineage".to_owned(), line.to_owned()]);
    }
    print_columns(&rows);
    Ok(())
}

fn opened(file: &ConfigFile, name: &str) -> Result<(Arc<Stream>, Registry), Failure> {
    let (config, _) = settled(&file.config)?;
    Ok((stream(&config, name)?, Registry::open(&config).map_err(Failure::new)?))
}

fn stream(config: &Config, name: &str) -> Result<Arc<Stream>, Failure> {
    config.streams.iter().find(|s| s.name.as_str() == name).cloned().ok_or_else(|| {
        let names: Vec<&str> = config.streams.iter().map(|s| s.name.as_str()).collect();
        Failure::new(format!("no stream is named \"{name}\"; there are: {}", names.join(", ")))
    })
}

fn version(stream: &Stream, text: &str) -> Result<ModelVersion, Failure> {
    ModelVersion::parse(text, &stream.name)
        .ok_or_else(|| Failure::new(format!("\"{text}\" is no model of {}", stream.name)))
}

fn row(stream: &Stream, entry: &StoredModel) -> Vec<String> {
    let mark = if entry.serves { "serves" } else { "" };
    let mut row = vec![entry.version.name(&stream.name), mark.to_owned()];
    match &entry.facts {
        Ok(told) => {
            let text = |key: &str| told.get(key).filter(|v| !v.is_empty()).map_or("-", String::as_str);
            row.extend(["rounds", "why", "parent"].map(|key| text(key).to_owned()));
            let short = |key: &str| {
                text(key).parse().map_or_else(|_| "-".to_owned(), |value: f64| format!("{value:.5}"))
            };
            row.extend(["loss", "champion_loss", "base_loss", "p_value"].map(short));
            row.push(text("time").to_owned());
        }
        Err(damage) => row.push(format!("DAMAGED: {damage}")),
    }
    row
}
