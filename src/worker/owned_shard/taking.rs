//! How a shard takes records in. One that lets very many readings through is taken in parts.

use super::OwnedShard;
use crate::codec::{BadRecord, Record};
use crate::domain::{EventTime, LeaderEpoch, Offset, Reading, Values};
use crate::engine::Offered;
use crate::series::RecordProgress;
use crate::telemetry::Discard;
use crate::worker::backlog::KeptRecord;
use crate::worker::ports::ReadingInterceptor;
use crate::worker::rare_paths::RarePath;
use std::collections::VecDeque;

/// A record that lets more readings through than may wait for their rounds at once.
pub(super) struct Unfinished {
    record: KeptRecord,
    /// Its readings that the shard has not been offered yet.
    readings: VecDeque<KeptReading>,
    /// Why the first of its readings that were refused was.
    refused: Option<Discard>,
    /// Whether it could be decoded to its end.
    decoded: Result<(), BadRecord>,
}

/// A copy of a reading.
struct KeptReading {
    series: String,
    time: EventTime,
    later: Option<EventTime>,
    values: Values,
}

impl KeptReading {
    fn of(reading: &Reading<'_>) -> Self {
        let Reading { series, time, later, values } = *reading;
        Self { series: series.to_owned(), time, later, values: values.clone() }
    }

    fn as_reading(&self) -> Reading<'_> {
        Reading { series: &self.series, time: self.time, later: self.later, values: &self.values }
    }
}

impl OwnedShard {
    /// Whether the record before the position has not let everything through yet. No other can be taken until
    /// [`Self::go_on`] has ended it.
    pub fn is_unfinished(&self) -> bool {
        self.unfinished.is_some()
    }

    /// The offset to commit: a record that is not finished is to be read again.
    pub fn next_to_commit(&self) -> Offset {
        if self.is_unfinished() { Offset(self.position.0 - 1) } else { self.position }
    }

    /// How much of the record at `offset`, which is the last one that was taken, has been answered. To be called when no
    /// reading waits for its round.
    pub fn progress(&self, offset: Offset) -> RecordProgress {
        if !self.is_unfinished() {
            return RecordProgress::all(offset);
        }
        // In a replay the shard may not have come as far yet as before.
        let before = self.answered.filter(|answered| answered.offset == offset);
        let readings = self.shard.let_through().max(before.map_or(0, |answered| answered.readings));
        RecordProgress { offset, readings }
    }

    /// Takes a record in: decodes it and offers its readings to the shard. Nothing is sent yet.
    pub fn take(
        &mut self,
        record: &Record<'_>,
        epoch: Option<LeaderEpoch>,
        interceptor: &mut impl ReadingInterceptor,
    ) {
        if !self.log.admits(record.offset, epoch, self.committed) {
            return;
        }
        // Another stream's shard of this partition may have come back from an older snapshot.
        if record.offset < self.position {
            self.rare_paths.mark(RarePath::RecordAlreadyTaken);
            return;
        }
        let next = self.position.max(self.committed);
        let width = record.offset.0 - next.0;
        if width > self.passed.as_ref().map_or(0, |passed| passed.end.0 - passed.start.0) {
            self.passed = Some(next..record.offset);
        }
        while let Some((_, holding)) = self.holdings.pop_front_if(|(since, _)| *since <= record.offset) {
            self.shard.hold_back(holding);
        }
        self.position = record.offset.next();
        self.has_taken = true;
        let answered = self.has_answered(record.offset);
        let Self { shard, decoder, readings, .. } = self;
        let mut refused = None;
        let mut kept = VecDeque::new();
        let decoded = decoder.decode(record, &mut |reading| {
            *readings += u64::from(!answered);
            if shard.is_full() {
                kept.push_back(KeptReading::of(&reading));
                return;
            }
            let offered = interceptor.offer(shard, &reading, record);
            if let Offered::Discarded(why @ (Discard::Late | Discard::TimeAhead)) = offered {
                refused.get_or_insert(why);
            }
        });
        if answered {
            self.rare_paths.mark(RarePath::ReplayedRecord);
            drop((decoder.take_missing(), decoder.take_filtered()));
        }
        if shard.is_interrupted() || !kept.is_empty() {
            let is_resumed = self.answered.is_some_and(|answered| answered.offset == record.offset);
            self.rare_paths.mark_if(is_resumed, RarePath::ResumedWithinRecord);
            let record = KeptRecord::of(record, epoch);
            self.unfinished = Some(Unfinished { record, readings: kept, refused, decoded });
            return;
        }
        self.finish_record(record, refused, decoded, interceptor);
    }

    /// Whether all that a record lets through was answered before the shard was loaded.
    fn has_answered(&self, offset: Offset) -> bool {
        offset < self.committed || self.answered == Some(RecordProgress::all(offset))
    }

    /// Goes on with the record that is not finished, until as many readings wait for their rounds as may.
    pub fn go_on(&mut self, interceptor: &mut impl ReadingInterceptor) {
        let Some(mut unfinished) = self.unfinished.take() else { return };
        self.has_taken = true;
        let Unfinished { record, readings, refused, .. } = &mut unfinished;
        let mut note = |offered| {
            if let Offered::Discarded(why @ (Discard::Late | Discard::TimeAhead)) = offered {
                refused.get_or_insert(why);
            }
        };
        note(self.shard.go_on());
        let source = record.as_record(&self.at);
        while !self.shard.is_full()
            && let Some(reading) = readings.pop_front()
        {
            note(interceptor.offer(&mut self.shard, &reading.as_reading(), &source));
        }
        if self.shard.is_interrupted() || !readings.is_empty() {
            self.unfinished = Some(unfinished);
            return;
        }
        let Unfinished { record, refused, decoded, .. } = unfinished;
        let at = self.at.clone();
        self.finish_record(&record.as_record(&at), refused, decoded, interceptor);
    }

    /// Sets a record aside for the dead-letter topic if it could not be decoded, or if one of its readings was refused.
    fn finish_record(
        &mut self,
        record: &Record<'_>,
        refused: Option<Discard>,
        decoded: Result<(), BadRecord>,
        interceptor: &mut impl ReadingInterceptor,
    ) {
        if self.has_answered(record.offset) {
            return;
        }
        let name = &self.shard.stream().name;
        match decoded {
            Err(bad) => {
                interceptor.refuse(record, &bad);
                let reason = bad.reason.as_str();
                self.dead_letters.push(name, record, reason, bad.field, &bad.detail);
            }
            Ok(()) => {
                let detail = match refused {
                    Some(Discard::TimeAhead) => "it is ahead of its record's own time and of its partition's",
                    _ => "its series has stepped past its time",
                };
                if let Some(why) = refused {
                    self.dead_letters.push(name, record, why.as_str(), None, detail);
                }
            }
        }
    }
}
