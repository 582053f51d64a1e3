use super::births::{BYTES_MAX, Births};
use super::message::{Metric, Payload, Topic, Value};
use crate::codec::{BadRecord, Decoder, Reason, Record};
use crate::config::{Stream, from_toml};
use crate::domain::{EventTime, Offset, Partition, Take};
use proptest::prelude::*;
use prost::Message;
use std::sync::Arc;

fn stream(lines: &str) -> Arc<Stream> {
    let text = format!(
        "kafka.brokers = \"b\"\n[streams.s]\ntopics = [\"in\"]\ninterval = \"10s\"\nformat = \"sparkplug_b\"\n\
         targets = [\"v\"]\n{lines}"
    );
    from_toml(&text, &[]).unwrap_or_else(|e| panic!("{e}")).streams[0].clone()
}

fn metric(name: Option<&str>, alias: Option<u64>, datatype: Option<u32>, value: Option<Value>) -> Metric {
    Metric {
        name: name.map(str::to_owned),
        alias,
        datatype,
        is_null: value.is_none().then_some(true),
        value,
        ..Metric::default()
    }
}

fn payload(metrics: Vec<Metric>) -> Vec<u8> {
    Payload { timestamp: Some(1_767_225_600_000), metrics }.encode_to_vec()
}

/// Series and value of each reading, the fault, and how many were left out.
type Got = (Vec<(String, Option<f64>)>, Option<BadRecord>, u64);

fn decode(decoder: &mut Decoder, topic: &str, payload: &[u8]) -> Got {
    let record = Record {
        topic: "in",
        partition: Partition(0),
        offset: Offset(7),
        key: Some(topic.as_bytes()),
        timestamp: EventTime::from_micros(1_767_225_700_000_000).ok(),
        payload: Some(payload),
        headers: &(),
    };
    let mut got = Vec::new();
    let bad = decoder.decode(&record, &mut |reading| {
        let value = reading.values.as_slice()[0];
        got.push((reading.series.to_owned(), Some(value).filter(|value| !value.is_nan())));
    });
    (got, bad.err(), decoder.take_filtered())
}

fn good(decoder: &mut Decoder, topic: &str, metrics: Vec<Metric>) -> Vec<(String, Option<f64>)> {
    let (got, bad, _) = decode(decoder, topic, &payload(metrics));
    assert_eq!(bad, None);
    got
}

const BIRTH: &str = "spBv1.0/plant/DBIRTH/line-1/press";
const DATA: &str = "spBv1.0/plant/DDATA/line-1/press";

fn birth() -> Vec<Metric> {
    vec![
        metric(Some("temperature"), Some(1), Some(9), Some(Value::Float(20.1))),
        metric(Some("offset"), Some(2), Some(3), Some(Value::Int(5))),
        metric(Some("strokes"), None, Some(8), Some(Value::Long(7))),
    ]
}

#[test]
fn what_a_birth_has_named_is_known_by_its_alias() {
    let mut decoder = Decoder::new(&stream(""));
    let series = |name: &str| format!("{name}/device=press,group=plant,node=line-1");
    let born = good(&mut decoder, BIRTH, birth());
    // A float is read as it was written.
    let want = [("temperature", 20.1), ("offset", 5.0), ("strokes", 7.0)];
    assert_eq!(born, want.map(|(name, value)| (series(name), Some(value))));
    let data = vec![
        metric(None, Some(1), None, Some(Value::Float(21.5))),
        metric(None, Some(2), None, Some(Value::Int(-3i32 as u32))),
        metric(Some("strokes"), None, None, Some(Value::Long(u64::MAX))),
    ];
    let got = good(&mut decoder, DATA, data);
    let want = [("temperature", 21.5), ("offset", -3.0), ("strokes", u64::MAX as f64)];
    assert_eq!(got, want.map(|(name, value)| (series(name), Some(value))));
    // A null beside a value is a missing one.
    let null = Metric { is_null: Some(true), ..metric(None, Some(2), None, Some(Value::Int(1))) };
    assert_eq!(good(&mut decoder, DATA, vec![null]), [(series("offset"), None)]);
}

#[test]
fn an_alias_is_that_of_the_newest_birth_of_its_own_device() {
    let mut decoder = Decoder::new(&stream(""));
    let one = || payload(vec![metric(None, Some(1), None, Some(Value::Float(1.0)))]);
    let unknown = |decoder: &mut Decoder, topic: &str| {
        let (got, bad, _) = decode(decoder, topic, &one());
        let bad = bad.expect("a fault");
        assert_eq!((got.len(), bad.reason, bad.field.as_deref()), (0, Reason::UnknownAlias, Some("[0]")));
    };
    unknown(&mut decoder, DATA);
    good(&mut decoder, BIRTH, birth());
    unknown(&mut decoder, "spBv1.0/plant/DDATA/line-1/drill");
    unknown(&mut decoder, "spBv1.0/plant/NDATA/line-1");
    unknown(&mut decoder, "spBv1.0/plant/DDATA/line-2/press");
    let renamed = vec![metric(Some("pressure"), Some(1), Some(9), Some(Value::Float(1.0)))];
    good(&mut decoder, BIRTH, renamed);
    let got = decode(&mut decoder, DATA, &one()).0;
    assert_eq!(got[0].0, "pressure/device=press,group=plant,node=line-1");
    // The other metrics of the former birth are gone, and so is everything after a birth of the node.
    let (_, bad, _) =
        decode(&mut decoder, DATA, &payload(vec![metric(None, Some(2), None, Some(Value::Int(1)))]));
    assert_eq!(bad.map(|bad| bad.reason), Some(Reason::UnknownAlias));
    let node = vec![metric(Some("uptime"), Some(1), Some(8), Some(Value::Long(1)))];
    assert_eq!(
        good(&mut decoder, "spBv1.0/plant/NBIRTH/line-1", node)[0].0,
        "uptime/group=plant,node=line-1"
    );
    unknown(&mut decoder, DATA);
}

#[test]
fn whole_numbers_have_the_sign_of_their_type() {
    let mut decoder = Decoder::new(&stream(""));
    for (datatype, value, want) in [
        (1, Value::Int(0xFF), -1.0),
        (1, Value::Int(-1i32 as u32), -1.0),
        (2, Value::Int(0xFFFE), -2.0),
        (3, Value::Int(u32::MAX), -1.0),
        (4, Value::Long(u64::MAX), -1.0),
        (5, Value::Int(0xFF), 255.0),
        (7, Value::Long(u64::from(u32::MAX)), 4_294_967_295.0),
        (13, Value::Long(1_767_225_600_000), 1_767_225_600_000.0),
    ] {
        let got =
            good(&mut decoder, DATA, vec![metric(Some("n"), None, Some(datatype), Some(value.clone()))]);
        assert_eq!(got[0].1, Some(want), "{datatype} {value:?}");
    }
    // Without a type 255 may be -1.
    let (_, bad, _) =
        decode(&mut decoder, DATA, &payload(vec![metric(Some("n"), None, None, Some(Value::Int(255)))]));
    assert!(bad.as_ref().is_some_and(|bad| bad.reason == Reason::UnknownAlias), "{bad:?}");
}

#[test]
fn what_is_no_reading_is_counted() {
    let mut decoder = Decoder::new(&stream("fields.where = { \"/name\" = \"temperature\" }"));
    let bytes = payload(birth());
    let (got, bad, filtered) = decode(&mut decoder, BIRTH, &bytes);
    assert_eq!((got.len(), bad, filtered), (1, None, 2));
    for topic in ["spBv1.0/plant/NDEATH/line-1", "spBv1.0/plant/DCMD/line-1/press", "spBv1.0/STATE/host"] {
        assert_eq!(decode(&mut decoder, topic, &bytes), (vec![], None, 1), "{topic}");
    }
    // A data set, which has the tag 17.
    let mut set = metric(Some("temperature"), None, Some(16), None);
    set.is_null = None;
    let mut set = set.encode_to_vec();
    set.extend([(17 << 3) | 2, 1, 2, 8, 1]);
    let mut message = Vec::new();
    prost::encoding::encode_key(2, prost::encoding::WireType::LengthDelimited, &mut message);
    prost::encoding::encode_varint(set.len() as u64, &mut message);
    message.extend(set);
    assert_eq!(decode(&mut decoder, DATA, &message), (vec![], None, 1));
    let (_, bad, _) = decode(&mut decoder, "temperature", &bytes);
    assert_eq!(bad.unwrap().field.as_deref(), Some("@key"));
}

#[test]
fn the_topic_may_stand_in_a_header() {
    let mut decoder = Decoder::new(&stream("fields.mqtt_topic = \"@header:mqtt\""));
    let headers: &[(&str, &[u8])] = &[("mqtt", BIRTH.as_bytes())];
    let bytes = payload(birth());
    let record = Record {
        topic: "in",
        partition: Partition(0),
        offset: Offset(7),
        key: Some(b"press"),
        timestamp: None,
        payload: Some(&bytes),
        headers: &headers,
    };
    let mut readings = 0;
    decoder.decode(&record, &mut |_| readings += 1).unwrap();
    assert_eq!(readings, 3);
}

#[test]
fn births_take_bounded_memory() {
    let mut births = Births::default();
    let metrics: Vec<_> =
        (0..1_000).map(|alias| metric(Some(&"x".repeat(900)), Some(alias), None, None)).collect();
    let devices: Vec<String> = (0..100).map(|n| format!("spBv1.0/plant/DBIRTH/line-1/{n}")).collect();
    let kept = devices.iter().filter(|text| births.note(&Topic::parse(text).unwrap(), &metrics)).count();
    assert_eq!(kept, BYTES_MAX / (1_000 * 964 + 135));
    // The room of a device is its own again, and that of a node and all of its devices too.
    assert!(births.note(&Topic::parse(&devices[0]).unwrap(), &metrics));
    assert!(births.note(&Topic::parse("spBv1.0/plant/NBIRTH/line-1").unwrap(), &metrics));
    assert!(births.note(&Topic::parse(&devices[99]).unwrap(), &metrics));
}

proptest! {
    /// Whatever births a decoder has read, one that remembers them reads what comes next in the same way.
    #[test]
    fn births_come_back(
        messages in prop::collection::vec(
            (0..3usize, 0..3u8, prop::collection::vec((0..4u8, 0..4u64, 0..5u32), 0..4)), 0..12
        ),
        cut in 0..12usize,
    ) {
        let stream = stream("");
        let mut whole = Decoder::new(&stream);
        let mut parts = Decoder::new(&stream);
        for (at, (word, device, metrics)) in messages.into_iter().enumerate() {
            if at == cut {
                let mut bytes = Vec::new();
                parts.births().save(&mut bytes);
                let mut from = Take::new(&bytes);
                let births = Births::load(&mut from).unwrap();
                prop_assert!(from.is_empty());
                parts = Decoder::new(&stream);
                parts.remember(&births);
            }
            let topic = match (["BIRTH", "DATA", "DATA"][word], device) {
                (word, 0) => format!("spBv1.0/g/N{word}/n"),
                (word, device) => format!("spBv1.0/g/D{word}/n/{device}"),
            };
            let metrics = metrics.into_iter().map(|(name, alias, datatype)| {
                let named = (word == 0 || name == 0).then(|| format!("m{name}"));
                metric(named.as_deref(), Some(alias), Some(datatype).filter(|t| *t > 0), Some(Value::Int(200)))
            });
            let bytes = payload(metrics.collect());
            prop_assert_eq!(decode(&mut parts, &topic, &bytes), decode(&mut whole, &topic, &bytes));
            prop_assert_eq!(parts.births(), whole.births());
        }
    }
}
