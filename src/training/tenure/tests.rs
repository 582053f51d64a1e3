use super::simulated::{Daemon, Decided, Ending, Rules};
use super::*;
use Ending::{Better, NotBetter, TooYoung, Worse};
use proptest::prelude::*;
use std::collections::BTreeSet;

const WATCHED: Rules = Rules { watch: 3, shadow: false };

fn model(version: u64) -> Predecessor {
    Predecessor::Model(ModelVersion(version))
}

/// What a daemon decides in one round after another.
fn history(rules: Rules, endings: &[Ending]) -> Vec<Decided> {
    let mut daemon = Daemon::new();
    endings.iter().map(|ending| daemon.round(rules, *ending)).collect()
}

fn served(history: &[Decided]) -> Vec<Predecessor> {
    history.iter().map(|decided| decided.serves).collect()
}

#[test]
fn a_worse_champion_gives_way_to_what_it_took_the_place_of() {
    let told = history(WATCHED, &[Better, Better, Worse, Worse]);
    assert_eq!(served(&told), [model(1), model(2), model(1), Predecessor::Base]);
    let told = history(WATCHED, &[Better, Better, Worse, Better, Worse]);
    assert_eq!(told[4].former, Some(model(1)), "version 2 was given up");
    assert_eq!(told[3].serves, model(3), "a version is never used again");
}

#[test]
fn the_watch_goes_on_after_a_rollback_and_ends_by_the_number_of_the_round() {
    let told = history(WATCHED, &[Better, Better, Worse, NotBetter, NotBetter, Worse]);
    let formers: Vec<_> = told.iter().map(|decided| decided.former).collect();
    let base = Some(Predecessor::Base);
    // Round 1 promoted version 1, which is watched in the rounds 2 to 4, whatever serves in between.
    assert_eq!(formers, [None, base, Some(model(1)), base, None, None]);
}

#[test]
fn a_shadow_has_one_trial() {
    let rules = Rules { watch: 3, shadow: true };
    let told = history(rules, &[Better, NotBetter, Better, TooYoung, Better, Better, NotBetter]);
    let trials: Vec<_> = told.iter().map(|decided| decided.shadow).collect();
    assert_eq!(trials, [false, true, false, true, false, true, false]);
    assert_eq!(served(&told)[4..], [Predecessor::Base, model(1), model(1)]);
}

#[test]
fn a_restart_forgets_the_shadow_and_rounds_that_were_not_announced() {
    let rules = Rules { watch: 3, shadow: true };
    let mut daemon = Daemon::new();
    daemon.round(rules, Better);
    assert!(daemon.would_forget());
    daemon.restart();
    let decided = daemon.round(rules, Better);
    assert!(!decided.shadow && decided.number == 2 && decided.serves == Predecessor::Base);
    let mut daemon = Daemon::new();
    daemon.round(rules, TooYoung);
    assert!(daemon.would_forget());
    daemon.restart();
    assert_eq!(daemon.round(rules, TooYoung).number, 1);
}

#[test]
fn a_fact_names_a_model_of_the_stream_or_the_base_or_nothing() {
    let stream = StreamName::new("power").unwrap();
    for predecessor in [Predecessor::Base, model(7)] {
        assert_eq!(Predecessor::from_fact(&predecessor.to_fact(&stream), &stream), Some(predecessor));
    }
    assert_eq!(Predecessor::from_fact("heat-000007", &stream), None);
    let unknown = Incumbent::new(ModelVersion(7), 3, &BTreeMap::new(), &stream);
    assert_eq!(Tenure::default().begin(3, Some(unknown), 0).former, None);
}

#[test]
fn a_model_that_a_rollback_brought_back_outlives_newer_ones() {
    let (old, newest_first) = (ModelVersion(1), [9, 8, 7, 6, 5, 4, 1].map(ModelVersion));
    assert_eq!(outdated(&newest_first, &[ModelVersion(9), old]), [ModelVersion(4)]);
    assert_eq!(outdated(&newest_first[..5], &[]), []);
}

/// An event in a daemon's life.
#[derive(Clone, Copy, Debug)]
enum Event {
    Round(Ending),
    Restart,
    /// An operator lets the n-th of the stored models serve, or the base.
    Request(usize),
}

fn events(requests: u32) -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        20 => Ending::any().prop_map(Event::Round),
        3 => Just(Event::Restart),
        requests => (0usize..6).prop_map(Event::Request),
    ];
    proptest::collection::vec(event, 0..120)
}

proptest! {
    #[test]
    fn every_history_keeps_the_rules(watch in 0usize..6, shadow: bool, events in events(0)) {
        let rules = Rules { watch, shadow };
        let mut daemon = Daemon::new();
        let (mut serves, mut newest, mut lost) = (Predecessor::Base, 0, BTreeSet::new());
        // Of each version the round that promoted it, and what served before.
        let mut promoted: BTreeMap<u64, (u64, Predecessor)> = BTreeMap::new();
        let mut shadows = 0;
        for event in events {
            let Event::Round(ending) = event else {
                daemon.restart();
                shadows = 0;
                continue;
            };
            let gone = |version: ModelVersion| !daemon.stored().contains(&version);
            let watched = serves.version().and_then(|v| {
                let (round, before) = promoted[&v.0];
                let is_gone = before.version().is_some_and(gone);
                Some((round, before)).filter(|_| !is_gone)
            });
            let decided = daemon.round(rules, ending);
            // The watch lasts for `watch` rounds, and is against the predecessor.
            let due = watched.filter(|(round, _)| decided.number <= round + watch as u64);
            prop_assert_eq!(decided.former, due.map(|(_, before)| before));
            // A shadow has its trial in the next round and in no other one.
            prop_assert_eq!(decided.shadow, shadows == 1);
            shadows = usize::from(shadow && ending == Better && !decided.shadow);
            if decided.serves != serves {
                let is_back = ending == Worse;
                if is_back {
                    prop_assert_eq!(Some(decided.serves), decided.former, "back to the predecessor alone");
                    prop_assert!(!lost.contains(&decided.serves.version()), "{:?} was given up", decided);
                    lost.insert(serves.version());
                } else {
                    let version = decided.serves.version().expect("a round promotes networks").0;
                    prop_assert!(version > newest, "versions only grow");
                    prop_assert!(!shadow || decided.shadow, "a winner was not tried twice");
                    newest = version;
                    promoted.insert(version, (decided.number, serves));
                }
            }
            serves = decided.serves;
            prop_assert_eq!(serves.version(), daemon.announced.0, "what serves was announced last");
            let stored = daemon.stored();
            prop_assert!(serves.version().is_none_or(|v| stored.contains(&v)), "what serves is kept");
            prop_assert!(stored.len() <= KEPT + 2);
        }
    }

    /// What an operator asks for is followed, and decisions go on from there.
    #[test]
    fn a_model_that_was_asked_for_is_watched_by_its_own_bundle(events in events(6)) {
        let mut daemon = Daemon::new();
        let mut newest = ModelVersion(0);
        for event in events {
            match event {
                Event::Restart => daemon.restart(),
                Event::Request(n) => daemon.request(daemon.stored().get(n).copied()),
                Event::Round(ending) => {
                    let before = daemon.announced.0;
                    let decided = daemon.round(WATCHED, ending);
                    let after = decided.serves.version();
                    if ending == Better {
                        prop_assert!(after > Some(newest), "{:?}", decided);
                        newest = after.unwrap();
                    } else if after != before {
                        prop_assert_eq!(Some(decided.serves), decided.former);
                    }
                }
            }
        }
    }
}
