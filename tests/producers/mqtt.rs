//! Devices that speak MQTT to a mosquitto, and a bridge of a few lines that passes each message on to Kafka: the payload
//! as it is, the topic as the key.

use crate::site::{LIMIT, Readings, Site, built, keep, run};
use crate::support::kafka::produce;
use crate::support::process::{Process, free_port};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

struct Mqtt {
    port: u16,
    _broker: Process,
    bridge: Child,
}

impl Drop for Mqtt {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.bridge.kill();
        let _ = self.bridge.wait();
    }
}

impl Mqtt {
    /// A broker, and a bridge of these topics to the site's.
    fn start(site: &Site, topics: &str) -> Self {
        let port = free_port();
        let config = format!("listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n");
        let mut command = Command::new("mosquitto");
        command.env("PATH", "/usr/sbin:/usr/bin:/usr/local/sbin").arg("-c");
        command.arg(site.file("mosquitto.conf", &config));
        let broker = site.start("mosquitto", command);
        let until = Instant::now() + LIMIT;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "mosquitto does not listen:\n{}", broker.log());
        }
        // The topic, and the payload in hexadecimal digits. The broker keeps what was sent before the bridge came.
        // Each line at once: a pipe would get them in blocks.
        let bridge = Command::new("stdbuf")
            .args(["-oL", "mosquitto_sub"])
            .args([
                "-p",
                &port.to_string(),
                "-t",
                topics,
                "-q",
                "1",
                "-c",
                "-i",
                "bridge",
                "-F",
                "%t %x",
                "-d",
            ])
            .stdout(Stdio::piped())
            .spawn();
        let mut bridge = bridge.expect("mosquitto_sub: run tests/run producers");
        let mut lines = BufReader::new(bridge.stdout.take().expect("its output")).lines();
        let subscribed = lines.by_ref().any(|line| line.expect("a line").contains("SUBACK"));
        assert!(subscribed, "the bridge has no subscription");
        let topic = site.topic("in");
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // The others tell of the connection.
                let Some((of, digits)) = line.split_once(' ').filter(|(of, _)| of.contains('/')) else {
                    continue;
                };
                produce(&Site::brokers(), &topic, [(of, bytes(digits), Some(0))]);
            }
        });
        Self { port, _broker: broker, bridge }
    }

    /// Publishes each line of a file as a message.
    fn publish(&self, site: &Site, topic: &str, lines: &[String]) {
        let file = std::fs::File::open(site.file("messages", &(lines.join("\n") + "\n"))).unwrap();
        let mut publish = Command::new("mosquitto_pub");
        publish.args(["-p", &self.port.to_string(), "-t", topic, "-q", "1", "-l"]).stdin(file);
        run(&mut publish);
    }
}

/// What hexadecimal digits stand for.
fn bytes(digits: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("two hexadecimal digits");
    (0..digits.len() / 2).map(|i| byte(2 * i)).collect()
}

#[test]
#[ignore = "needs mosquitto: tests/run producers"]
fn telemetry_of_a_gateway_of_thingsboard() {
    let site = Site::new("thingsboard");
    let mqtt = Mqtt::start(&site, "v1/#");
    let start = 1_767_225_600_000;
    let message = |minute: i64| {
        let one = |device: i64, minute: i64| {
            let (ts, celsius) = (start + minute * 60_000, device as f64 * 10.0 + minute as f64 / 8.0);
            format!("{{\"ts\":{ts},\"values\":{{\"temperature\":{celsius},\"door\":\"shut\"}}}}")
        };
        // A gateway may send several readings of a device at once.
        let (first, next) = (2 * minute, 2 * minute + 1);
        format!(
            "{{\"Room A\":[{},{}],\"Room B\":[{},{}]}}",
            one(1, first),
            one(1, next),
            one(2, first),
            one(2, next)
        )
    };
    let mut messages: Vec<String> = (0..20).map(message).collect();
    keep("thingsboard.json", messages[0].as_bytes());
    messages.push("{\"Room A\":[{\"ts\":\"soon\",\"values\":{\"temperature\":1}}]}".to_owned());
    mqtt.publish(&site, "v1/gateway/telemetry", &messages);
    site.wait_written(21);
    let mut wanted = Readings::new();
    for (device, minute) in (1..=2).flat_map(|device| (0..40).map(move |minute| (device, minute))) {
        let series = ["Room A", "Room B"][device as usize - 1].to_owned();
        let value = f64::from(device) * 10.0 + f64::from(minute) / 8.0;
        wanted.entry(series).or_default().push(((start + i64::from(minute) * 60_000) * 1_000, Some(value)));
    }
    let answers = site.answer("format = \"thingsboard\"\ninterval = \"1m\"\ntargets = [\"temperature\"]");
    assert_eq!(answers.letters, [("wrong_type".to_owned(), "[0]/ts".to_owned())]);
    assert_eq!(answers.readings, wanted);
}

/// The births are gone from the topic when the second daemon starts: it knows the aliases from the first one's snapshot.
#[test]
#[ignore = "needs mosquitto and pysparkplug: tests/run producers"]
fn aliases_of_sparkplug_are_known_after_a_restart() {
    const STEPS: i64 = 40;
    let site = Site::new("sparkplug");
    let mqtt = Mqtt::start(&site, "spBv1.0/#");
    let device = |what: &[&str]| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/producers/sparkplug.py");
        run(built("../python/bin/python").arg(script).arg(mqtt.port.to_string()).args(what));
    };
    let stream = "format = \"sparkplug_b\"\ninterval = \"1s\"\ntargets = [\"offset\"]\n\
                  fields.series = [\"/source/node\", \"/source/device\"]\nfields.where = { \"/name\" = \"offset\" }";
    let wanted = |steps: std::ops::Range<i64>| {
        let reading = |step: i64| ((1_767_225_600 + step) * 1_000_000, Some((step % 5 - 3) as f64));
        Readings::from([("line-1/press".to_owned(), steps.map(reading).collect())])
    };
    device(&["births"]);
    device(&["1", "20"]);
    let written = site.wait_written(21);
    keep("sparkplug.dbirth", written[1].value.as_deref().unwrap());
    keep("sparkplug.ddata", written[2].value.as_deref().unwrap());
    let answers = site.answer(stream);
    answers.assert_all(&wanted(0..20));
    // The two metrics of the node, three others of the device's birth, and two of each message of data.
    assert_eq!(answers.filtered, 2 + 3 + 2 * 19);
    site.forget_written();
    assert_eq!(site.written(), []);
    device(&["20", &STEPS.to_string()]);
    site.wait_written(STEPS as usize - 20);
    site.answer(stream).assert_all(&wanted(0..STEPS));
}

/// A daemon that never saw the birth refuses what it can't name, and tells which alias it was.
#[test]
#[ignore = "needs mosquitto and pysparkplug: tests/run producers"]
fn data_of_sparkplug_before_its_birth_are_dead_letters() {
    let site = Site::new("sparkplug-early");
    let mqtt = Mqtt::start(&site, "spBv1.0/#");
    for what in [&["5", "8"][..], &["births"], &["8", "10"]] {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/producers/sparkplug.py");
        run(built("../python/bin/python").arg(script).arg(mqtt.port.to_string()).args(what));
    }
    site.wait_written(7);
    let answers = site.answer(
        "format = \"sparkplug_b\"\ninterval = \"1s\"\ntargets = [\"offset\"]\n\
         fields.series = \"/source/device\"\nfields.where = { \"/name\" = \"offset\" }",
    );
    assert_eq!(answers.letters, vec![("unknown_alias".to_owned(), "[0]".to_owned()); 3]);
    let steps: Vec<_> =
        answers.readings["press"].iter().map(|(time, _)| time / 1_000_000 - 1_767_225_600).collect();
    assert_eq!(steps, [0, 8, 9]);
}
