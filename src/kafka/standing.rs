//! Whether the group still knows this member, and under which name it was given its partitions.
//!
//! Two of librdkafka's faults make this more than its own flag for a lost assignment. Once a member
//! has fallen out, its metadata may say generation −1 without a member's id, and a broker takes a
//! transaction's offsets with such metadata unchecked, for the sake of producers that know no groups
//! (apache/kafka#7897). And when it falls out while a rebalance is under way, librdkafka 2.12 forgets
//! to say that the assignment is lost (confluentinc/librdkafka#5604): it joins again under a new id,
//! and what others have done meanwhile is revoked as if it had been ours all the time.

use rdkafka::bindings::{
    rd_kafka_consumer_group_metadata, rd_kafka_consumer_group_metadata_destroy,
    rd_kafka_consumer_group_metadata_generation_id, rd_kafka_consumer_group_metadata_member_id,
};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use std::ffi::CStr;

/// A member of the group at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub member: String,
    /// The group's generation, or under KIP-848 the member's epoch.
    pub generation: u32,
}

impl Standing {
    /// `None` while the consumer is no member.
    pub fn of<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<Self> {
        // SAFETY: the client lives; what it gives is ours until it is destroyed, and the id is copied
        // before.
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
        // Zero is a member that is joining, less is one that has gone.
        let generation = u32::try_from(generation).ok().filter(|g| *g > 0)?;
        (!member.is_empty()).then_some(Self { member, generation })
    }
}

/// Under which id the partitions were given.
#[derive(Default)]
pub(super) struct Membership {
    confirmed: Option<String>,
    /// Partitions are held that were given under another id than the one of now.
    doubtful: bool,
}

impl Membership {
    /// Partitions were given to `now`, besides those that it `holds`.
    pub fn confirm(&mut self, now: Option<Standing>, holds: bool) {
        let now = now.map(|standing| standing.member);
        self.doubtful |= holds && now != self.confirmed;
        self.confirmed = now;
    }

    /// Whether all that is held is this member's.
    pub fn owns_all(&self, now: Option<&Standing>) -> bool {
        !self.doubtful && now.is_some_and(|standing| self.confirmed.as_ref() == Some(&standing.member))
    }

    /// What was held in doubt has been given up.
    pub fn clear(&mut self) {
        self.doubtful = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str) -> Option<Standing> {
        Some(Standing { member: id.to_owned(), generation: 1 })
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
}
