//! The OpenTelemetry Collector: metrics that it receives over OTLP leave through its Kafka exporter.

use crate::site::{Readings, Site, built, keep, post};
use crate::support::process::free_port;
use serde_json::{Value, json};
use std::time::Duration;

const STEPS: i64 = 30;
const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_767_225_600 * SECOND;

fn attribute(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// The metrics of a host at one time: a gauge of each of two processors, a sum, and a histogram.
fn request(host: &str, step: i64) -> Value {
    let time = (START + step * 10 * SECOND).to_string();
    let point = |cpu: &str, value: f64| {
        let attributes = [attribute("cpu", cpu), attribute("state", "idle")];
        json!({ "attributes": attributes, "timeUnixNano": time, "asDouble": value })
    };
    let points = [point("cpu0", idle(0, step)), point("cpu1", idle(1, step))];
    let sum = json!({ "startTimeUnixNano": START.to_string(), "timeUnixNano": time, "asInt": (step * 100).to_string() });
    let histogram = json!({
        "startTimeUnixNano": START.to_string(), "timeUnixNano": time, "count": (step + 1).to_string(), "sum": 2.5,
        "bucketCounts": [(step + 1).to_string(), "0"], "explicitBounds": [5.0]
    });
    json!({ "resourceMetrics": [{
        "resource": { "attributes": [attribute("host.name", host), attribute("os.type", "linux")] },
        "scopeMetrics": [{ "scope": { "name": "test", "version": "1" }, "metrics": [
            { "name": "system.cpu.utilization", "unit": "1", "gauge": { "dataPoints": points } },
            { "name": "requests", "sum": { "aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [sum] } },
            { "name": "latency", "unit": "ms",
              "histogram": { "aggregationTemporality": 2, "dataPoints": [histogram] } },
        ] }]
    }] })
}

fn idle(cpu: i64, step: i64) -> f64 {
    (cpu * 10 + step % 7) as f64 / 32.0
}

/// What the collector writes in this encoding for two hosts.
fn collect(name: &str, encoding: &str, file: &str) -> Site {
    let site = Site::new(name);
    let (receive, brokers, topic) = (free_port(), Site::brokers(), site.topic("in"));
    let config = format!(
        "receivers: {{ otlp: {{ protocols: {{ http: {{ endpoint: \"127.0.0.1:{receive}\" }} }} }} }}\n\
         exporters:\n  kafka:\n    brokers: [\"{brokers}\"]\n    sending_queue: {{ enabled: false }}\n    \
         metrics: {{ topic: {topic}, encoding: {encoding} }}\n\
         service:\n  telemetry: {{ metrics: {{ level: none }} }}\n  \
         pipelines: {{ metrics: {{ receivers: [otlp], exporters: [kafka] }} }}\n"
    );
    let mut command = built("otelcol-kafka");
    command.arg("--config").arg(site.file("collector.yaml", &config));
    let mut collector = site.start("collector", command);
    for step in 0..STEPS {
        for host in ["web-1", "web-2"] {
            let body = request(host, step).to_string();
            assert_eq!(post(receive, "/v1/metrics", "application/json", body.as_bytes()), 200);
        }
    }
    // The exporter answers only once the broker has the record.
    let written = site.wait_written(2 * STEPS as usize);
    collector.signal(libc::SIGTERM);
    collector.wait(Duration::from_secs(60));
    keep(file, written[0].value.as_deref().unwrap());
    site
}

#[test]
#[ignore = "needs the OpenTelemetry Collector: tests/run producers"]
fn each_data_point_of_the_collector_has_a_forecast() {
    for (name, encoding, file) in [
        ("otlp-proto", "otlp_proto", "collector.otlp_proto"),
        ("otlp-json", "otlp_json", "collector.otlp_json"),
    ] {
        let site = collect(name, encoding, file);
        let mut wanted = Readings::new();
        for (host, cpu) in ["web-1", "web-2"].into_iter().flat_map(|host| [(host, 0), (host, 1)]) {
            let at = |step: i64| ((START + step * 10 * SECOND) / 1_000, Some(idle(cpu, step)));
            let series =
                format!("system.cpu.utilization/host.name={host},os.type=linux/cpu=cpu{cpu},state=idle");
            wanted.insert(series, (0..STEPS).map(at).collect());
        }
        let lines = "targets = [\"idle\"]\ninterval = \"10s\"\n\
                     fields.where = { \"/name\" = \"system.cpu.utilization\" }";
        let answers = site.answer(&format!("format = \"{encoding}\"\n{lines}"));
        answers.assert_all(&wanted);
        // A sum and a histogram of each host at each time.
        assert_eq!(answers.filtered, 4 * STEPS as usize);
    }
}
