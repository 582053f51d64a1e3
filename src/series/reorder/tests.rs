use super::*;
use crate::domain::Interval;

fn at(minutes: i64) -> EventTime {
    EventTime::from_micros(minutes * 60_000_000).unwrap()
}

fn order(lateness_minutes: u64) -> ReorderBuffer<i64> {
    let hour = Interval::new(Duration::from_secs(3600)).unwrap();
    ReorderBuffer::new(
        Grid::Fixed(hour),
        Duration::from_secs(60 * lateness_minutes),
        3,
        4,
        24 * Duration::from_secs(3600),
    )
}

#[test]
fn a_series_steps_forward_once_a_cell() {
    let mut order = order(0);
    assert_eq!(
        order.admit(Slot(0), at(60)),
        Admission::Step { cell: 1, before: None, gap: 0, cold: true, is_back: false }
    );
    assert_eq!(order.admit(Slot(0), at(61)), Admission::Discarded(Discard::Duplicate));
    assert_eq!(
        order.admit(Slot(0), at(125)),
        Admission::Step { cell: 2, before: Some(1), gap: 0, cold: false, is_back: false }
    );
    assert_eq!(order.admit(Slot(0), at(60)), Admission::Discarded(Discard::Late));
    assert_eq!(
        order.admit(Slot(0), at(6 * 60)),
        Admission::Step { cell: 6, before: Some(2), gap: 3, cold: false, is_back: false }
    );
    assert_eq!(
        order.admit(Slot(0), at(11 * 60)),
        Admission::Step { cell: 11, before: Some(6), gap: 0, cold: true, is_back: false }
    );
    assert_eq!(
        order.admit(Slot(1), at(0)),
        Admission::Step { cell: 0, before: None, gap: 0, cold: true, is_back: false }
    );
}

#[test]
fn held_readings_come_out_in_order_once_the_watermark_passes() {
    let mut order = order(120);
    let hold = |order: &mut ReorderBuffer<i64>, minutes| {
        order.check_time(None, "a", at(minutes), None);
        order.hold(at(minutes), minutes);
    };
    for minutes in [60, 180, 120] {
        hold(&mut order, minutes);
    }
    let release = |order: &mut ReorderBuffer<i64>| order.due().and_then(|at| order.release(at));
    let mut next = || release(&mut order);
    assert_eq!((next(), next()), (Some(60), None));
    hold(&mut order, 300);
    let mut next = || release(&mut order);
    assert_eq!((next(), next(), next()), (Some(120), Some(180), None));
    assert_eq!(order.held(), 1);
    for minutes in [301, 302, 303, 304] {
        hold(&mut order, minutes);
    }
    assert_eq!(release(&mut order), Some(300), "there are too many");
    let mut bytes = Vec::new();
    order.save(&mut bytes, |what, out| put(out, &[*what]));
    let mut loaded = tests::order(120);
    loaded.load(&mut Take::new(&bytes), 0, |from, _| from.one()).unwrap();
    assert_eq!((loaded.held(), loaded.due().is_none()), (4, true));
}

/// Hears a reading of a series and gives it its place.
fn take(
    order: &mut ReorderBuffer<i64>,
    slot: u32,
    minutes: i64,
    record: Option<i64>,
) -> Result<Admission, Timeliness> {
    let heard = order.check_time(Some(Slot(slot)), &slot.to_string(), at(minutes), record.map(at));
    if let Timeliness::Wrong(_) = heard { Err(heard) } else { Ok(order.admit(Slot(slot), at(minutes))) }
}

const HOUR: i64 = 60;

/// Three series that have measured for ten hours.
fn measured(with_records: bool) -> ReorderBuffer<i64> {
    let mut order = order(0);
    for hour in 0..10 {
        for slot in 0..3 {
            let minutes = hour * HOUR;
            take(&mut order, slot, minutes, with_records.then_some(minutes)).unwrap();
        }
    }
    order
}

#[test]
fn a_time_that_its_record_does_not_confirm_is_wrong_the_first_time() {
    let mut order = measured(true);
    assert_eq!(take(&mut order, 1, 30 * HOUR, Some(10 * HOUR)), Err(Timeliness::Wrong(at(9 * HOUR))));
    assert_eq!(order.partition_time(), Some(at(9 * HOUR)));
    // A second one is accepted: the series may send forecasts from here on.
    let step = |cell, before| Admission::Step { cell, before, gap: 0, cold: true, is_back: false };
    assert_eq!(take(&mut order, 1, 31 * HOUR, Some(11 * HOUR)), Ok(step(31, Some(9))));
    // So is one of a series that has always done so, or after all have paused.
    let mut order = measured(true);
    for hour in 10..30 {
        assert!(take(&mut order, 3, (hour + 24) * HOUR, Some(hour * HOUR)).is_ok());
        for slot in 0..3 {
            take(&mut order, slot, hour * HOUR, Some(hour * HOUR)).unwrap();
        }
        assert_eq!(order.partition_time(), Some(at(hour * HOUR)));
    }
    for slot in 0..3 {
        assert_eq!(take(&mut order, slot, 100 * HOUR, Some(100 * HOUR)), Ok(step(100, Some(29))));
    }
}

#[test]
fn a_series_that_ran_ahead_goes_on_where_it_was() {
    let mut order = measured(false);
    let ahead = Admission::Step { cell: 30, before: Some(9), gap: 0, cold: true, is_back: false };
    assert_eq!(take(&mut order, 1, 30 * HOUR, None), Ok(ahead));
    assert_eq!(take(&mut order, 0, 10 * HOUR, None).map(|_| ()), Ok(()));
    // No cell comes twice.
    assert_eq!(take(&mut order, 1, 9 * HOUR + 5, None), Ok(Admission::Discarded(Discard::Duplicate)));
    assert_eq!(take(&mut order, 1, 8 * HOUR, None), Ok(Admission::Discarded(Discard::Late)));
    assert!(order.has_passed(Slot(1), at(9 * HOUR)) && !order.has_passed(Slot(1), at(10 * HOUR)));
    let mut bytes = Vec::new();
    order.save(&mut bytes, |what, out| put(out, &[*what]));
    let mut back = self::order(0);
    back.load(&mut Take::new(&bytes), 3, |from, _| from.one()).unwrap();
    for order in [&mut order, &mut back] {
        let returned = Admission::Step { cell: 10, before: Some(9), gap: 0, cold: true, is_back: true };
        assert_eq!(take(order, 1, 10 * HOUR, None), Ok(returned));
        let next = Admission::Step { cell: 11, before: Some(10), gap: 0, cold: false, is_back: false };
        assert_eq!(take(order, 1, 11 * HOUR, None), Ok(next));
    }
    for n in 0..bytes.len() {
        assert!(back.load(&mut Take::new(&bytes[..n]), 3, |from, _| from.one()).is_err(), "{n}");
    }
}

#[test]
fn a_series_that_steps_forward_with_its_partition_does_not_go_back() {
    let mut order = measured(false);
    // After all series have paused.
    for slot in 0..3 {
        take(&mut order, slot, 100 * HOUR, None).unwrap();
    }
    assert_eq!(take(&mut order, 0, 50 * HOUR, None), Ok(Admission::Discarded(Discard::Late)));
    for slot in 0..3 {
        take(&mut order, slot, 101 * HOUR, None).unwrap();
    }
    assert_eq!(take(&mut order, 0, 50 * HOUR, None), Ok(Admission::Discarded(Discard::Late)));
}

/// Hours of two series that report every other hour: each of the second's readings is ahead when it comes.
#[test]
fn a_series_that_reports_seldom_does_not_go_back_to_where_it_was_with_its_partition() {
    let mut order = order(0);
    for (slot, hour) in [(0, 0), (1, 0), (0, 2), (1, 2), (0, 4)] {
        assert!(matches!(take(&mut order, slot, hour * HOUR, None), Ok(Admission::Step { .. })), "{hour}");
    }
    assert_eq!(order.partition_time(), Some(at(2 * HOUR)));
    assert_eq!(take(&mut order, 0, 2 * HOUR, None), Ok(Admission::Discarded(Discard::Duplicate)));
    assert_eq!(take(&mut order, 0, 4 * HOUR, None), Ok(Admission::Discarded(Discard::Duplicate)));
    assert_eq!(take(&mut order, 0, 0, None), Ok(Admission::Discarded(Discard::Late)));
    assert!(order.memory() > self::order(0).memory(), "where it stood before takes room");
}

/// A jump of the partition's time lets several readings of one series go: it has been there with the others.
#[test]
fn a_reading_released_by_a_jump_is_not_released_twice() {
    let mut order = order(60);
    let hear = |order: &mut ReorderBuffer<i64>, slot: u32, hour: i64| {
        order.check_time(Some(Slot(slot)), &slot.to_string(), at(hour * HOUR), None);
        order.hold(at(hour * HOUR), hour);
        while let Some(place) = order.due() {
            let hour = order.release(place).unwrap();
            order.admit(Slot(0), at(hour * HOUR));
        }
    };
    for (slot, hour) in [(0, 0), (1, 0), (0, 4), (0, 8), (1, 12)] {
        hear(&mut order, slot, hour);
    }
    assert_eq!(order.partition_time(), Some(at(8 * HOUR)));
    // More of them agree on an earlier time.
    for slot in 2..8 {
        order.check_time(Some(Slot(slot)), &slot.to_string(), at(2 * HOUR), None);
    }
    assert_eq!(order.partition_time(), Some(at(2 * HOUR)));
    assert!(order.has_passed(Slot(0), at(4 * HOUR)));
    assert_eq!(order.admit(Slot(0), at(4 * HOUR)), Admission::Discarded(Discard::Duplicate));
    assert_eq!(order.admit(Slot(0), at(3 * HOUR)), Admission::Discarded(Discard::Late));
}
