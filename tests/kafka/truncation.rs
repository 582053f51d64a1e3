//! A partition's log loses its end, as after the election of a leader that was behind or a broker that was restored from
//! an older copy of its disk. What is written from then on is answered, each reading once.

use crate::case::{Case, LIMIT, RECREATED};
use crate::support::broker::Broker;
use crate::support::daemon::Daemon;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Readings that the copy of the log holds, and readings that were answered when the log went back to the copy.
const COPIED: i64 = 100;
const ANSWERED: i64 = 200;
/// Readings that are written afterwards: at first fewer than were lost, in the end more.
const FEW: i64 = 30;
const MANY: i64 = 150;

/// What the daemon does meanwhile.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    /// It runs, and the log ends below its position when it looks.
    Running,
    /// It stands still until the log has grown beyond its position.
    Paused,
    /// As [`Self::Paused`], and it has read nothing since it was started.
    PausedUnread,
    /// It is started while the log ends below the committed offset.
    Started,
    /// It is started when the log has grown beyond the committed offset.
    StartedLate,
}

impl When {
    /// Whether the daemon finds the log longer than it was.
    fn is_late(self) -> bool {
        matches!(self, Self::Paused | Self::PausedUnread | Self::StartedLate)
    }
}

struct Life {
    case: Case,
    when: When,
    daemon: Daemon,
}

impl Life {
    fn begin(broker: &Broker, name: &str, kafka: &str, delivery: &str, when: When) -> Self {
        let case = Case::on(&broker.bootstrap(), name, kafka, "", 1);
        let text = std::fs::read_to_string(case.config()).unwrap();
        std::fs::write(case.config(), text.replace("[delivery]", &format!("[delivery]\n{delivery}")))
            .unwrap();
        let daemon = case.daemon();
        Self { case, when, daemon }
    }

    /// Waits until each of these hours has an answer.
    fn wait_answered(&mut self, hours: std::ops::Range<i64>) {
        let until = Instant::now() + LIMIT;
        loop {
            let answered = self.answered();
            let missing: Vec<_> = hours.clone().filter(|hour| !answered.contains_key(hour)).collect();
            if missing.is_empty() {
                return;
            }
            assert!(self.daemon.is_running(), "{:?}: the daemon has ended", self.when);
            assert!(
                Instant::now() < until,
                "{:?}: {} hours have no answer: {missing:?}",
                self.when,
                missing.len()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Where the broker keeps the source partition.
    fn log(&self, broker: &Broker) -> PathBuf {
        broker.data().join(format!("{}-0", self.case.topic("in")))
    }

    /// By hour: how often it was answered.
    fn answered(&self) -> BTreeMap<i64, usize> {
        let mut found = BTreeMap::new();
        self.case.answers().into_values().flatten().for_each(|hour| *found.entry(hour).or_default() += 1);
        found
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn what_is_written_after_a_log_has_lost_its_end_is_answered() {
    let mut broker = Broker::start();
    let classic = "properties = { \"session.timeout.ms\" = \"6000\" }";
    let kip_848 = "group_protocol = \"consumer\"";
    let at_least = "guarantee = \"at-least-once\"";
    let mut lives: Vec<Life> = [
        ("running", classic, "", When::Running),
        ("paused", "", "", When::Paused),
        ("unread", kip_848, "", When::PausedUnread),
        ("started", kip_848, at_least, When::Started),
        ("late", classic, "", When::StartedLate),
    ]
    .into_iter()
    .map(|(name, kafka, delivery, when)| Life::begin(&broker, name, kafka, delivery, when))
    .collect();
    for life in &mut lives {
        life.case.produce(0..1, 0..COPIED);
        life.wait_answered(0..COPIED);
    }
    let kept = tempfile::tempdir().unwrap();
    broker.stop();
    for life in &lives {
        copy(&life.log(&broker), &kept.path().join(life.case.topic("in")));
    }
    broker.restart();
    for life in &mut lives {
        life.case.produce(0..1, COPIED..ANSWERED);
        life.wait_answered(COPIED..ANSWERED);
        match life.when {
            When::Started | When::StartedLate => life.daemon.kill9(),
            When::PausedUnread => {
                life.daemon.kill9();
                life.daemon = life.case.daemon();
                life.daemon.signal(libc::SIGSTOP);
            }
            When::Paused => life.daemon.signal(libc::SIGSTOP),
            When::Running => {}
        }
    }
    broker.stop();
    for life in &lives {
        let log = life.log(&broker);
        std::fs::remove_dir_all(&log).unwrap();
        copy(&kept.path().join(life.case.topic("in")), &log);
    }
    broker.restart();
    for life in &mut lives {
        if life.when == When::Started {
            life.daemon = life.case.daemon();
        }
        if !life.when.is_late() {
            // It is seen before anything is written.
            life.daemon.wait_for_events("log_truncated", 1, LIMIT);
        }
        let first = if life.when.is_late() { MANY } else { FEW };
        life.case.produce(0..1, RECREATED..RECREATED + first);
        match life.when {
            When::StartedLate => life.daemon = life.case.daemon(),
            When::Paused | When::PausedUnread => life.daemon.signal(libc::SIGCONT),
            When::Running | When::Started => {}
        }
        life.wait_answered(RECREATED..RECREATED + first);
        life.case.produce(0..1, RECREATED + first..RECREATED + MANY + 10);
        life.wait_answered(RECREATED..RECREATED + MANY + 10);
    }
    std::thread::sleep(Duration::from_millis(500));
    for life in &mut lives {
        let when = life.when;
        let wrong: Vec<_> = life.answered().into_iter().filter(|(_, times)| *times != 1).collect();
        assert!(wrong.is_empty(), "{when:?}: hours that were answered more than once: {wrong:?}");
        let told = life.daemon.events("log_truncated");
        assert_eq!(told.len(), 1, "{when:?}");
        assert_eq!((&told[0]["committed"], &told[0]["from"]), (&ANSWERED.into(), &COPIED.into()), "{when:?}");
        let resets = life.case.metric("tidecast_log_resets_total", "");
        assert_eq!(
            (resets, life.case.metric("tidecast_log_resets_total", "reason=\"truncated\"")),
            (1.0, 1.0)
        );
        assert_eq!(life.daemon.terminate(LIMIT), 0);
    }
}

/// The whole cluster is set back to an older copy of its disk, with the group's offsets and the answers. Leader epochs
/// begin again with those of the copy, and each means another log. The daemon is started again.
#[test]
fn what_is_written_after_a_cluster_was_set_back_is_answered() {
    let mut broker = Broker::start();
    let kip_848 = "group_protocol = \"consumer\"";
    let mut lives = [("back", ""), ("back848", kip_848)]
        .map(|(name, kafka)| Life::begin(&broker, name, kafka, "", When::StartedLate));
    for life in &mut lives {
        life.case.produce(0..1, 0..COPIED);
        life.wait_answered(0..COPIED);
    }
    let kept = tempfile::tempdir().unwrap();
    broker.stop();
    copy(&broker.data(), kept.path());
    broker.restart();
    for life in &mut lives {
        life.case.produce(0..1, COPIED..ANSWERED);
        life.wait_answered(COPIED..ANSWERED);
        life.daemon.kill9();
    }
    broker.stop();
    std::fs::remove_dir_all(broker.data()).unwrap();
    copy(kept.path(), &broker.data());
    broker.restart();
    for life in &mut lives {
        life.case.produce(0..1, RECREATED..RECREATED + MANY);
        life.daemon = life.case.daemon();
        life.wait_answered(RECREATED..RECREATED + MANY);
        let answered = life.answered();
        assert!(answered.values().all(|times| *times == 1), "more than once: {answered:?}");
        let lost = answered.keys().find(|hour| (COPIED..ANSWERED).contains(*hour));
        assert_eq!(lost, None, "the answers were set back as well");
        assert_eq!(life.daemon.terminate(LIMIT), 0);
    }
}
