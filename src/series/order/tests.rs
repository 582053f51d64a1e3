use super::*;
use crate::domain::Interval;
use std::time::Duration;

fn at(minutes: i64) -> EventTime {
    EventTime::from_micros(minutes * 60_000_000).unwrap()
}

fn order(lateness_minutes: u64) -> Order<i64> {
    let hour = Interval::new(Duration::from_secs(3600)).unwrap();
    Order::new(Grid::Fixed(hour), Duration::from_secs(60 * lateness_minutes), 3, 4)
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
    let hold = |order: &mut Order<i64>, minutes| {
        order.hear(None, "a", at(minutes), None);
        order.hold(at(minutes), minutes);
    };
    for minutes in [60, 180, 120] {
        hold(&mut order, minutes);
    }
    let release = |order: &mut Order<i64>| order.due().and_then(|at| order.let_go(at));
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
    let mut loaded = super::tests::order(120);
    loaded.load(&mut Take::new(&bytes), 0, |from, _| from.one()).unwrap();
    assert_eq!((loaded.held(), loaded.due().is_none()), (4, true));
}
