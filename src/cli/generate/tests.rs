use super::*;
use crate::codec::{Decoder, Record};
use crate::domain::Offset;
use crate::kafka::{EmbeddedBroker, Start, TopicReader};
use clap::Parser;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

fn options(arguments: &[&str]) -> Options {
    Line::try_parse_from([&["generate"], arguments].concat()).unwrap_or_else(|e| panic!("{e}")).options
}

fn text(path: &Path) -> String {
    let (mut text, file) = (String::new(), std::fs::File::open(path).unwrap());
    match path.extension().is_some_and(|e| e == "gz") {
        true => flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap(),
        false => std::io::BufReader::new(file).read_to_string(&mut text).unwrap(),
    };
    text
}

#[test]
fn a_seed_is_a_file_and_its_best_forecasts_stand_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let write = |out: &str, seed: &str, best: &str| {
        let (out, best) = (path(out), path(best));
        let line = format!(
            "--series 7 --readings 60 --covariates --targets 2 --duplicates 0.1 --disorder 0.1 --horizon 3 \
             --seed {seed} --out {} --best {}",
            out.display(),
            best.display()
        );
        generate(&options(&line.split_whitespace().collect::<Vec<_>>())).unwrap();
        (text(&out), text(&best))
    };
    let (one, best) = write("a.csv", "1", "best.csv");
    assert_eq!((one.clone(), best.clone()), write("b.csv.gz", "1", "best.csv.gz"));
    assert_ne!(one, write("c.csv", "2", "best.csv").0);
    let head = "series,time,value,value_2,temperature,event,event_next_day";
    assert_eq!(one.lines().next(), Some(head));
    let unique: std::collections::BTreeSet<&str> = one.lines().skip(1).collect();
    assert!(unique.len() < one.lines().count() - 1, "some rows come twice");
    // One row for each reading, target and lead.
    assert_eq!(best.lines().count() - 1, unique.len() * 2 * 3);
    assert_eq!(best.lines().next(), Some("series,target,origin,lead,time,yhat,deviation"));
    let row: Vec<&str> = best.lines().nth(5).unwrap().split(',').collect();
    assert_eq!(row[..5], ["meter-000000", "value_2", "2024-01-01T00:00:00Z", "2", "2024-01-01T02:00:00Z"]);
}

#[test]
fn the_config_that_is_printed_reads_the_table() {
    for line in [
        "--out f.csv --interval 15m --targets 3",
        "--out f.csv --covariates --interval 1500ms --time-zone Europe/Paris",
    ] {
        let options = options(&line.split_whitespace().collect::<Vec<_>>());
        let config = config::from_toml(&reading_config(&options, options.covariates), &[]).unwrap();
        let stream = &config.streams[0];
        assert_eq!(stream.grid, Grid::Fixed(options.interval));
        assert_eq!(
            (stream.targets.len(), stream.covariates.len() == 3),
            (options.targets as usize, options.covariates)
        );
        assert_eq!(stream.time_zone.iana_name(), options.time_zone.iana_name());
    }
}

#[test]
fn a_stream_gets_every_reading_and_no_faster_than_asked_for() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("meters", 3).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tidecast.toml");
    let config = format!(
        "[kafka]\nbrokers = \"{}\"\n[streams.power]\ntopics = [\"meters\"]\ninterval = \"15m\"\n\
         targets = [\"kw\"]\nfields = {{ series = \"/id\", time = \"/ts\", time_format = \"ms\" }}\n",
        broker.bootstrap_servers()
    );
    std::fs::write(&file, config).unwrap();
    let file = file.to_str().unwrap();
    let began = Instant::now();
    generate(&options(&[
        "--config",
        file,
        "--series",
        "20",
        "--readings",
        "30",
        "--missing",
        "0",
        "--rate",
        "2000/s",
    ]))
    .unwrap();
    assert!(began.elapsed().as_secs_f64() > 550.0 / 2_000.0, "{:?}", began.elapsed());
    let config = config::load(Path::new(file)).unwrap();
    let mut decoder = Decoder::of_elements(&config.streams[0]);
    let mut tail = TopicReader::open(&config.kafka, "meters", Start::Beginning).unwrap();
    let mut times: BTreeMap<String, Vec<EventTime>> = BTreeMap::new();
    for offset in 0..600 {
        let polled = tail.next(PATIENCE).unwrap().expect("another record");
        let record = Record {
            topic: "meters",
            partition: polled.partition,
            offset: Offset(offset),
            key: polled.key.as_deref(),
            timestamp: None,
            payload: polled.payload.as_deref(),
            headers: &(),
        };
        decoder.decode(&record, &mut |r| times.entry(r.series.to_owned()).or_default().push(r.time)).unwrap();
    }
    assert!(tail.next(std::time::Duration::from_millis(200)).unwrap().is_none(), "and no more");
    assert_eq!(times.len(), 20);
    for times in times.values() {
        assert_eq!(times.len(), 30);
        assert!(times.windows(2).all(|w| w[1].seconds_since(w[0]) == 900.0), "{times:?}");
        let age = EventTime::from_micros(jiff::Timestamp::now().as_microsecond()).unwrap();
        assert!(age >= times[29], "the last one's time is now");
    }
}

#[test]
fn wrong_use_is_explained() {
    for line in [
        "",
        "--out a.csv --config b.toml",
        "--out a.csv --rate 5/s",
        "--out a.csv --series 0",
        "--out a.csv --missing 1",
        "--out a.csv --interval 5",
        "--out a.csv --targets 33",
        "--config a.toml --rate 0/s",
    ] {
        let words = line.split_whitespace();
        assert!(Line::try_parse_from(["generate"].into_iter().chain(words)).is_err(), "{line}");
    }
}
