//! The command line: arguments in, exit codes out.
//!
//! 0: done; 1: the work failed; 2: wrong use. The cause is on standard error.

#![forbid(unsafe_code)]

mod backtest;
mod config;
mod demo;
mod generate;
mod instruction_set;
mod models;
mod run;
mod seed;
mod state;
mod tap;
mod topics;
mod validate;

use crate::checkpoint::{KeptSeasons, Store};
use crate::config::{Config, load as load_config};
use crate::console::Failure;
use crate::engine;
use clap::{Args, Parser, Subcommand};
use instruction_set::InstructionSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Rolling probabilistic forecasts for every reading of every sensor on Kafka.
#[derive(Debug, Parser)]
#[command(name = "tidecast", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    kernels: InstructionSet,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon.
    #[command(after_help = "Example:\n  tidecast run --config config/tidecast.toml")]
    Run(run::Options),
    /// Run a demo on this machine: an embedded broker, real sample data, forecasts that improve.
    #[command(after_help = "Example:\n  tidecast demo --duration 60s")]
    Demo(demo::Options),
    /// Check a config, and list every fault with its key and what is allowed.
    #[command(after_help = "Example:\n  tidecast validate --config config/tidecast.toml")]
    Validate(ConfigFile),
    /// Print the keys of a config: a reference for people, a schema for editors.
    #[command(subcommand)]
    Config(config::Verb),
    /// Replay a file as it would have been served, and score every forecast.
    #[command(
        after_help = "Examples:\n  tidecast backtest --config config/accuracy/jfk_temperature.toml \\\n      --data data/nyc_airports_hourly.csv.gz --score-from 2013-07-02T00:00:00Z --report report.html\n  tidecast backtest --config load.toml --data export.csv --delimiter ';' --decimal , --encoding latin1"
    )]
    Backtest(backtest::Options),
    /// Make up the readings of a fleet of sensors, and the best possible forecast of them.
    #[command(
        after_help = "Examples:\n  tidecast generate --series 1000 --out fleet.csv.gz --best best.csv.gz > fleet.toml\n  tidecast backtest --config fleet.toml --data fleet.csv.gz\n  tidecast generate --config config/tidecast.toml --stream power --series 10000 --rate 5000/s"
    )]
    Generate(generate::Options),
    /// Take a history in, and leave snapshots and a model from which a daemon starts.
    #[command(
        after_help = "Example:\n  tidecast seed --config tidecast.toml --from history.parquet\n  tidecast run --config tidecast.toml"
    )]
    Seed(seed::Options),
    /// Show the readings and forecasts of a live stream; or suggest a config for a topic.
    ///
    /// It joins no group and changes nothing.
    #[command(
        after_help = "Examples:\n  tidecast tap --config tidecast.toml --stream power\n  tidecast tap --brokers localhost:9092 --topic meters --suggest > tidecast.toml\n  tidecast tap --config tidecast.toml --beginning --until-end --raw --output json"
    )]
    Tap(tap::Options),
    /// Create the topics of a config.
    #[command(subcommand)]
    Topics(topics::Verb),
    /// Show the snapshots in a config's store; needs no Kafka.
    #[command(subcommand)]
    State(state::Verb),
    /// Show the models in a config's store, and choose which of them serves.
    #[command(subcommand)]
    Models(models::Verb),
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// A TOML or YAML file.
    #[arg(long, short, value_name = "FILE", env = "TIDECAST_CONFIG")]
    config: PathBuf,
}

/// The config of a file, of whose streams shards can be made.
fn load(path: &Path) -> Result<Config, Failure> {
    let config = load_config(path)?;
    for stream in &config.streams {
        let named = |cause| Failure::new(format!("{}: streams.{}: {cause}", path.display(), stream.name));
        engine::check(stream).map_err(named)?;
    }
    Ok(config)
}

/// The config of a file as a daemon sees it, with the seasons that were settled, and its store.
fn settled(path: &Path) -> Result<(Config, Store), Failure> {
    let config = load(path)?;
    let store = Store::open(&config.store).map_err(Failure::new)?;
    Ok((KeptSeasons::recall(config, &store).map_err(Failure::new)?, store))
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let Arguments { command, kernels } = Arguments::parse();
    let outcome = match command {
        Command::Run(options) => run::run(&options, &kernels),
        Command::Demo(options) => kernels.settle().and_then(|_| demo::demo(&options)),
        Command::Validate(file) => validate::validate(&file.config),
        Command::Config(verb) => config::config(&verb),
        Command::Backtest(options) => kernels.settle().and_then(|_| backtest::backtest(&options)),
        Command::Generate(options) => generate::generate(&options),
        Command::Seed(options) => kernels.settle().and_then(|_| seed::seed(&options)),
        Command::Tap(options) => tap::tap(&options),
        Command::Topics(verb) => topics::topics(&verb),
        Command::State(verb) => state::state(&verb),
        Command::Models(verb) => models::models(&verb),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("tidecast: {failure}");
            ExitCode::FAILURE
        }
    }
}
