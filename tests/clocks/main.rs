//! The wall clock of a daemon's machine is set back and forth while it works, by more than any timeout. Forecasts go on at
//! once, and every record has one answer.
//!
//! `clock.c` is the clock: it is compiled here and loaded before the daemon's own libraries.

#[path = "../support/mod.rs"]
mod support;

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use support::broker::Broker;
use support::daemon::{Daemon, Settings, get};
use support::fleet::{Load, Site};

use support::process::{free_port, fresh_dir, write};

const PER_SECOND: usize = 200;
/// Records that must be committed after each change of the clock.
const RECORDS: usize = 200;
/// A wait for the wall clock would last for an hour.
const LIMIT: Duration = Duration::from_secs(60);
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// What the clock is ahead of the machine's, in seconds, one after the other. Brokers refuse records of a clock that is an
/// hour ahead of theirs (`message.timestamp.after.max.ms`).
const SETTINGS: [i64; 8] = [50 * MINUTE, 0, -HOUR, -400 * DAY, 0, 2 * MINUTE, -2 * MINUTE, 0];

/// Compiles the clock.
fn compiled(dir: &Path) -> PathBuf {
    let library = dir.join("clock.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clocks/clock.c");
    let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl");
    let compiled = compiler.output().expect("a C compiler, which librdkafka needs too");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    library
}

#[test]
fn forecasts_go_on_while_the_wall_clock_is_set_back_and_forth() {
    let broker = Broker::start();
    let site = Site::new(&broker.bootstrap(), "clocks", 2);
    let dir = fresh_dir("clocks");
    let library = compiled(dir.path());
    let offset = write(dir.path(), "offset", "\0\0\0\0\0\0\0\0");
    // It must never be empty, because the daemon has it in its memory.
    let clock = File::options().write(true).open(&offset).unwrap();
    let http = format!("127.0.0.1:{}", free_port());
    let config = Settings {
        brokers: &site.bootstrap,
        kafka: "group = \"clocks\"\ninstance = \"clocks-0\"",
        http: &http,
        store: &format!("file://{}", site.store().display()),
        sections: "[snapshots]\nevery = \"1s\"",
        name: "clocks",
        topic: &site.topic("in"),
        stream: "horizon = 4\nwindow = 64\nmodel = { hidden = 4 }\ntraining = { enabled = false }",
    };
    let config = write(dir.path(), "clocks.toml", &config.text());
    let env = [("LD_PRELOAD", library.to_str().unwrap()), ("WALL_CLOCK_OFFSET", offset.to_str().unwrap())];
    let mut daemon = Daemon::spawn(&config, &env);
    daemon.wait_ready(&http, LIMIT);
    let load = Load::start(&site, PER_SECOND);
    let wait_for_more = |daemon: &mut Daemon| {
        let (began, before) = (Instant::now(), site.committed("clocks"));
        while site.committed("clocks") < before + RECORDS {
            assert!(daemon.is_running(), "{}", daemon.log());
            assert!(began.elapsed() < LIMIT, "it waits for the wall clock:\n{}", daemon.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        began.elapsed()
    };
    let undisturbed = wait_for_more(&mut daemon);
    let mut took = Vec::new();
    for seconds in SETTINGS {
        clock.write_all_at(&(seconds * 1_000_000_000).to_ne_bytes(), 0).unwrap();
        took.push((seconds, wait_for_more(&mut daemon)));
        assert_eq!(get(&http, "/readyz").map(|(status, _)| status), Some(200), "{seconds}");
    }
    println!(
        "clocks: {RECORDS} records took {undisturbed:.1?}, and after each change of the clock {took:.1?}"
    );
    let written = load.stop();
    let until = Instant::now() + LIMIT;
    while site.committed("clocks") < written {
        assert!(Instant::now() < until && daemon.is_running(), "{}", daemon.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(daemon.terminate(LIMIT), 0);
    // Lines of the log begin with the time, so the clock was really another one.
    let log = daemon.log();
    let years: std::collections::BTreeSet<&str> =
        log.lines().filter(|line| line.starts_with("20")).filter_map(|line| line.get(..4)).collect();
    assert!(years.len() > 1, "the daemon has not seen the clock: {years:?}");
    let audit = site.audit("");
    assert!(audit.is_exact(), "{audit:?}");
}
