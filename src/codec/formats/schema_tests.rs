//! Records with schemas. The files in `recorded` were written by Confluent's serialisers for Python 2.16 and by fastavro
//! 1.13 with `reading.avsc` and `reading.proto`.

use crate::codec::{BadRecord, Decoder, Reason, Record};
use crate::config::{Stream, from_toml};
use crate::domain::{EventTime, Offset, Partition};
use crate::schemas::{Lookup, Schema, SchemaId, SchemaKind, SchemaSource, SchemaText};
use proptest::prelude::*;
use std::sync::{Arc, Mutex};

const AVSC: &str = include_str!("recorded/reading.avsc");
const PROTO: &str = include_str!("recorded/reading.proto");
const UNIT: &str = include_str!("recorded/unit.proto");
const AVRO: &[u8] = include_bytes!("recorded/avro.bin");
const PROTOBUF: &[u8] = include_bytes!("recorded/protobuf.bin");
const HEADER: &[u8] = include_bytes!("recorded/protobuf_header.bin");
const CONTAINERS: [&[u8]; 2] =
    [include_bytes!("recorded/container_null.avro"), include_bytes!("recorded/container_deflate.avro")];

/// A registry that knows what it was given.
#[derive(Default)]
struct Known(Mutex<Vec<(SchemaId, Lookup)>>);

impl SchemaSource for Known {
    fn look_up(&self, id: SchemaId) -> Lookup {
        let known = self.0.lock().unwrap();
        known.iter().rev().find(|(known, _)| *known == id).map_or(Lookup::Pending, |(_, found)| found.clone())
    }
}

fn schema(kind: SchemaKind) -> Lookup {
    let (text, references) = match kind {
        SchemaKind::Protobuf => (PROTO, vec![("unit.proto".to_owned(), UNIT.to_owned())]),
        _ => (AVSC, Vec::new()),
    };
    Lookup::Found(Arc::new(Schema::compile(&SchemaText { kind, text: text.to_owned(), references }).unwrap()))
}

fn stream(format: &str, lines: &str) -> Arc<Stream> {
    let text = format!(
        "kafka.brokers = \"b\"\nregistry.urls = [\"http://localhost:1\"]\n\
         [streams.s]\ntopics = [\"in\"]\ninterval = \"10s\"\nformat = \"{format}\"\n{lines}"
    );
    from_toml(&text, &[]).unwrap_or_else(|e| panic!("{e}")).streams[0].clone()
}

type Got = (String, f64, Vec<f64>);

fn decode(decoder: &mut Decoder, payload: &[u8], headers: &[(&str, &[u8])]) -> (Vec<Got>, Option<BadRecord>) {
    let mut got = Vec::new();
    let record = record(payload, &headers);
    let bad = decoder.decode(&record, &mut |reading| {
        let time = reading.time.as_micros() as f64 / 1e6;
        got.push((reading.series.to_owned(), time, reading.values.as_slice().to_vec()));
    });
    (got, bad.err())
}

fn record<'a>(payload: &'a [u8], headers: &'a &'a [(&'a str, &'a [u8])]) -> Record<'a> {
    Record {
        topic: "in",
        partition: Partition(0),
        offset: Offset(7),
        key: Some(b"key"),
        timestamp: EventTime::from_micros(1_767_225_700_000_000).ok(),
        payload: Some(payload),
        headers,
    }
}

const AVRO_LINES: &str = "targets = [\"kw\"]\ncovariates = [\"price\", \"fixed\", \"phase\", \"tag\", \"on\"]\n\
     fields = { series = [\"/meter/id\", \"/meter/uuid\", \"/state\"], time = \"/at\", values = { \
     phase = \"/phases/1\", tag = \"/tags/b\" } }";
const PROTO_LINES: &str = "targets = [\"kw\"]\ncovariates = [\"total\", \"phase\", \"tag\", \"on\"]\n\
     fields = { series = [\"/meter\", \"/unit\"], time = \"/at\", values = { phase = \"/phases/0/volts\", \
     tag = \"/tags/a\" } }";

fn avro_reading(kw: f64) -> Got {
    let series = "m-1/12345678-1234-5678-1234-567812345678/ON".to_owned();
    (series, 1_767_225_600.0, vec![kw, -1.234, 1000.01, -2.5, -70_000.0, 1.0])
}

#[test]
fn records_of_confluents_serialisers_are_read_once_their_schema_is_known() {
    let guid = SchemaId::Guid(HEADER[1..17].try_into().unwrap());
    let avro_id = SchemaId::Number(u32::from_be_bytes(AVRO[1..5].try_into().unwrap()));
    let proto_id = SchemaId::Number(u32::from_be_bytes(PROTOBUF[1..5].try_into().unwrap()));
    let body = &PROTOBUF[7..];
    let header: &[(&str, &[u8])] = &[("__value_schema_id", HEADER)];
    let proto =
        ("m-1/KILOWATT".to_owned(), 1_767_225_600.25, vec![21.5, 9007199254740992.0, 230.1, 1.0, 1.0]);
    for (format, lines, kind, id, payload, headers, want) in [
        ("avro", AVRO_LINES, SchemaKind::Avro, avro_id, AVRO, &[][..], avro_reading(21.5)),
        ("protobuf", PROTO_LINES, SchemaKind::Protobuf, proto_id, PROTOBUF, &[], proto.clone()),
        ("protobuf", PROTO_LINES, SchemaKind::Protobuf, guid, body, header, proto),
    ] {
        let registry = Arc::new(Known::default());
        let mut decoder = Decoder::with_schemas(&stream(format, lines), Some(registry.clone()));
        assert!(decoder.awaits_schema(&record(payload, &headers)), "{format}");
        registry.0.lock().unwrap().push((id, Lookup::Unknown));
        assert!(!decoder.awaits_schema(&record(payload, &headers)), "{format}");
        let (got, bad) = decode(&mut decoder, payload, headers);
        assert_eq!((got, bad.map(|bad| bad.reason)), (vec![], Some(Reason::UnknownSchema)));
        // It was registered later.
        registry.0.lock().unwrap().push((id, schema(kind)));
        assert!(!decoder.awaits_schema(&record(payload, &headers)), "{format}");
        let (got, bad) = decode(&mut decoder, payload, headers);
        assert_eq!((got, bad), (vec![want], None), "{format}");
        // Cut anywhere, it is a dead letter.
        for end in 1..payload.len() {
            let bad = decode(&mut decoder, &payload[..end], headers).1;
            assert!(bad.is_some() || kind == SchemaKind::Protobuf, "{format}: {end} bytes");
        }
    }
}

#[test]
fn a_schemas_file_needs_no_registry() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/codec/formats/recorded");
    let with_file = |lines: &str, file: &str| {
        lines.replace("fields = {", &format!("fields = {{ schema = \"{folder}/{file}\","))
    };
    let avro = stream("avro", &with_file(AVRO_LINES, "reading.avsc"));
    assert_eq!(decode(&mut Decoder::new(&avro), &AVRO[5..], &[]), (vec![avro_reading(21.5)], None));
    let lines = with_file(PROTO_LINES, "reading.proto\", message = \"plant.Reading");
    let (got, bad) = decode(&mut Decoder::new(&stream("protobuf", &lines)), &PROTOBUF[7..], &[]);
    assert_eq!((got.len(), bad), (1, None));
    let text = "kafka.brokers = \"b\"\n[streams.s]\ntopics = [\"in\"]\ninterval = \"10s\"\nformat = \"protobuf\"\n\
                targets = [\"kw\"]\n";
    let faults = from_toml(text, &[]).unwrap_err().to_string();
    assert!(faults.contains("registry.urls"), "{faults}");
    let file = format!("{text}fields = {{ schema = \"{folder}/reading.proto\", message = \"plant.None\" }}");
    assert!(from_toml(&file, &[]).unwrap_err().to_string().contains("plant.None"));
}

#[test]
fn all_data_of_a_container_are_readings() {
    for container in CONTAINERS {
        let mut decoder = Decoder::new(&stream("avro", AVRO_LINES));
        let (got, bad) = decode(&mut decoder, container, &[]);
        assert_eq!((bad, got.len()), (None, 3));
        assert_eq!((&got[0], &got[2]), (&avro_reading(21.5), &avro_reading(3.0)));
        assert!(got[1].2[0].is_nan());
    }
}

#[test]
fn json_is_read_with_and_without_a_frame() {
    let mut decoder = Decoder::new(&stream("json_schema", "targets = [\"kw\"]"));
    let framed = [b"\0\0\0\0\x07".as_slice(), b"{\"kw\":1.5}"].concat();
    let guid = [[1; 17].as_slice(), b"{\"kw\":1.5}"].concat();
    for payload in [b"{\"kw\":1.5}".as_slice(), &framed, &guid] {
        let (got, bad) = decode(&mut decoder, payload, &[]);
        assert_eq!((got[0].2[0], bad), (1.5, None));
    }
}

/// With the schemas known, whatever the bytes are.
fn known() -> Arc<Known> {
    let all = [(0, SchemaKind::Avro), (1, SchemaKind::Avro), (2, SchemaKind::Protobuf)];
    let known = all.map(|(id, kind)| (SchemaId::Number(id), schema(kind)));
    Arc::new(Known(Mutex::new(known.into())))
}

proptest! {
    #[test]
    fn no_change_of_a_good_payload_does_harm(
        which in 0..4usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..6),
    ) {
        let (format, lines, good) = [
            ("avro", AVRO_LINES, AVRO),
            ("avro", AVRO_LINES, CONTAINERS[0]),
            ("avro", AVRO_LINES, CONTAINERS[1]),
            ("protobuf", PROTO_LINES, PROTOBUF),
        ][which];
        let mut bytes = good.to_vec();
        if which == 3 {
            bytes[4] = 2;
        }
        for (at, byte, how) in changes {
            let at = at.index(bytes.len().max(1));
            match how {
                0 if at < bytes.len() => bytes[at] = byte,
                1 => bytes.insert(at.min(bytes.len()), byte),
                _ if at < bytes.len() => drop(bytes.remove(at)),
                _ => {}
            }
        }
        let mut decoder = Decoder::with_schemas(&stream(format, lines), Some(known()));
        decoder.awaits_schema(&record(&bytes, &&[][..]));
        let (got, _) = decode(&mut decoder, &bytes, &[]);
        prop_assert!(got.iter().flat_map(|(_, _, values)| values).all(|value| !value.is_infinite()));
    }
}
