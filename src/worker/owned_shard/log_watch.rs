//! Whether the records of a partition still come from the log that its shard has read.
//!
//! A log may lose its end and grow again, with other records at the same offsets. Each of these has a newer leader epoch
//! than what was lost. So the first record of a newer epoch is not taken before the log was compared with what was read.
//! After it nothing is taken either, because all of it is read again from there.

use crate::domain::{LeaderEpoch, Offset};

/// What the records of a shard's partition have shown of their log.
#[derive(Debug)]
pub(in crate::worker) struct LogWatch {
    /// The next record to come. Within one log offsets only grow.
    pub reached: Offset,
    /// The leader epoch of the last record below the shard's position; `None` where it is not known.
    pub epoch: Option<LeaderEpoch>,
    /// The newest leader epoch whose log is known to be the one that was read.
    compared: Option<LeaderEpoch>,
    /// Why nothing is taken.
    pub doubt: Option<LogDoubt>,
}

/// Why a log may be another one than the one that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::worker) enum LogDoubt {
    /// A record has come with an offset that had come before.
    WentBack,
    /// A record of this leader epoch has come, which was not compared yet.
    NewEpoch(LeaderEpoch),
}

impl LogWatch {
    /// Reading begins at `from`. `epoch` is that of the last record below the committed offset, and when the log was
    /// compared, its leader epoch was `compared`.
    pub fn new(from: Offset, epoch: Option<LeaderEpoch>, compared: Option<LeaderEpoch>) -> Self {
        Self { reached: from, epoch, compared, doubt: None }
    }

    /// Whether a record may be taken. `committed` is what the group has committed.
    #[inline]
    pub fn admits(&mut self, offset: Offset, epoch: Option<LeaderEpoch>, committed: Offset) -> bool {
        if self.doubt.is_some() {
            return false;
        }
        if offset < self.reached {
            self.doubt = Some(LogDoubt::WentBack);
            return false;
        }
        if let Some(newer) = epoch.filter(|_| epoch > self.compared) {
            self.doubt = Some(LogDoubt::NewEpoch(newer));
            return false;
        }
        self.reached = offset.next();
        if offset >= committed {
            self.epoch = epoch;
        }
        true
    }

    /// The log was compared, and is the one that was read. `now` is its leader epoch.
    pub fn confirm(&mut self, now: Option<LeaderEpoch>) {
        if let Some(LogDoubt::NewEpoch(newer)) = self.doubt {
            self.compared = now.max(Some(newer));
            self.doubt = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(n: i32) -> Option<LeaderEpoch> {
        Some(LeaderEpoch(n))
    }

    #[test]
    fn nothing_is_taken_once_offsets_go_back() {
        let mut watch = LogWatch::new(Offset(10), epoch(3), epoch(3));
        assert!(watch.admits(Offset(12), epoch(3), Offset(10)));
        assert!(!watch.admits(Offset(12), epoch(3), Offset(10)));
        assert!(!watch.admits(Offset(13), epoch(3), Offset(10)), "until reading begins again");
        assert_eq!((watch.doubt, watch.reached), (Some(LogDoubt::WentBack), Offset(13)));
    }

    #[test]
    fn a_record_of_a_new_leader_waits_for_the_comparison() {
        let mut watch = LogWatch::new(Offset(10), epoch(3), epoch(4));
        // What was committed before is known by its last record.
        assert!(watch.admits(Offset(10), epoch(2), Offset(11)));
        assert_eq!(watch.epoch, epoch(3));
        assert!(watch.admits(Offset(11), epoch(4), Offset(11)));
        assert!(!watch.admits(Offset(12), epoch(5), Offset(11)));
        assert!(!watch.admits(Offset(13), epoch(5), Offset(11)));
        assert_eq!((watch.epoch, watch.reached), (epoch(4), Offset(12)));
        watch.confirm(epoch(6));
        assert!(watch.admits(Offset(12), epoch(5), Offset(11)));
        assert!(watch.admits(Offset(13), epoch(6), Offset(11)));
        assert!(!watch.admits(Offset(14), epoch(7), Offset(11)));
        // A broker that knows no epochs of its own.
        watch.confirm(None);
        assert!(watch.admits(Offset(14), epoch(7), Offset(11)));
        assert!(watch.admits(Offset(15), None, Offset(11)));
    }
}
