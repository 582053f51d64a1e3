//! A Prometheus that writes what it has scraped to a bridge of a few lines, which passes each request on to Kafka.

use crate::site::{LIMIT, Readings, Site, keep};
use crate::support::kafka::produce;
use crate::support::process::free_port;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const SCRAPES: usize = 20;
const ROOMS: [&str; 3] = ["attic", "cellar, left", "hall"];

/// The path and the body of a request.
fn request(socket: &mut TcpStream) -> (String, Vec<u8>) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && socket.read(&mut byte).expect("a request") > 0 {
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("a head");
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().expect("a length"))
    });
    let mut body = vec![0; length.unwrap_or(0)];
    socket.read_exact(&mut body).expect("a body");
    (head.split(' ').nth(1).unwrap_or_default().to_owned(), body)
}

fn respond(socket: &mut TcpStream, status: &str, body: &str) {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    // Prometheus may have been stopped.
    let _ = socket.write_all(format!("{head}{body}").as_bytes());
}

/// What is scraped: in each room a value that grows with each scrape, so that each is known.
fn page(scrape: usize) -> String {
    let line = |(i, room): (usize, &&str)| format!("room_celsius{{room=\"{room}\"}} {}\n", value(i, scrape));
    let rooms: String = ROOMS.iter().enumerate().map(line).collect();
    format!("# TYPE room_celsius gauge\n{rooms}# TYPE noise gauge\nnoise 1\n")
}

fn value(room: usize, scrape: usize) -> f64 {
    room as f64 * 100.0 + scrape as f64 / 8.0
}

#[test]
#[ignore = "needs Prometheus: tests/run producers"]
fn each_sample_of_a_remote_write_has_a_forecast() {
    let site = Site::new("prometheus");
    let (exporter, bridge) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let [scraped_at, bridged_at] = [&exporter, &bridge].map(|of| of.local_addr().unwrap());
    let scrapes = Arc::new(AtomicUsize::new(0));
    let count = scrapes.clone();
    std::thread::spawn(move || {
        for socket in exporter.incoming() {
            let mut socket = socket.unwrap();
            request(&mut socket);
            let scrape = count.fetch_add(1, Ordering::SeqCst);
            // After the last one the series end, of which Prometheus makes stale markers.
            respond(&mut socket, "200 OK", &if scrape < SCRAPES { page(scrape) } else { String::new() });
        }
    });
    let topic = site.topic("in");
    std::thread::spawn(move || {
        for socket in bridge.incoming() {
            let mut socket = socket.unwrap();
            let (_, body) = request(&mut socket);
            produce(&Site::brokers(), &topic, [("prometheus", body, Some(0))]);
            respond(&mut socket, "204 No Content", "");
        }
    });
    let config = format!(
        "global: {{ scrape_interval: 500ms, scrape_timeout: 400ms }}\n\
         scrape_configs: [{{ job_name: rooms, static_configs: [{{ targets: ['{scraped_at}'] }}] }}]\n\
         remote_write:\n  - url: http://{bridged_at}/write\n    queue_config: {{ max_shards: 1, batch_send_deadline: 1s }}\n    \
         write_relabel_configs: [{{ source_labels: [__name__], regex: 'room_celsius|noise', action: keep }}]\n"
    );
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", site.file("prometheus.yml", &config).display()))
        .arg(format!("--storage.tsdb.path={}", site.dir.path().join("tsdb").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{}", free_port()));
    let mut prometheus = site.start("prometheus", command);
    let until = Instant::now() + LIMIT;
    while scrapes.load(Ordering::SeqCst) < SCRAPES + 4 {
        assert!(Instant::now() < until, "{} scrapes", scrapes.load(Ordering::SeqCst));
        std::thread::sleep(Duration::from_millis(100));
    }
    // It sends what it holds before it ends.
    prometheus.signal(libc::SIGTERM);
    prometheus.wait(Duration::from_secs(60));
    let written = site.written();
    keep("prometheus.remote_write", written[0].value.as_deref().unwrap());

    let answers = site.answer(
        "format = \"prometheus_remote_write\"\ninterval = \"irregular\"\ntargets = [\"celsius\"]\n\
         fields.series = [\"/name\", \"/labels/room\"]\nfields.where = { \"/name\" = \"room_celsius\" }",
    );
    assert_eq!(answers.letters, []);
    // The times are those of Prometheus' clock; the values tell which scrape each is.
    let values = |readings: &Readings| -> Vec<(String, Vec<Option<f64>>)> {
        let of = |(series, all): (&String, &Vec<_>)| {
            (series.clone(), all.iter().map(|(_, value)| *value).collect())
        };
        readings.iter().map(of).collect()
    };
    let of_room = |(i, room): (usize, &&str)| {
        // The last one is the stale marker.
        let all = (0..SCRAPES).map(|scrape| Some(value(i, scrape))).chain([None]);
        (format!("room_celsius/{room}"), all.collect())
    };
    assert_eq!(values(&answers.readings), ROOMS.iter().enumerate().map(of_room).collect::<Vec<_>>());
    // The other metric, with its own stale marker.
    assert_eq!(answers.filtered, SCRAPES + 1);
}
