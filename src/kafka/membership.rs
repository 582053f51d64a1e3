//! Whether the group still knows this consumer, and under which member id it got its partitions.
//!
//! librdkafka has a flag for a lost assignment. Two faults make it insufficient:
//!
//! - After a member has dropped out of the group, its metadata may have generation −1 and no member id. A broker
//!   accepts a transaction's offsets with such metadata unchecked, for producers without a group
//!   (apache/kafka#7897).
//! - When a member drops out during a rebalance, librdkafka 2.12 does not report that the assignment is lost
//!   (confluentinc/librdkafka#5604). It joins again with a new id, and partitions that other members have read
//!   meanwhile are revoked as if they had been its own all the time.
//!
//! Under KIP-848 a third one: when the group is deleted while a member stands still, the broker answers its heartbeats with
//! `GROUP_ID_NOT_FOUND`. librdkafka 2.12 repeats them for ever and does not join again. Only the commits show it.

use rdkafka::bindings::{
    rd_kafka_consumer_group_metadata, rd_kafka_consumer_group_metadata_destroy,
    rd_kafka_consumer_group_metadata_generation_id, rd_kafka_consumer_group_metadata_member_id,
};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use std::ffi::CStr;
use std::time::{Duration, Instant};

/// Three of the heartbeats that Kafka asks for by default under KIP-848.
const REFUSED_MOST: Duration = Duration::from_secs(15);

/// The consumer as the group knows it at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GroupMember {
    /// The member id.
    pub member: String,
    /// The group's generation, or under KIP-848 the member's epoch.
    pub generation: u32,
}

impl GroupMember {
    /// `None` while the consumer is not a member.
    pub fn of<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<Self> {
        // SAFETY: the client lives. The metadata is valid until it is destroyed, and the id is copied before.
        let (member, generation) = unsafe {
            let metadata = rd_kafka_consumer_group_metadata(consumer.client().native_ptr());
            if metadata.is_null() {
                return None;
            }
            let id = rd_kafka_consumer_group_metadata_member_id(metadata);
            let member =
                if id.is_null() { String::new() } else { CStr::from_ptr(id).to_string_lossy().into() };
            let generation = rd_kafka_consumer_group_metadata_generation_id(metadata);
            rd_kafka_consumer_group_metadata_destroy(metadata);
            (member, generation)
        };
        // Zero means that it is joining, less that it has left.
        let generation = u32::try_from(generation).ok().filter(|g| *g > 0)?;
        (!member.is_empty()).then_some(Self { member, generation })
    }
}

/// The member id under which the held partitions were given.
#[derive(Default)]
pub(super) struct Membership {
    /// The id at the last assignment.
    confirmed: Option<String>,
    /// Whether partitions are held that were given under another id than the present one.
    doubtful: bool,
    /// The member whose offsets the group refuses, and since when.
    refused: Option<(GroupMember, Instant)>,
}

impl Membership {
    /// The group has refused offsets of `now`.
    pub fn refuse(&mut self, now: Option<GroupMember>, at: Instant) {
        let is_again = now.is_some() && self.refused.as_ref().map(|(member, _)| member) == now.as_ref();
        if !is_again {
            self.refused = now.map(|member| (member, at));
        }
    }

    /// The group has taken offsets.
    pub fn accept(&mut self) {
        self.refused = None;
    }

    /// Whether the group has refused the same member for so long that heartbeats should have mended it.
    pub fn is_unknown(&self, now: Instant) -> bool {
        self.refused.as_ref().is_some_and(|(_, since)| now.saturating_duration_since(*since) >= REFUSED_MOST)
    }

    /// Partitions were given to `now`, which `holds` others or not.
    pub fn confirm(&mut self, now: Option<GroupMember>, holds: bool) {
        let now = now.map(|member| member.member);
        self.doubtful |= holds && now != self.confirmed;
        self.confirmed = now;
    }

    /// Whether all held partitions belong to the present member.
    pub fn owns_all(&self, now: Option<&GroupMember>) -> bool {
        !self.doubtful && now.is_some_and(|member| self.confirmed.as_ref() == Some(&member.member))
    }

    /// The doubtful partitions were given up.
    pub fn clear(&mut self) {
        self.doubtful = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str) -> Option<GroupMember> {
        Some(GroupMember { member: id.to_owned(), generation: 1 })
    }

    #[test]
    fn what_was_given_under_another_id_is_in_doubt_until_it_is_given_up() {
        let mut membership = Membership::default();
        assert!(!membership.owns_all(member("a").as_ref()), "nothing was given yet");
        membership.confirm(member("a"), false);
        assert!(membership.owns_all(member("a").as_ref()));
        membership.confirm(member("a"), true);
        assert!(membership.owns_all(member("a").as_ref()));
        assert!(!membership.owns_all(None), "it has fallen out");
        assert!(!membership.owns_all(member("b").as_ref()), "it is in again, but was given nothing");
        membership.confirm(member("b"), true);
        assert!(!membership.owns_all(member("b").as_ref()), "it holds what the first was given");
        membership.clear();
        assert!(membership.owns_all(member("b").as_ref()));
        membership.confirm(member("c"), false);
        assert!(membership.owns_all(member("c").as_ref()), "nothing is held from before");
    }

    #[test]
    fn a_member_that_is_refused_for_long_is_unknown() {
        let (mut membership, began) = (Membership::default(), Instant::now());
        let later = |seconds| began + Duration::from_secs(seconds);
        membership.refuse(member("a"), began);
        membership.refuse(member("a"), later(14));
        assert!(!membership.is_unknown(later(14)));
        assert!(membership.is_unknown(later(15)));
        // A heartbeat has brought another epoch.
        let newer = Some(GroupMember { member: "a".to_owned(), generation: 2 });
        membership.refuse(newer.clone(), later(16));
        assert!(!membership.is_unknown(later(30)));
        membership.accept();
        membership.refuse(newer, later(40));
        assert!(!membership.is_unknown(later(50)));
        membership.refuse(None, later(60));
        assert!(!membership.is_unknown(later(90)), "it is joining");
    }
}
