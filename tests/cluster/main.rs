//! Three Kafka nodes, three replicas of each partition, two of which must have what is acknowledged. The coordinator dies in
//! the middle of a commit and comes back with a torn log, leaders move, a node stands still, and the network of single
//! clients breaks. In the end each record has one answer, and answers and hidden states equal those of a quiet run.
//!
//! ```sh
//! tests/run cluster                               # about a minute
//! TIDECAST_CLUSTER_ROUNDS=10 tests/run cluster    # all of it ten times
//! ```

mod network;
#[path = "../support/mod.rs"]
mod support;

use network::{Client, Trouble};
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use support::broker::{Broker, Cluster};
use support::fleet::{Load, Membership, Replica, Site, settle};
use support::proxy::{Towards, Verdict, api};
use support::quiet::equals_a_quiet_run;

const DAEMONS: usize = 2;
const PARTITIONS: i32 = 6;
const PER_SECOND: usize = 200;
const LIMIT: Duration = Duration::from_secs(120);
/// How long a commit waits at the proxy, so that its coordinator dies meanwhile.
const HELD: Duration = Duration::from_secs(5);
/// Longer than the session of a node, so that the controller moves what it leads.
const PAUSE: Duration = Duration::from_secs(5);
/// How long the network of a client is broken.
const BROKEN: Duration = Duration::from_secs(2);
/// What a power failure tears off the end of a log.
const TORN: u64 = 7;

struct Scene {
    cluster: Cluster,
    site: Site,
    replicas: Vec<Replica>,
    ended: Vec<String>,
    began: Instant,
}

impl Scene {
    /// Does something and mends it; then forecasts have to go on. `harm` returns how often its fault has bitten.
    fn stage(&mut self, name: &str, harm: impl FnOnce(&mut Self) -> usize) {
        let began = Instant::now();
        let bites = harm(self);
        assert!(bites > 0, "{name} has hit nothing");
        let before = self.site.committed(&self.site.name);
        let until = Instant::now() + LIMIT;
        while self.site.committed(&self.site.name) < before + PER_SECOND {
            for replica in &mut self.replicas {
                self.ended.extend(replica.revive());
            }
            assert!(Instant::now() < until, "nothing is committed after {name}: {:?}", self.ended);
            std::thread::sleep(Duration::from_millis(50));
        }
        println!(
            "cluster: {:5.1} s {name}: bit {bites} times, over after {:.1?}",
            self.began.elapsed().as_secs_f64(),
            began.elapsed()
        );
    }

    /// The node that a commit has just been sent to dies before the commit arrives, loses the end of its logs, and comes back.
    fn coordinator_dies(&mut self) -> usize {
        let (tell, told) = channel();
        for (number, node) in self.cluster.nodes.iter().enumerate() {
            let tell = tell.clone();
            node.proxy().rule(move |frame| {
                let is_commit = frame.api == api::END_TXN && frame.towards == Towards::Broker;
                if !is_commit {
                    return Verdict::Pass;
                }
                // Nobody listens any more once a node was chosen.
                let _ = tell.send(number);
                Verdict::Delay(HELD)
            });
        }
        let victim = told.recv_timeout(LIMIT).expect("a commit");
        let node = &mut self.cluster.nodes[victim];
        node.kill();
        let torn = tear(&node.data(), &self.site.topic(""));
        self.cluster.nodes.iter().for_each(|node| node.proxy().heal());
        self.cluster.nodes[victim].restart();
        let delayed: usize = self.cluster.nodes.iter().map(|node| node.proxy().take_bites().delayed).sum();
        delayed.min(torn)
    }

    /// The whole cluster is restarted in order, one node after the other, so each leader moves.
    fn rolls(&mut self) -> usize {
        for node in &mut self.cluster.nodes {
            node.stop();
            node.restart();
        }
        self.cluster.nodes.len()
    }

    fn stands_still(&mut self, victim: usize) -> usize {
        let node = &mut self.cluster.nodes[victim];
        node.signal(libc::SIGSTOP);
        std::thread::sleep(PAUSE);
        node.signal(libc::SIGCONT);
        1
    }

    fn breaks(&mut self, trouble: Trouble, client: Client) -> usize {
        let proxies = || self.cluster.nodes.iter().map(Broker::proxy);
        proxies().for_each(|proxy| {
            proxy.take_bites();
            proxy.rule(network::rule(trouble, client));
        });
        std::thread::sleep(BROKEN);
        // A client that asks seldom is waited for.
        let until = Instant::now() + LIMIT;
        while proxies().all(|proxy| proxy.bites().total() == 0) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
        proxies().for_each(support::proxy::Proxy::heal);
        proxies().map(|proxy| proxy.take_bites().total()).sum()
    }
}

/// Tears the newest record off the log of each partition of these topics; returns how many logs were torn.
fn tear(data: &Path, prefix: &str) -> usize {
    let entries = |dir: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
    };
    let is_ours =
        |dir: &PathBuf| dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix));
    let mut torn = 0;
    for dir in entries(data).into_iter().filter(is_ours) {
        let logs =
            entries(&dir).into_iter().filter(|file| file.extension().is_some_and(|kind| kind == "log"));
        let Some(newest) = logs.max() else { continue };
        let file = OpenOptions::new().write(true).open(newest).expect("a log");
        let length = file.metadata().expect("its length").len();
        if length > TORN {
            file.set_len(length - TORN).expect("a shorter log");
            torn += 1;
        }
    }
    torn
}

#[test]
fn every_reading_has_one_answer_whatever_moves_in_a_cluster() {
    let rounds =
        std::env::var("TIDECAST_CLUSTER_ROUNDS").ok().map_or(1, |text| text.parse().expect("a number"));
    let cluster = Cluster::start();
    let mut site = Site::new(&cluster.bootstrap(), "cluster", PARTITIONS);
    site.brokers = cluster.proxied();
    site.keep_model();
    let membership = Membership { protocol: "classic", named: true };
    let replicas = (0..DAEMONS).map(|number| site.replica(number, membership, "")).collect();
    let mut scene = Scene { cluster, site, replicas, ended: Vec::new(), began: Instant::now() };
    scene.replicas.iter_mut().for_each(|replica| replica.start_and_wait(LIMIT));
    let load = Load::start(&scene.site, PER_SECOND);
    scene.stage("nothing", |_| 1);
    for round in 0..rounds {
        scene.stage("the coordinator dies in a commit, and its logs are torn", Scene::coordinator_dies);
        scene.stage("a node stands still", |scene| scene.stands_still(round % 3));
        scene.stage("a rolling restart", Scene::rolls);
        for (trouble, client) in network::TROUBLES {
            scene.stage(&format!("{trouble:?} of {client:?}"), |scene| scene.breaks(trouble, client));
        }
    }
    let written = load.stop();
    scene.ended.extend(settle(&scene.site, &mut scene.replicas, written, LIMIT));
    for replica in &mut scene.replicas {
        let daemon = replica.daemon();
        assert_eq!(daemon.terminate(LIMIT), 0, "{}", daemon.log());
    }
    let audit = scene.site.audit("");
    scene.ended.iter().for_each(|last| println!("cluster: a daemon ended by itself:\n{last}"));
    println!(
        "cluster: {rounds} rounds, {} readings, ends of its own {}, lost {}, doubled {}",
        audit.readings,
        scene.ended.len(),
        audit.lost.len(),
        audit.doubled.len()
    );
    assert!(audit.is_exact(), "{audit:?}");
    assert!(scene.ended.is_empty(), "a restart mends nothing: {:?}", scene.ended);
    equals_a_quiet_run(&scene.site, &scene.replicas[0], LIMIT);
}
