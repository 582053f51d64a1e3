//! A long run on a cluster of three nodes: series come and go, networks are trained and promoted, daemons join and leave,
//! and daemons, nodes, the network between them and the store's disk break at random. In the end each record that was
//! written has exactly one answer, and no daemon has grown.
//!
//! ```sh
//! cargo test --release --test soak -- --ignored --nocapture                           # an hour
//! TIDECAST_SOAK_MINUTES=180 cargo test --release --test soak -- --ignored --nocapture
//! TIDECAST_SOAK_SEED=7 cargo test --release --test soak -- --ignored --nocapture      # the same faults again
//! ```

mod faults;
mod footprints;
#[path = "../support/mod.rs"]
mod support;

use faults::{Fault, Scene};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::time::{Duration, Instant};
use support::broker::Cluster;
use support::daemon::metric;
use support::fleet::{Load, Membership, Replica, SESSION, Site, settle};
use support::kafka::written;

const DAEMONS: usize = 3;
const PARTITIONS: i32 = 6;
const PER_SECOND: usize = 200;
/// How long everything may take to catch up once it is healed.
const HEALED_LIMIT: Duration = Duration::from_secs(300);
const LEAVE_LIMIT: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(50);
/// The longest time from one fault to the next.
const CALM: Duration = Duration::from_secs(15);
const REPORT: Duration = Duration::from_secs(60);

/// Small networks that are trained often, and series that are forgotten when others have taken their places.
const STREAM: &str = "window = 256\nidle_ttl = \"10d\"\n\
    training = { first_after = 60, every = 100, first_steps = 30, steps = 10, holdout = 20, cpu_share = 0.2 }";

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

#[test]
#[ignore = "takes an hour or more"]
fn nothing_is_lost_doubled_or_piled_up_in_a_long_run() {
    let seed = number("TIDECAST_SOAK_SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    let minutes = number("TIDECAST_SOAK_MINUTES").unwrap_or(60);
    println!("soak: TIDECAST_SOAK_SEED={seed} for {minutes} minutes");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let cluster = Cluster::start();
    let mut site = Site::new(&cluster.bootstrap(), "soak", PARTITIONS);
    site.brokers = cluster.proxied();
    site.stream = STREAM.to_owned();
    let session =
        format!("\"session.timeout.ms\" = \"{}\", \"heartbeat.interval.ms\" = \"500\"", SESSION.as_millis());
    let membership = Membership { protocol: "classic", named: true };
    let replicas = (0..DAEMONS).map(|i| site.replica(i, membership, &session)).collect();
    let mut scene = Scene::new(cluster, replicas);
    scene.replicas.iter_mut().for_each(|replica| replica.start_and_wait(HEALED_LIMIT));
    let load = Load::start_with_changing_series(&site, PER_SECOND);

    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let (mut next, mut report) = (Instant::now(), Instant::now());
    while Instant::now() < end {
        scene.mend(Instant::now());
        if Instant::now() >= next {
            let fault = scene.strike(&mut rng);
            println!("soak: {:7.1} s {fault:?}", scene.began.elapsed().as_secs_f64());
            next = Instant::now() + rng.random_range(Duration::from_millis(500)..CALM);
        }
        if Instant::now() >= report {
            report += REPORT;
            scene.measure();
            println!("soak: {:7.1} s {}", scene.began.elapsed().as_secs_f64(), scene.footprints.newest());
        }
        std::thread::sleep(TICK);
    }
    scene.mend_all();
    let acknowledged = load.stop();
    // In long runs with dying nodes an idempotent producer of librdkafka may write a record twice. The daemons answer what
    // the log has.
    let written = written(&site.bootstrap, &site.topic("in"));
    let healed = Instant::now();
    let late = settle(&site, &mut scene.replicas, written, HEALED_LIMIT);
    late.iter().for_each(|last| println!("soak: a daemon ended by itself:\n{last}"));
    let caught_up = healed.elapsed();
    scene.measure();
    let promotions: f64 = scene.replicas.iter().map(promotions).sum();
    for replica in &mut scene.replicas {
        let daemon = replica.daemon();
        assert_eq!(daemon.terminate(LEAVE_LIMIT), 0, "{}", daemon.log());
    }

    let audit = site.audit("");
    println!(
        "soak: minutes {minutes}, acknowledged {acknowledged}, readings {}, forecasts {}, dead letters {}, ends of its own {}, caught up in {:.1} s, \
         promotions of the daemons that were left {promotions}, lost {}, doubled {}",
        audit.readings,
        audit.forecasts,
        audit.dead_letters,
        scene.ended + late.len(),
        caught_up.as_secs_f64(),
        audit.lost.len(),
        audit.doubled.len(),
    );
    for (fault, struck, bites) in scene.counts() {
        println!("soak: {fault:?}: {struck} times, bit {bites} times");
    }
    scene.footprints.report();
    assert_eq!((audit.readings, audit.torn), (written, written - acknowledged));
    assert!(audit.dead_letters > 0 && audit.is_answered_once(), "seed {seed}: {audit:?}");
    scene.footprints.are_flat();
    let idle: Vec<Fault> =
        scene.counts().filter(|(_, struck, bites)| *struck > 2 && *bites == 0).map(|(f, ..)| f).collect();
    assert!(idle.is_empty(), "these faults never bit: {idle:?}");
}

fn promotions(replica: &Replica) -> f64 {
    metric(&replica.http, "tidecast_model_promotions_total{stream=\"soak\"}").unwrap_or(0.0)
}
