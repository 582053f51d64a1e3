//! Readers of what comes beside a record's payload, beside a committed offset, and over HTTP.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tidecast::codec::{Decoder, Record};
use tidecast::config::{Stream, from_toml};
use tidecast::domain::{EventTime, Levels, Offset, Partition, StreamName, TopicId};
use tidecast::http::{CommandSender, Server};
use tidecast::series::{ReorderHistory, ReorderSettings};
use tidecast::telemetry::{Board, BoardOptions, Metrics, StreamShape};

const CONFIG: &str = "kafka.brokers = \"localhost:9092\"\n[streams.power]\ntopics = [\"meters\"]\n\
    interval = \"1h\"\ntargets = [\"kw\"]\nhorizon = 3\nmax_record_bytes = 65536\ntraining = { enabled = false }\n\
    fields = { series = [\"@key\", \"@header:plant\"], time = \"@header:at\", records = \"/sites/*/data\" }\n";

fn stream() -> Arc<Stream> {
    static STREAM: OnceLock<Arc<Stream>> = OnceLock::new();
    STREAM.get_or_init(|| from_toml(CONFIG, &[]).expect("a right config").streams[0].clone()).clone()
}

/// Key, two headers and payload, each ended by a byte of 0.
pub fn headers(bytes: &[u8]) -> bool {
    let mut parts = bytes.splitn(4, |byte| *byte == 0);
    let mut next = || parts.next().unwrap_or_default();
    let (key, plant, at, payload) = (next(), next(), next(), next());
    let headers: &[(&str, &[u8])] = &[("plant", b"first"), ("plant", plant), ("at", at)];
    let record = Record {
        topic: "meters",
        partition: Partition(0),
        offset: Offset(7),
        key: Some(key),
        timestamp: None,
        payload: Some(payload),
        headers: &headers,
    };
    let mut count = 0;
    let decoded = Decoder::new(&stream()).decode(&record, &mut |reading| {
        assert!(!reading.series.is_empty(), "a series without a name");
        assert!(reading.values.as_slice().iter().all(|v| v.is_nan() || v.is_finite()), "a value without end");
        count += 1;
    });
    decoded.is_ok() && count > 0
}

/// The note beside a committed offset. What is taken is written again and taken again.
pub fn note(bytes: &[u8]) -> bool {
    // Anything but text counts as no note.
    let Ok(note) = std::str::from_utf8(bytes) else { return false };
    let id = note.split(';').find_map(|part| part.strip_prefix("@=")).and_then(TopicId::parse);
    assert!(id.is_none_or(|id| TopicId::parse(&id.to_string()) == Some(id)));
    let stream = stream();
    let (from, now) = (Offset(i64::MAX), ReorderSettings::of(&stream));
    let taken = ReorderHistory::of(note, &stream.name, from, now);
    let mut again = String::new();
    taken.note(&stream.name, &mut again);
    assert!(again.len() < 1_000, "a note is bounded");
    assert_eq!(ReorderHistory::of(&again, &stream.name, from, now), taken);
    assert!(taken.longest() >= taken.at(Offset(0)).lateness);
    id.is_some() && taken.after(Offset(-1)).count() > 1
}

/// A request to the admin server, as its bytes.
pub fn http(bytes: &[u8]) -> bool {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        let name = StreamName::new("power").expect("a name");
        let shape = StreamShape {
            name: name.clone(),
            levels: Levels::new(vec![]),
            leads: vec![1],
            experts: vec!["mixture".into()],
        };
        let stall_after = Duration::from_secs(60);
        let board = Board::new(&BoardOptions { workers: 1, stall_after, streams: vec![name] });
        // Nobody receives commands, so each is answered by a refusal at once.
        let (commands, _) = CommandSender::new(Some("token".into()));
        Server::start(([127, 0, 0, 1], 0).into(), Metrics::new(&[shape]), board, commands)
            .expect("a free port")
    });
    let mut socket = TcpStream::connect(server.address()).expect("it listens");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time is set");
    // The server may have closed the connection at the first bytes.
    let _ = socket.write_all(bytes).and_then(|()| socket.shutdown(std::net::Shutdown::Write));
    let mut answer = Vec::new();
    match socket.read_to_end(&mut answer) {
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => panic!("no answer"),
        // Reset by the server, which had not read everything.
        _ => {}
    }
    assert!(!server.has_ended(), "the server has ended");
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{}", String::from_utf8_lossy(&answer));
    let status = answer.get(9..12).unwrap_or_default();
    assert_ne!(status, b"500", "{}", String::from_utf8_lossy(&answer));
    status == b"200"
}

/// A right input of each.
pub fn right() -> [(&'static str, Vec<u8>); 3] {
    let mut note =
        format!("@={};power=0:7200000000:1000000,4711:0:1000000;", TopicId::new(7).expect("not 0"));
    note.push_str("other=0:0:5;");
    let time = EventTime::from_micros(1_700_000_000_000_000).expect("a time of our days");
    [
        ("headers", format!("m1\0north\0{time}\0{{\"sites\":[{{\"data\":[{{\"kw\":1}}]}}]}}").into_bytes()),
        ("note", note.into_bytes()),
        (
            "http",
            b"GET /api/v1/streams/power?x=%20&y HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer token\r\n\
              Connection: close\r\n\r\n"
                .to_vec(),
        ),
    ]
}
