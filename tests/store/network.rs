//! An S3 store whose answers can't be trusted: what was acknowledged is there, and nothing torn is taken for whole.

use super::liar::{Liar, Lie};
use super::places::{BUCKET, S3, SECRET};
use super::power_loss::{Acknowledged, chunks, go_on, judge, take};
use super::{champion, id, power, read, snapshots};
use std::collections::BTreeMap;
use tidecast::checkpoint::{Bundles, Error, Store};
use tidecast::domain::ModelVersion;

const SEEDS: u64 = 8;
const PERCENT: u32 = 30;

/// Works on a store that lies, until each snapshot and bundle is acknowledged; reads between.
fn work(store: &Store) -> Acknowledged {
    let mut done = Acknowledged::default();
    let (snapshots, bundles) = (snapshots(store), Bundles::new(store, &power()));
    for (version, at) in [id(1, 10), id(1, 20), id(2, 20), id(3, 44)].into_iter().enumerate() {
        for attempt in 0.. {
            assert!(attempt < 50, "the store never acknowledges {at}");
            if take(&snapshots, at, attempt).is_ok() {
                break;
            }
        }
        done.snapshots.push((0, at));
        // What is read is what was written, or an error.
        for id in snapshots.list().unwrap_or_default() {
            match read(&snapshots, id) {
                Ok(found) => assert_eq!(found, chunks(id), "{id}"),
                Err(Error::Store { .. }) => {}
                Err(other) => assert!(other.is_damage(), "{other}"),
            }
        }
        let version = ModelVersion(version as u64 + 1);
        for attempt in 0.. {
            assert!(attempt < 50, "the store never acknowledges {version:?}");
            match bundles.keep(&champion(version.0)) {
                Ok(sum) => {
                    done.bundles.push((0, version, sum));
                    break;
                }
                // A foreign answer to the question what is there.
                Err(Error::Store { .. } | Error::Exists { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
    }
    done
}

#[test]
fn a_server_that_lies_takes_nothing_that_was_acknowledged() {
    let run = |seed: u64| {
        let server = S3::start();
        let liar = Liar::before(server.address, seed);
        let store = server.store_at(liar.address, BUCKET, SECRET);
        liar.lie(PERCENT);
        let done = work(&store);
        liar.lie(0);
        judge(&store, 0, &done, &format!("seed {seed}"));
        go_on(&store, &format!("seed {seed}"));
        liar.told()
    };
    let runs: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..SEEDS).map(|seed| scope.spawn(move || run(seed))).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut told = BTreeMap::new();
    let mut requests = 0;
    for (count, lies) in runs {
        requests += count;
        lies.into_iter().for_each(|(lie, count)| *told.entry(lie).or_insert(0) += count);
    }
    println!("{requests} requests, {told:?}");
    for lie in Lie::ALL {
        assert!(told.get(&lie).is_some_and(|count| *count > 0), "{lie:?} was never told: {told:?}");
    }
}
