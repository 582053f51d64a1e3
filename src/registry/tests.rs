use super::{Error, RegistryClient, SchemaCache};
use crate::config::{SchemaRegistry, from_toml};
use crate::schemas::{Lookup, SchemaId, SchemaKind, SchemaSource, SchemaText};
use crate::telemetry::Metrics;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

fn config(urls: &str, lines: &str) -> SchemaRegistry {
    let text = format!(
        "kafka.brokers = \"b\"\n[registry]\nurls = [{urls}]\n{lines}\n\
         [streams.s]\ntopics = [\"in\"]\ninterval = \"10s\"\ntargets = [\"kw\"]"
    );
    from_toml(&text, &[]).unwrap_or_else(|e| panic!("{e}")).registry.unwrap()
}

/// Answers one request a connection by `answer`, which has its first line, its authorisation and its body.
fn serve(listener: TcpListener, answer: impl Fn(&str, &str, &str) -> (u16, String) + Send + 'static) {
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            let (mut first, mut login, mut length) = (String::new(), String::new(), 0);
            lines.read_line(&mut first).unwrap();
            loop {
                let mut line = String::new();
                lines.read_line(&mut line).unwrap();
                let (name, value) = line.split_once(':').unwrap_or_default();
                match name.to_ascii_lowercase().as_str() {
                    "authorization" => value.trim().clone_into(&mut login),
                    "content-length" => length = value.trim().parse().unwrap(),
                    _ => {}
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            lines.read_exact(&mut body).unwrap();
            let (status, text) = answer(&first, &login, &String::from_utf8(body).unwrap());
            let head =
                format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", text.len());
            let _ = stream.write_all((head + &text).as_bytes());
        }
    });
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn answer(first: &str, login: &str, body: &str) -> (u16, String) {
    if login != "Basic dTpw" {
        return (401, "who?".into());
    }
    let path = first.split(' ').nth(1).unwrap();
    match path {
        "/api/schemas/ids/1" => (
            200,
            r#"{"schema":"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"m\",\"type\":\"plant.Meter\"}]}",
                "references":[{"name":"plant.Meter","subject":"a/b","version":3}]}"#
                .into(),
        ),
        "/api/subjects/a%2Fb/versions/3" => (
            200,
            r#"{"subject":"a/b","id":2,"version":3,"schema":"{\"type\":\"fixed\",\"name\":\"plant.Meter\",\"size\":4}"}"#
                .into(),
        ),
        "/api/schemas/ids/2" => (200, r#"{"schema":"{\"type\":\"nothing\"}"}"#.into()),
        "/api/schemas/ids/3" => (404, r#"{"error_code":40403,"message":"Schema 3 not found"}"#.into()),
        "/api/schemas/ids/4" => (404, "<html>a proxy</html>".into()),
        "/api/schemas/ids/5" => (503, r#"{"error_code":50003,"message":"no leader"}"#.into()),
        "/api/schemas/ids/6" => (200, "<html>a login page</html>".into()),
        "/api/subjects/s-value/versions" if body.contains("\"PROTOBUF\"") => (200, r#"{"id":9}"#.into()),
        "/api/subjects/s-value/versions" => {
            (409, r#"{"error_code":409,"message":"not compatible"}"#.into())
        }
        other => panic!("{other}"),
    }
}

#[test]
fn what_a_registry_answers_is_told_apart() {
    let (listener, address) = listen();
    serve(listener, answer);
    let (closed, dead) = listen();
    drop(closed);
    let urls = format!("\"http://{dead}\", \"http://{address}/api/\"");
    let client = RegistryClient::new(&config(&urls, "user = \"u\"\npassword = \"p\"")).unwrap();
    let ask = |number| client.schema(SchemaId::Number(number));
    let found = ask(1).unwrap();
    assert_eq!((found.kind, found.references[0].0.as_str()), (SchemaKind::Avro, "plant.Meter"));
    let find = |number| client.look_up(SchemaId::Number(number));
    assert!(matches!(find(1), Lookup::Found(_)), "{:?}", find(1));
    assert!(matches!(find(2), Lookup::Unusable(_)));
    assert_eq!(ask(3), Err(Error::NotFound("Schema 3 not found".into())));
    for number in [4, 5, 6] {
        assert!(matches!(ask(number), Err(Error::Away(_))), "{number}: {:?}", ask(number));
    }
    let schema = |kind| SchemaText { kind, text: "…".into(), references: Vec::new() };
    assert_eq!(client.register("s-value", &schema(SchemaKind::Protobuf)), Ok(SchemaId::Number(9)));
    assert_eq!(
        client.register("s-value", &schema(SchemaKind::Avro)),
        Err(Error::Refused("not compatible".into()))
    );
    let stranger = RegistryClient::new(&config(&format!("\"http://{address}/api\""), "")).unwrap();
    assert!(matches!(stranger.schema(SchemaId::Number(1)), Err(Error::Away(cause)) if cause.contains("401")));
}

#[test]
fn a_registry_that_comes_late_is_asked_again() {
    let (listener, address) = listen();
    drop(listener);
    let urls = format!("\"http://{address}/api\"");
    let cache =
        SchemaCache::start(&config(&urls, "user = \"u\"\npassword = \"p\""), &Metrics::new(&[])).unwrap();
    let look = |number| cache.look_up(SchemaId::Number(number));
    assert!(matches!(look(1), Lookup::Pending));
    serve(TcpListener::bind(address).unwrap(), answer);
    let until = Instant::now() + Duration::from_secs(60);
    while matches!(look(1), Lookup::Pending) || matches!(look(3), Lookup::Pending) {
        assert!(Instant::now() < until, "it is not asked again");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(matches!(look(1), Lookup::Found(_)) && matches!(look(3), Lookup::Unknown));
}

#[test]
#[ignore = "needs a registry: TIDECAST_TEST_REGISTRY has its address"]
fn a_real_registry_registers_and_tells() {
    let url = std::env::var("TIDECAST_TEST_REGISTRY").expect("the address of an empty registry");
    let client = RegistryClient::new(&config(&format!("\"{url}\""), "")).unwrap();
    let avro = |fields: &str| SchemaText {
        kind: SchemaKind::Avro,
        text: format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#),
        references: Vec::new(),
    };
    let (a, b) = (r#"{"name":"a","type":"long"}"#, r#",{"name":"b","type":"long"}"#);
    let id = client.register("tidecast-a", &avro(a)).unwrap();
    assert_eq!(client.register("tidecast-a", &avro(a)), Ok(id));
    assert_eq!(client.schema(id).unwrap().kind, SchemaKind::Avro);
    assert!(client.is_compatible("tidecast-a", &avro(a)).unwrap());
    println!("with a field more: {:?}", client.is_compatible("tidecast-a", &avro(&format!("{a}{b}"))));
    let unit = "syntax = \"proto3\";\npackage plant;\nmessage Unit { int32 a = 1; }\n";
    let proto = SchemaText { kind: SchemaKind::Protobuf, text: unit.into(), references: Vec::new() };
    let id = client.register("tidecast-p", &proto).unwrap();
    assert!(matches!(client.look_up(id), Lookup::Found(_)), "{:?}", client.look_up(id));
    assert!(matches!(client.schema(SchemaId::Number(999_999)), Err(Error::NotFound(_))));
}
