//! Runs the shipped worker over a simulated broker, store and clock, and lets things go wrong.

use crate::Sabotage;
use crate::beside::{
    ModelsTopic, SimLoader, SimModels, SimSnapshots, SimTime, SimTimes, SimTraining, announce,
};
use crate::bites::{Bites, Fault};
use crate::broker::SimBroker;
use crate::cluster::{Cluster, Faults, Shared};
use crate::faulty::Faulty;
use crate::plan::{Damage, Plan, sent};
use crate::producer::SimProducer;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tidecast::checkpoint::{Bundles, Champion, Store};
use tidecast::domain::{ModelVersion, StreamName};
use tidecast::engine::{Model, Shard};
use tidecast::kafka;
use tidecast::telemetry::{Board, BoardOptions, Metrics, StreamShape};
use tidecast::training::{Shapes, Why};
use tidecast::worker::loading::{LoadError, LoadSource};
use tidecast::worker::ports::{PortSet, Ports};
use tidecast::worker::serving::ModelSource;
use tidecast::worker::{Error, RarePaths, Setup, Worker, stream_shape};

/// Steps in which things go wrong; after them all is healed.
const STEPS: usize = 700;
/// A healed world has to be done by then.
const HEALED_STEPS: usize = 4_000;
/// By then every shard of a healed world has its model.
const MODEL_STEPS: usize = 500;

enum SimPorts {}

impl Ports for SimPorts {
    type Broker = SimBroker;
    type Loader = SimLoader;
    type Snapshots = SimSnapshots;
    type Time = SimTime;
    type Models = SimModels;
    type Training = SimTraining;
    type Interceptor = ();
}

/// A process that lives.
struct Process {
    worker: Worker<SimPorts>,
    models: SimModels,
    training: SimTraining,
}

/// Everything that outlives a process, and the processes.
pub struct World<'a> {
    plan: &'a Plan,
    pub cluster: Shared,
    disk: Arc<Faulty>,
    store: Store,
    announced: ModelsTopic,
    /// By stream and version.
    models: Rc<BTreeMap<StreamName, Vec<Model>>>,
    metrics: Metrics,
    board: Board,
    processes: Vec<Option<Process>>,
    rng: ChaCha8Rng,
    /// The rare paths that were taken.
    pub rare_paths: RarePaths,
    topics_made: u128,
}

impl<'a> World<'a> {
    pub fn new(plan: &'a Plan, seed: u64) -> Self {
        let disk = Arc::new(Faulty::new(seed));
        let store = Store::over(disk.clone());
        for (stream, models) in plan.streams().iter().zip(&plan.models) {
            let bundles = Bundles::new(&store, &stream.name);
            for model in models {
                let networks = Shapes::of(stream).unwrap().networks(&model.networks);
                let (version, facts) = (model.version, BTreeMap::new());
                bundles.keep(&Champion { version, networks, rounds: version.0, facts }).unwrap();
            }
        }
        let shapes: Vec<StreamShape> = plan.streams().iter().map(|s| stream_shape(s)).collect();
        let streams: Vec<StreamName> = plan.streams().iter().map(|s| s.name.clone()).collect();
        let workers = plan.workers;
        let board = Board::new(&BoardOptions {
            workers,
            stall_after: Duration::from_secs(180),
            streams: streams.clone(),
        });
        let mut rng = ChaCha8Rng::seed_from_u64(!seed);
        let cluster = Cluster::new(plan, ChaCha8Rng::seed_from_u64(rng.random()));
        Self {
            plan,
            cluster: Rc::new(RefCell::new(cluster)),
            disk,
            store,
            announced: Rc::new(RefCell::new(vec![Some(0)])),
            models: Rc::new(streams.iter().cloned().zip(plan.models.iter().cloned()).collect()),
            metrics: Metrics::new(&shapes),
            board,
            processes: (0..workers).map(|_| None).collect(),
            rng,
            rare_paths: RarePaths::default(),
            topics_made: 1,
        }
    }

    fn start(&mut self, number: usize) {
        self.cluster.borrow_mut().join(number);
        let models = SimModels::new(&self.announced, &self.models);
        let training = SimTraining::default();
        let time = SimTime(self.cluster.clone());
        let config = self.plan.config.clone();
        let source = LoadSource {
            store: self.store.clone(),
            settings: config.snapshots.clone(),
            models: models.clone(),
            log: SimTimes(self.cluster.clone()),
        };
        let ports: PortSet<SimPorts> = PortSet {
            broker: SimBroker {
                cluster: self.cluster.clone(),
                worker: number,
                producer: SimProducer::start(&self.cluster, number),
                too_large: self.plan.too_large,
                judged: config.streams.iter().map(|s| (s.name.to_string(), Shard::judged(s).len())).collect(),
            },
            loader: SimLoader {
                cluster: self.cluster.clone(),
                source,
                time: time.clone(),
                requests: VecDeque::new(),
                load: None,
                first_wanted: 0,
            },
            snapshots: SimSnapshots::new(&self.cluster, self.store.clone(), config.snapshots.keep),
            time,
            models: models.clone(),
            training: training.clone(),
            interceptor: (),
        };
        let names = tidecast::worker::topics(&config).iter().map(|topic| topic.as_str().into()).collect();
        // A process asks until it is answered, before it has a worker.
        let known = ports.broker.describe(&names);
        let (metrics, board) = (self.metrics.clone(), self.board.clone());
        let worker = Worker::new(Setup { number, config, metrics, board }, ports, &known);
        self.processes[number] = Some(Process { worker, models, training });
        self.cluster.borrow_mut().rebalance();
    }

    /// A process is gone, whatever it was about to do.
    fn bury(&mut self, number: usize) {
        let process = self.processes[number].take().expect("it lived");
        self.rare_paths.take_from(&mut process.worker.rare_paths());
        if self.rng.random_bool(0.5) {
            // It dies in the middle of a snapshot's end: between its parts, its manifest, its pruning.
            self.disk.die_after(Some(self.rng.random_range(0..6)));
        }
        drop(process);
        self.disk.die_after(None);
        let mut cluster = self.cluster.borrow_mut();
        cluster.leave(number);
        cluster.rebalance();
    }

    /// One turn of a worker; one that can't go on is gone.
    fn turn(&mut self, number: usize) {
        let Some(process) = &mut self.processes[number] else { return };
        let ended = process.worker.turn();
        self.rare_paths.take_from(&mut process.worker.rare_paths());
        if !is_alive(ended) {
            self.bury(number);
        }
    }

    /// A worker is asked to stop.
    fn stop(&mut self, number: usize) {
        let Some(process) = &mut self.processes[number] else { return };
        let finished = process.worker.finish();
        self.rare_paths.take_from(&mut process.worker.rare_paths());
        if is_alive(finished) {
            let Some(process) = self.processes[number].take() else { return };
            if let Err(cause) = process.worker.leave() {
                // It dies, or is fenced, while it aborts what it has not committed.
                assert!(!is_alive(Err(cause)));
                self.cluster.borrow_mut().leave(number);
            }
            self.cluster.borrow_mut().rebalance();
        } else {
            self.bury(number);
        }
    }

    fn set_faults(&mut self, sabotage: Sabotage) {
        let rare = *[0.0, 0.01, 0.05].choose(&mut self.rng).unwrap();
        let network = match sabotage {
            Sabotage::OneEpoch => 0.08,
            _ => *[0.0, 0.01, 0.08].choose(&mut self.rng).unwrap(),
        };
        self.disk.set_rate(*[0.0, 0.02, 0.2].choose(&mut self.rng).unwrap());
        // Now and then most commits are aborted, so that a worker pauses between them.
        let aborted = if self.rng.random_bool(0.1) { 0.6 } else { rare };
        let mut cluster = self.cluster.borrow_mut();
        cluster.takes_new_epochs = sabotage != Sabotage::OneEpoch;
        cluster.faults = Faults {
            aborted,
            unknown: rare,
            fenced: rare / 5.0,
            trouble: 0.01,
            unanswered: 2.0 * rare,
            long_turn: 0.02,
            full: 0.2,
            slow: 0.4,
            late: network,
            request_lost: network / 2.0,
            answer_lost: network,
            lying: if sabotage == Sabotage::LyingCommits { 0.05 } else { 0.0 },
        };
    }

    /// The named invariants held in every worker.
    fn check_invariants(&self) {
        let metrics = self.metrics.render();
        let violated =
            |line: &&str| line.starts_with("tidecast_invariant_violations_total") && !line.ends_with(" 0");
        let violated: Vec<&str> = metrics.lines().filter(violated).collect();
        assert!(violated.is_empty(), "{violated:?}");
    }

    /// In a healed world every shard ends its replay, warms, and serves what was announced last.
    fn check_models(&mut self) {
        for _ in 0..MODEL_STEPS {
            (0..self.processes.len()).for_each(|number| self.turn(number));
            if self.served_models().iter().all(|(_, serving, announced)| serving == announced) {
                return;
            }
        }
        panic!("shards serve others than the announced models: {:?}", self.served_models());
    }

    /// Of each shard, its stream, the model that it serves, and the one that was announced last.
    fn served_models(&mut self) -> Vec<(StreamName, Option<ModelVersion>, Option<ModelVersion>)> {
        let mut served = Vec::new();
        for process in self.processes.iter_mut().flatten() {
            for stream in self.plan.streams() {
                let announced = process.models.current(&stream.name).map(|model| model.version);
                let shards = process.worker.shards_mut().filter(|shard| shard.stream().name == stream.name);
                served.extend(shards.map(|shard| (stream.name.clone(), shard.model(), announced)));
            }
        }
        served
    }

    /// The faults that have bitten.
    pub fn bites(&self) -> Bites {
        let mut bites = self.cluster.borrow().bites;
        bites.add(self.disk.bites());
        bites
    }

    /// Things go wrong, then all is healed and the log is read to its end.
    pub fn run(&mut self, sabotage: Sabotage) {
        self.set_faults(sabotage);
        for number in 0..self.processes.len() {
            self.start(number);
        }
        for _ in 0..STEPS {
            self.step();
        }
        self.heal();
        for _ in 0..HEALED_STEPS {
            if self.cluster.borrow().is_done() {
                self.check_invariants();
                return self.check_models();
            }
            for number in 0..self.processes.len() {
                // What was sent before still comes late, and may end a process.
                if self.processes[number].is_none() {
                    self.start(number);
                }
                self.turn(number);
            }
        }
        let cluster = self.cluster.borrow();
        let at: Vec<_> = (0..cluster.partitions())
            .map(|p| (cluster.next(p), cluster.logs[p].high, cluster.owners[p]))
            .collect();
        panic!("a healed world comes to its end: {:?}, {at:?}, {:?}", self.plan.damage, cluster.members);
    }

    fn step(&mut self) {
        let number = self.rng.random_range(0..self.processes.len());
        let action = self.rng.random_range(0..100);
        if self.processes[number].is_none() {
            if action < 20 {
                self.start(number);
            }
            return;
        }
        let partition = self.rng.random_range(0..self.plan.log.len());
        match action {
            0..12 => {
                let count = self.rng.random_range(1..12);
                self.cluster.borrow_mut().produce(partition, count);
            }
            12 => {
                self.cluster.borrow_mut().bites.mark(Fault::Died);
                self.bury(number);
            }
            13 => {
                let calls = self.rng.random_range(0..40);
                if let Some(member) = self.cluster.borrow_mut().members.get_mut(&number) {
                    member.calls_left = Some(calls);
                }
            }
            14..16 => self.cluster.borrow_mut().rebalance(),
            16 => self.cluster.borrow_mut().evict(number),
            17 => self.stop(number),
            18 => self.disk.rot(&mut self.rng),
            19 => self.damage(partition),
            20..23 => self.follow(number),
            _ => self.turn(number),
        }
    }

    /// A process hears of models, its trainer ends a round, or somebody asks for one.
    fn follow(&mut self, number: usize) {
        let Self { plan, announced, rng, processes, .. } = self;
        let Some(process) = &processes[number] else { return };
        if plan.models_change {
            match rng.random_range(0..4) {
                0 => announce(plan, announced, rng),
                1 => process.training.finish(plan, announced, rng),
                2 => *process.training.hastened.borrow_mut() = Some(Why::Request),
                _ => process.models.follow(),
            }
        }
    }

    fn damage(&mut self, partition: usize) {
        let mut cluster = self.cluster.borrow_mut();
        let records = |rng: &mut ChaCha8Rng, log| sent(rng, false, 0.3, log);
        match self.plan.damage {
            Damage::None => {}
            Damage::Retention => cluster.retain(partition),
            Damage::MovedOffsets => {
                // Kafka refuses it while the group has members.
                drop(cluster);
                let alive = (0..self.processes.len()).filter(|number| self.processes[*number].is_some());
                alive.collect::<Vec<_>>().into_iter().for_each(|number| self.bury(number));
                self.cluster.borrow_mut().move_offset(partition);
            }
            Damage::Truncation => {
                self.topics_made += 1;
                let records = records(&mut self.rng, self.topics_made as i64);
                cluster.truncate(partition, records);
            }
            Damage::Recreation if cluster.topic.is_some() => cluster.delete(),
            Damage::Recreation => {
                self.topics_made += 1;
                let log = self.topics_made as i64;
                let all = (0..self.plan.log.len()).map(|_| records(&mut self.rng, log)).collect();
                cluster.create(self.topics_made, all);
            }
        }
    }

    fn heal(&mut self) {
        self.disk.set_rate(0.0);
        self.cluster.borrow_mut().faults = Faults::default();
        if self.cluster.borrow().topic.is_none() {
            self.damage(0);
        }
        for number in 0..self.processes.len() {
            if let Some(member) = self.cluster.borrow_mut().members.get_mut(&number) {
                member.calls_left = None;
            }
            match &self.processes[number] {
                None => self.start(number),
                Some(process) => process.models.follow(),
            }
        }
        let mut cluster = self.cluster.borrow_mut();
        if self.plan.damage == Damage::Truncation {
            // A log may have grown to exactly the place that was read of it. The next record shows it.
            self.topics_made += 1;
            let next = sent(&mut self.rng, false, 0.3, self.topics_made as i64).swap_remove(0);
            cluster.logs.iter_mut().for_each(|log| log.records.push(next.clone()));
        }
        for partition in 0..cluster.partitions() {
            cluster.produce(partition, i64::MAX / 2);
        }
    }
}

/// Whether a worker goes on; one that was fenced, or whose process dies, does not.
fn is_alive(ended: Result<(), Error>) -> bool {
    match ended {
        Ok(()) => true,
        Err(
            Error::Kafka(kafka::Error::Fatal(_) | kafka::Error::Fenced(_))
            | Error::Load(LoadError::Kafka(kafka::Error::Fatal(_))),
        ) => false,
        Err(other) => panic!("{other}"),
    }
}
