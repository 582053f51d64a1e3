//! What breaks in a long run, and its mending.

use super::footprints::Footprints;
use super::support::broker::Cluster;
use super::support::daemon::Daemon;
use super::support::fleet::{Replica, SESSION};
use super::support::proxy::{Bites, Frame, Towards, Verdict, api};
use super::{LEAVE_LIMIT, TICK};
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The first daemon is never killed and never asked to leave, so that its memory can be watched.
const SPARED: usize = 0;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    DaemonKilled,
    DaemonLeaves,
    /// For longer than its session.
    DaemonPaused,
    NodeKilled,
    NodeStopped,
    NodePaused,
    /// No daemon reaches one node.
    NodeIsolated,
    /// Every frame takes its time.
    Slow,
    /// Connections break in the middle of requests.
    Resets,
    /// Requests are done, and their answers are lost with the connection.
    AnswersLost,
    /// One node answers nobody, and its connections stay.
    HalfOpen,
    /// Ends of transactions arrive late, after the daemon has sent them again.
    LateEnds,
}

const FAULTS: [Fault; 12] = [
    Fault::DaemonKilled,
    Fault::DaemonLeaves,
    Fault::DaemonPaused,
    Fault::NodeKilled,
    Fault::NodeStopped,
    Fault::NodePaused,
    Fault::NodeIsolated,
    Fault::Slow,
    Fault::Resets,
    Fault::AnswersLost,
    Fault::HalfOpen,
    Fault::LateEnds,
];

/// What is broken until a moment.
#[derive(Clone, Copy)]
struct Broken {
    fault: Fault,
    victim: usize,
    until: Instant,
}

/// The cluster and the daemons. One daemon and one node or its network are broken at a time, at most.
pub struct Scene {
    cluster: Cluster,
    pub replicas: Vec<Replica>,
    daemon: Option<Broken>,
    node: Option<Broken>,
    /// Daemons that ended by themselves.
    pub ended: usize,
    counts: BTreeMap<Fault, (usize, usize)>,
    pub footprints: Footprints,
    pub began: Instant,
}

impl Scene {
    pub fn new(cluster: Cluster, replicas: Vec<Replica>) -> Self {
        Self {
            cluster,
            replicas,
            daemon: None,
            node: None,
            ended: 0,
            counts: BTreeMap::new(),
            footprints: Footprints::default(),
            began: Instant::now(),
        }
    }

    /// How often each fault struck, and how often it bit.
    pub fn counts(&self) -> impl Iterator<Item = (Fault, usize, usize)> {
        FAULTS.into_iter().map(|fault| {
            let (struck, bites) = self.counts.get(&fault).copied().unwrap_or_default();
            (fault, struck, bites)
        })
    }

    pub fn measure(&mut self) {
        let ids: Vec<u32> = self.replicas.iter().filter_map(|r| r.daemon.as_ref()).map(Daemon::id).collect();
        self.footprints.measure(&ids);
    }

    /// Breaks something that is whole; `None` when nothing is.
    pub fn strike(&mut self, rng: &mut ChaCha8Rng) -> Option<Fault> {
        let of_daemon = |fault: &Fault| *fault <= Fault::DaemonPaused;
        let open: Vec<Fault> = FAULTS
            .into_iter()
            .filter(|fault| if of_daemon(fault) { self.daemon.is_none() } else { self.node.is_none() })
            .collect();
        let fault = *open.choose(rng)?;
        let session = SESSION.as_millis() as u64;
        let (from, to) = match fault {
            Fault::DaemonKilled | Fault::DaemonLeaves => (0, 5_000),
            Fault::DaemonPaused => (session + 500, session + 5_000),
            Fault::NodeKilled | Fault::NodeStopped | Fault::NodePaused => (0, 15_000),
            _ => (2_000, 20_000),
        };
        let until = Instant::now() + Duration::from_millis(rng.random_range(from..to));
        let broken = |victim| Some(Broken { fault, victim, until });
        let mut bites = 0;
        if of_daemon(&fault) {
            let victims = if fault == Fault::DaemonPaused {
                0..self.replicas.len()
            } else {
                SPARED + 1..self.replicas.len()
            };
            let victim = rng.random_range(victims);
            self.daemon = broken(victim);
            bites = 1;
            self.strike_daemon(fault, victim);
        } else {
            let victim = rng.random_range(0..self.cluster.nodes.len());
            self.node = broken(victim);
            bites += self.strike_node(fault, victim, rng.random());
        }
        let count = self.counts.entry(fault).or_default();
        count.0 += 1;
        count.1 += bites;
        Some(fault)
    }

    fn strike_daemon(&mut self, fault: Fault, victim: usize) {
        let replica = &mut self.replicas[victim];
        match fault {
            Fault::DaemonPaused => replica.daemon().signal(libc::SIGSTOP),
            Fault::DaemonKilled => {
                replica.daemon().kill9();
                replica.daemon = None;
            }
            _ => {
                // It may wait for a node that is mended meanwhile.
                let mut daemon = replica.daemon.take().expect("it runs");
                daemon.signal(libc::SIGTERM);
                let until = Instant::now() + LEAVE_LIMIT;
                while daemon.is_running() {
                    assert!(Instant::now() < until, "it does not leave:\n{}", daemon.log());
                    self.mend_node(Instant::now());
                    std::thread::sleep(TICK);
                }
            }
        }
    }

    /// Returns how often it has bitten at once; faults of the network bite later.
    fn strike_node(&mut self, fault: Fault, victim: usize, seed: u64) -> usize {
        let node = &mut self.cluster.nodes[victim];
        match fault {
            Fault::NodeKilled => node.kill(),
            Fault::NodeStopped => node.stop(),
            Fault::NodePaused => node.signal(libc::SIGSTOP),
            Fault::NodeIsolated => node.proxy().isolate(),
            _ => {
                for (i, node) in self.cluster.nodes.iter().enumerate() {
                    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ i as u64);
                    node.proxy().rule(move |frame| rule(fault, i == victim, frame, &mut rng));
                }
                return 0;
            }
        }
        1
    }

    /// Mends what is due by `now`, and starts what has ended by itself.
    pub fn mend(&mut self, now: Instant) {
        if let Some(Broken { fault, victim, .. }) = self.daemon.take_if(|broken| broken.until <= now) {
            match fault {
                Fault::DaemonPaused => self.replicas[victim].daemon().signal(libc::SIGCONT),
                _ => self.replicas[victim].start(),
            }
        }
        self.mend_node(now);
        for last in self.replicas.iter_mut().filter_map(Replica::revive) {
            println!("soak: {:7.1} s a daemon ended by itself:\n{last}", self.began.elapsed().as_secs_f64());
            self.ended += 1;
        }
    }

    fn mend_node(&mut self, now: Instant) {
        let Some(Broken { fault, victim, .. }) = self.node.take_if(|broken| broken.until <= now) else {
            return;
        };
        let node = &mut self.cluster.nodes[victim];
        match fault {
            Fault::NodeKilled | Fault::NodeStopped => node.restart(),
            Fault::NodePaused => node.signal(libc::SIGCONT),
            _ => {}
        }
        for node in &self.cluster.nodes {
            let proxy = node.proxy();
            proxy.heal();
            while proxy.held() > 0 {
                proxy.deliver_held();
            }
            let Bites { delayed, swallowed, reset, held } = proxy.take_bites();
            self.counts.entry(fault).or_default().1 += delayed + swallowed + reset + held;
        }
    }

    pub fn mend_all(&mut self) {
        self.mend(Instant::now() + Duration::from_secs(3_600));
    }
}

/// What a fault of the network does to a frame. `victim`: whether the frame is of the node that it is about.
fn rule(fault: Fault, victim: bool, frame: &Frame<'_>, rng: &mut ChaCha8Rng) -> Verdict {
    let is_answer = frame.towards == Towards::Client;
    let bites = match fault {
        Fault::Slow => return Verdict::Delay(Duration::from_millis(rng.random_range(20..300))),
        Fault::Resets => rng.random_bool(0.01),
        Fault::AnswersLost => is_answer && frame.api != api::FETCH && rng.random_bool(0.05),
        Fault::HalfOpen if victim && is_answer => return Verdict::Swallow,
        Fault::LateEnds if frame.api == api::END_TXN && !is_answer && rng.random_bool(0.2) => {
            return Verdict::HoldAndReset;
        }
        _ => false,
    };
    if bites { Verdict::Reset } else { Verdict::Pass }
}
