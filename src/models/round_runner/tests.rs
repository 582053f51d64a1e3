//! The runner over a store in a folder, with announcements that are followed at once. No round is trained.

use super::*;
use crate::config;
use crate::domain::{Level, Levels};
use crate::engine::Model;
use crate::nn::{Device, Trained, Weights};
use crate::telemetry::{BoardOptions, StreamShape};
use crate::training::blueprint;
use crate::training::tenure::simulated::{Daemon, Decided, Ending, Rules};
use proptest::prelude::*;
use std::path::Path;

/// A models topic and its follower: what is announced serves.
#[derive(Clone)]
struct Followed {
    stream: Arc<Stream>,
    models: Models,
}

impl Announce for Followed {
    fn announce(
        &mut self,
        stream: &StreamName,
        announcement: &Announcement,
        bundles: &Bundles,
    ) -> Result<(), kafka::Error> {
        self.models.announced(stream, announcement);
        let Some(BundleRef { version, checksum }) = announcement.champion else {
            self.models.dismiss(stream);
            return Ok(());
        };
        let champion = bundles.load_exactly(version, checksum).unwrap().expect("it is stored");
        let networks = Shapes::of(&self.stream).unwrap().weights(&champion.networks);
        self.models.publish(stream, Model { version, networks, device: Device::cpu() });
        Ok(())
    }
}

/// A process that trains one stream.
struct Process {
    config: Config,
    store: Store,
    topic: Followed,
    runner: RoundRunner<Followed>,
    networks: Networks,
}

fn runner(config: &Config, store: &Store, topic: &Followed) -> RoundRunner<Followed> {
    let shape = StreamShape {
        name: topic.stream.name.clone(),
        levels: Levels::new(vec![Level::try_new(0.5).unwrap()]),
        leads: vec![1],
        experts: vec!["last".into()],
    };
    let streams = vec![topic.stream.name.clone()];
    let board = Board::new(&BoardOptions { workers: 1, stall_after: Duration::from_secs(60), streams });
    let (metrics, models) = (Metrics::new(&[shape]), &topic.models);
    RoundRunner::new(config, topic.clone(), store, models, &metrics, &board, &Arc::default()).unwrap()
}

impl Process {
    fn new(folder: &Path, rules: Rules) -> Self {
        let Rules { watch, shadow } = rules;
        let text = format!(
            "[kafka]\nbrokers = \"b\"\n[store]\nurl = \"file://{}\"\n[streams.power]\ntopics = [\"t\"]\n\
             interval = \"1h\"\ntargets = [\"kw\"]\nhorizon = 2\nmodel = {{ hidden = 2 }}\n\
             promotion = {{ watch = {watch}, shadow = {shadow} }}",
            folder.display()
        );
        let config = config::from_toml(&text, &[]).unwrap();
        let stream = config.streams[0].clone();
        let kind = &stream.model.networks[0];
        let weights = Arc::new(Weights::initial(&blueprint(&stream, kind).unwrap(), 1));
        let networks = [(kind.name.clone(), Trained { weights, optimiser: None })].into_iter().collect();
        let store = Store::open(&config.store).unwrap();
        let topic = Followed { stream, models: Models::default() };
        let runner = runner(&config, &store, &topic);
        Self { config, store, topic, runner, networks }
    }

    /// What the process knows of its own is lost; the topic and the store are not.
    fn restart(&mut self) {
        self.runner = runner(&self.config, &self.store, &self.topic);
    }

    fn round(&mut self, rules: Rules, ending: Ending) -> Decided {
        let (stream, models) = (&*self.topic.stream, &self.topic.models);
        let before = models.state(&stream.name);
        let (_, former, trial) = self.runner.begin(stream, &before).unwrap();
        let shadow = self.runner.tenure(&stream.name).take_shadow().is_some();
        let former = trial.hold_against(former.as_ref());
        let decided = Decided::new(trial.number, former, trial.former, shadow);
        let mut outcome = ending.outcome(rules, former, shadow);
        if let Outcome::Better { networks, .. } | Outcome::Shadowed { networks, .. } = &mut outcome {
            *networks = self.networks.clone();
        }
        let metrics = self.runner.metrics.stream(&stream.name);
        let (announced, why) = (before.announced, Why::Schedule);
        let (readings, steps, took) = (0, 0, Duration::ZERO);
        let round = FinishedRound { stream, trial, why, announced, readings, steps, took };
        self.runner.carry_out(&round, outcome, &metrics);
        Decided { serves: models.state(&stream.name).version().into(), ..decided }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    /// Announcements and bundles say all that decisions need, except while something would be forgotten.
    #[test]
    fn the_runner_carries_out_what_the_state_machine_decides(
        watch in 0usize..8,
        shadow: bool,
        rounds in proptest::collection::vec((Ending::any(), any::<bool>()), 0..40),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let rules = Rules { watch, shadow };
        let (mut process, mut daemon) = (Process::new(folder.path(), rules), Daemon::new());
        let stream = process.topic.stream.name.clone();
        for (ending, restarts) in rounds {
            prop_assert_eq!(process.round(rules, ending), daemon.round(rules, ending));
            prop_assert_eq!(process.topic.models.state(&stream).rounds, daemon.announced.1);
            let mut stored = Bundles::new(&process.store, &stream).list().unwrap();
            stored.reverse();
            prop_assert_eq!(stored, daemon.stored());
            if restarts {
                process.restart();
                daemon.restart();
            }
        }
    }
}
