//! A running server, queried over plain sockets.

use super::{AdminCommand, CommandSender, Refusal, Server};
use crate::domain::{
    Degraded, EventTime, Levels, ModelVersion, Offset, Partition, StreamName, TopicPartition,
};
use crate::telemetry::*;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect(&self.body)
    }

    /// A problem detail repeats the response's status.
    fn problem(&self) -> Value {
        assert!(self.head.contains("content-type: application/problem+json"), "{}", self.head);
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        assert_eq!(problem["type"], "about:blank");
        problem
    }
}

fn ask(address: SocketAddr, request: &str) -> Answer {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect(&text);
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_ascii_lowercase(), body: body.into() }
}

fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
}

fn power() -> StreamName {
    StreamName::new("power").unwrap()
}

fn shard(state: ShardState) -> (TopicPartition, ShardStatus) {
    let at = TopicPartition { topic: "meters".into(), partition: Partition(2) };
    (at, ShardStatus { state, series: 1_200, last_offset: Some(Offset(99)), lag: Some(5) })
}

fn started(stall_after: Duration) -> (Server, Board, Metrics) {
    let leads = vec![1, 2, 4];
    let shape =
        StreamShape { name: power(), levels: Levels::new(vec![]), leads, experts: vec!["mixture".into()] };
    let metrics = Metrics::new(&[shape]);
    let board = Board::new(&BoardOptions { workers: 1, stall_after, streams: vec![power()] });
    let (commands, _) = CommandSender::new(None);
    let server = Server::start(([127, 0, 0, 1], 0).into(), metrics.clone(), board.clone(), commands).unwrap();
    (server, board, metrics)
}

fn quiet() -> (Server, Board, Metrics) {
    started(Duration::from_secs(60))
}

#[test]
fn metrics_are_text() {
    let (server, _, metrics) = quiet();
    metrics.stream(&power()).readings.inc_by(7);
    let answer = get(server.address(), "/metrics");
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
    assert!(answer.body.contains("tidecast_readings_total{stream=\"power\"} 7"));
}

#[test]
fn readiness_says_what_it_waits_for() {
    let (server, board, _) = quiet();
    let answer = get(server.address(), "/readyz");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.problem()["detail"], "worker 0 waits for its first assignment");
    let (at, status) = shard(ShardState::Restoring);
    board.shard(0, &power(), &at, status);
    board.assigned(0);
    let problem = get(server.address(), "/readyz").problem();
    assert_eq!(problem["detail"], "stream power: shard meters[2] is restoring");
    assert_eq!(problem["restoring"][0]["partition"], 2);
    board.shard(0, &power(), &at, shard(ShardState::Running).1);
    assert_eq!(get(server.address(), "/readyz").status, 200);
    board.stopping();
    assert_eq!(get(server.address(), "/readyz").problem()["stopping"], true);
}

#[test]
fn a_hung_worker_ends_liveness_and_nothing_else() {
    let (server, board, _) = started(Duration::from_millis(50));
    board.beat(0);
    std::thread::sleep(Duration::from_millis(120));
    let answer = get(server.address(), "/livez");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.problem()["workers"][0], 0);
    assert_eq!(get(server.address(), "/metrics").status, 200);
    let (server, ..) = quiet();
    assert_eq!(get(server.address(), "/livez").body, "live\n");
}

#[test]
fn streams_are_listed_and_shown() {
    let (server, board, _) = quiet();
    let (at, status) = shard(ShardState::Running);
    board.shard(0, &power(), &at, status);
    board.model(&power(), Some(ModelVersion(12)), None);
    let list = get(server.address(), "/api/v1/streams").json();
    assert_eq!(list["streams"][0]["name"], "power");
    assert_eq!(list["streams"][0]["model"], "power-000012");
    assert_eq!(list["streams"][0]["series"], 1_200);
    let time = |s: i64| EventTime::from_micros(s * 1_000_000).unwrap();
    let forecast = ShownForecast {
        origin: time(60),
        times: vec![time(120)],
        yhat: vec![1.5],
        levels: vec![0.1, 0.9],
        quantiles: vec![1.0, 2.0],
    };
    let readings = vec![(time(0), 1.0), (time(60), f64::NAN)];
    let target = ShownTarget { name: "kw".into(), readings, forecast: Some(forecast) };
    board.showcase(&power(), Showcase { series: "meter-17".into(), targets: vec![target] });
    let one = get(server.address(), "/api/v1/streams/power").json();
    assert_eq!(one["shards"][0]["last_offset"], 99);
    assert_eq!(one["showcase"]["targets"]["kw"]["values"][1], Value::Null);
    assert_eq!(one["showcase"]["targets"]["kw"]["forecast"]["quantiles"]["0.9"][0], 2.0);
    assert_eq!(one["showcase"]["targets"]["kw"]["forecast"]["times"][0], "1970-01-01T00:02:00Z");
}

#[test]
fn errors_are_problem_details() {
    let (server, ..) = quiet();
    for path in ["/nothing", "/api/v1/streams/absent", "/api/v1/streams/%FF", "/api/v1/streams/a%2Fb"] {
        let answer = get(server.address(), path);
        assert_eq!(answer.status, 404, "{path}");
        answer.problem();
    }
    let request = "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let answer = ask(server.address(), request);
    assert_eq!(answer.status, 405);
    assert!(answer.head.contains("allow: get,head"), "{}", answer.head);
    answer.problem();
    let request = "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\nConnection: close\r\n\r\n";
    let answer = ask(server.address(), request);
    assert_eq!(answer.status, 413);
    answer.problem();
}

fn post(address: SocketAddr, path: &str, token: &str) -> Answer {
    let token = if token.is_empty() { String::new() } else { format!("Authorization: {token}\r\n") };
    let request =
        format!("POST {path} HTTP/1.1\r\nHost: x\r\n{token}Content-Length: 0\r\nConnection: close\r\n\r\n");
    ask(address, &request)
}

#[test]
fn changes_need_the_token_and_are_off_without_one() {
    let promote = "/api/v1/streams/power/models/power-000007/promote";
    let (server, board, metrics) = quiet();
    for path in [promote, "/api/v1/streams/power/rollback", "/api/v1/streams/power/retrain"] {
        let answer = post(server.address(), path, "Bearer ");
        assert_eq!(answer.status, 403, "{path}");
        answer.problem();
    }
    let (commands, asked) = CommandSender::new(Some("a-token-of-some-length".into()));
    let server = Server::start(([127, 0, 0, 1], 0).into(), metrics, board, commands).unwrap();
    let at = server.address();
    let carried_out = std::thread::spawn(move || {
        asked
            .iter()
            .map(|asked| {
                let done = match &asked.command {
                    AdminCommand::Promote(version) => Ok(serde_json::json!({ "announced": version })),
                    AdminCommand::RollBack => Err(Refusal::Conflict("there is nothing to go back to".into())),
                    AdminCommand::Retrain => Err(Refusal::Unavailable("the store is away".into())),
                    AdminCommand::List => Ok(serde_json::json!({ "models": [] })),
                };
                asked.answer.send(done).unwrap();
                asked.command
            })
            .collect::<Vec<_>>()
    });
    for token in
        ["", "Bearer", "Bearer a-token-of-some-lengtH", "Bearer a-token", "Basic a-token-of-some-length"]
    {
        let answer = post(at, promote, token);
        assert_eq!(answer.status, 401, "{token}");
        assert!(answer.head.contains("www-authenticate: bearer"), "{}", answer.head);
        answer.problem();
    }
    let right = "bearer a-token-of-some-length";
    let answer = post(at, promote, right);
    assert_eq!((answer.status, &answer.json()["announced"]), (200, &"power-000007".into()));
    assert_eq!(post(at, "/api/v1/streams/power/rollback", right).problem()["status"], 409);
    assert_eq!(post(at, "/api/v1/streams/power/retrain", right).problem()["status"], 503);
    assert_eq!(post(at, "/api/v1/streams/absent/rollback", right).problem()["status"], 404);
    // Reading needs no token, and GET changes nothing.
    assert_eq!(get(at, "/api/v1/streams/power/models").json()["models"], serde_json::json!([]));
    let answer = get(at, promote);
    assert!(answer.status == 405 && answer.head.contains("allow: post"), "{}", answer.head);
    server.stop();
    let wanted = [
        AdminCommand::Promote("power-000007".into()),
        AdminCommand::RollBack,
        AdminCommand::Retrain,
        AdminCommand::List,
    ];
    assert_eq!(carried_out.join().unwrap(), wanted);
}

#[test]
fn the_page_escapes_what_producers_name() {
    let (server, board, _) = quiet();
    let target = ShownTarget { name: "<i>".into(), readings: Vec::new(), forecast: None };
    let series = "<script>alert(1)</script>".to_owned();
    board.showcase(&power(), Showcase { series, targets: vec![target] });
    let expert = ExpertScore { expert: "<b>last".into(), error: vec![0.5, f64::NAN] };
    board.scores(0, &power(), Scores { leads: vec![1, 4], experts: vec![expert], scored: 9 });
    board.model(&power(), None, Some(Degraded::Warming));
    let answer = get(server.address(), "/");
    assert_eq!(answer.status, 200);
    assert!(
        answer.head.contains("content-type: text/html") && answer.head.contains("content-security-policy")
    );
    assert!(
        !answer.body.contains("<script>") && !answer.body.contains("<b>last") && !answer.body.contains("NaN")
    );
    assert!(answer.body.contains("experts only (warming)") && answer.body.contains("class=\"best\">0.500"));
    assert_eq!(get(server.address(), "/refresh.js").status, 200);
}

#[test]
fn the_page_shows_who_counts_and_folds_away_the_others() {
    let (server, board, _) = quiet();
    let names = ["last", "seasonal", "linear_holt", "experts", "lstm", "mixture"];
    let score = |name: &&str| ExpertScore { expert: (*name).into(), error: vec![0.5] };
    board.scores(
        0,
        &power(),
        Scores { leads: vec![1], experts: names.iter().map(score).collect(), scored: 9 },
    );
    let body = get(server.address(), "/").body;
    let (shown, folded) = body.split_once("<details id=\"e-power\">").unwrap();
    for name in names {
        let row = format!("<th scope=\"row\">{name}</th>");
        assert_eq!(
            (shown.contains(&row), folded.contains(&row)),
            (name != "linear_holt", name == "linear_holt")
        );
    }
}

#[test]
fn a_stop_frees_the_address_even_with_an_idle_client() {
    let (server, ..) = quiet();
    let address = server.address();
    let mut idle = TcpStream::connect(address).unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nHo").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let start = Instant::now();
    server.stop();
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_taken_address_is_said_at_once() {
    let (server, board, metrics) = quiet();
    let error = Server::start(server.address(), metrics, board, CommandSender::new(None).0).err().unwrap();
    assert!(error.to_string().contains(&format!("can't listen on {}", server.address())), "{error}");
}

/// Some label values come from rooms that telemetry must not import. They are compared with the declarations here.
#[test]
fn labels_have_the_values_that_are_declared() {
    use crate::codec::Reason;
    use crate::domain::AnomalyKind::{Shift, Spike, Streak};
    use crate::scoring::DriftKind;
    use crate::training::Why;

    let beside = [Discard::Late.as_str(), "forecast_too_large"];
    let reasons: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).chain(beside).collect();
    assert_eq!(label_words("dead_letters_total", "reason"), reasons);
    let kinds: Vec<_> = [Spike, Streak, Shift].iter().map(|kind| kind.name()).chain(["none"]).collect();
    assert_eq!(label_words("anomalies_total", "kind"), kinds);
    assert_eq!(label_words("drift_total", "kind"), DriftKind::ALL.map(DriftKind::name));
    let early = [Why::Drift, Why::Request].map(Why::as_str);
    assert_eq!(label_words("training_rounds_hastened_total", "why"), early);
}
