//! A wrong config is refused with every fault at once, each with its key and what is allowed.

use std::time::Duration;
use tidecast::config::{
    Bucket, Cloud, Device, Every, FieldSource, LearnEvery, LoadError, SeasonsFrom, StoreLocation, TimeFormat,
    from_toml, load, reference, schema,
};

fn faults(text: &str) -> Vec<String> {
    match from_toml(text, &[]) {
        Err(LoadError::Faulty(faults)) => faults.iter().map(ToString::to_string).collect(),
        Err(other) => panic!("{other}"),
        Ok(_) => Vec::new(),
    }
}

const LEAST: &str = r#"
[kafka]
brokers = "localhost:9092"
[streams.power]
topics = ["meters"]
interval = "1h"
targets = ["kw"]
"#;

#[test]
fn the_least_config_is_right_and_has_the_documented_defaults() {
    let config = from_toml(LEAST, &[]).unwrap();
    let stream = &config.streams[0];
    assert_eq!(stream.forecast_topic, "power.forecasts");
    assert_eq!(stream.dead_letter_topic, "power.dead-letters");
    assert_eq!(stream.seasons, [24, 168]);
    assert_eq!((stream.horizon, stream.levels.len()), (24, 3));
    assert_eq!((&*config.kafka.group, &*config.kafka.models_topic), ("tidecast", "tidecast.models"));
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:9464");
    assert_eq!(config.store.location, StoreLocation::Folder("/var/lib/tidecast".into()));
    let snapshots = &config.snapshots;
    assert!(snapshots.enabled);
    assert_eq!((snapshots.every, snapshots.keep), (Duration::from_secs(60), 3));
    assert_eq!(snapshots.restore_timeout, Duration::from_secs(60));
}

#[test]
fn seasons_are_given_or_the_intervals_or_sought() {
    let config = |line: &str| from_toml(&format!("{LEAST}{line}"), &[]);
    let seasons = |line: &str| {
        let stream = config(line).unwrap().streams[0].clone();
        (stream.seasons.clone(), stream.seasons_from, stream.window)
    };
    assert_eq!(seasons(""), (vec![24, 168], SeasonsFrom::Interval, 4_096));
    assert_eq!(seasons("seasons = [\"1w\", 12]"), (vec![12, 168], SeasonsFrom::Config, 4_096));
    assert_eq!(seasons("seasons = \"auto\""), (vec![24, 168], SeasonsFrom::Undetected, 4_096));
    assert!(faults(&format!("{LEAST}seasons = \"day\""))[0].contains("must be a list or \"auto\""));

    let secret = "store = { url = \"s3://b\", properties = { aws_secret_access_key = \"open sesame\" } }\n";
    let sought = from_toml(&format!("{secret}{LEAST}seasons = \"auto\"\nwindow = 1000"), &[]).unwrap();
    let name = sought.streams[0].name.clone();
    let found = sought.clone().with_seasons(&name, &[20], SeasonsFrom::Past).unwrap();
    assert_eq!((&found.streams[0].seasons, found.streams[0].seasons_from), (&vec![20], SeasonsFrom::Past));
    assert!(!format!("{found:?}").contains("sesame"));
    let said = sought.with_seasons(&name, &[9_000], SeasonsFrom::Past).unwrap_err().to_string();
    assert!(said.contains("streams.power.window: is 1000; with these seasons"), "{said}");
}

#[test]
fn forecasts_are_thinned_to_one_of_so_many_readings_or_so_much_time() {
    let stream = |lines: &str| {
        let text = LEAST.replace("interval = \"1h\"", lines);
        from_toml(&text, &[]).map(|config| config.streams[0].emit_every).map_err(|e| e.to_string())
    };
    assert_eq!(stream("interval = \"1m\""), Ok(1));
    assert_eq!(stream("interval = \"1m\"\nemit_every = 15"), Ok(15));
    assert_eq!(stream("interval = \"1m\"\nemit_every = \"1h\""), Ok(60));
    assert_eq!(stream("interval = \"irregular\"\nemit_every = \"10s\""), Ok(10_000_000));
    for (lines, said) in [
        (
            "interval = \"1m\"\nemit_every = \"90s\"",
            "is \"90s\"; it must be a whole multiple of the interval",
        ),
        (
            "interval = \"1m\"\nemit_every = \"soon\"",
            "is \"soon\"; it must be a whole multiple of the interval",
        ),
        ("interval = \"1m\"\nemit_every = 0", "emit_every"),
        ("interval = \"irregular\"\nemit_every = 5", "must be a duration on an irregular stream"),
    ] {
        let found = stream(lines).unwrap_err();
        assert!(found.contains("streams.power.emit_every: ") && found.contains(said), "{found}");
    }
}

#[test]
fn a_number_of_origins_to_learn_at_has_no_factor_in_common_with_a_season() {
    let stream = |lines: &str| {
        let text = LEAST.replace("interval = \"1h\"", &format!("interval = \"1h\"\n{lines}"));
        from_toml(&text, &[]).map(|config| config.streams[0].learn_every).map_err(|e| e.to_string())
    };
    assert_eq!(stream(""), Ok(LearnEvery::Auto));
    assert_eq!(stream("learn_every = \"auto\""), Ok(LearnEvery::Auto));
    for every in [1, 5, 11, 997] {
        assert_eq!(stream(&format!("learn_every = {every}")), Ok(LearnEvery::Fixed(every)));
    }
    for (lines, said) in [
        ("learn_every = 6", "is 6, which has a factor in common with the season of 24 steps: say 5 or 11"),
        ("learn_every = 2", "season of 24 steps: say 1 or 5"),
        ("learn_every = 10\nseasons = [7, 25]", "season of 25 steps: say 9 or 11"),
        ("learn_every = 0", "is 0"),
        ("learn_every = \"often\"", "learn_every"),
    ] {
        let found = stream(lines).unwrap_err();
        assert!(found.contains("streams.power.learn_every") && found.contains(said), "{found}");
    }
}

#[test]
fn a_transform_has_a_name_and_a_value_for_each_limit() {
    let found = |lines: &str| faults(&format!("{LEAST}{lines}"));
    assert!(found("transform = \"log1p\"\nlimits = [{ target = \"kw\", below = 0 }]").is_empty());
    assert!(found("transform = \"asinh\"\nlimits = [{ target = \"kw\", below = -5 }]").is_empty());
    assert!(found("transform = \"log\"")[0].contains("allowed are \"none\", \"log1p\", \"asinh\""));
    let said = &found("transform = \"log1p\"\nlimits = [{ target = \"kw\", below = -5 }]")[0];
    assert!(said.contains("streams.power.limits: has a value that log1p does not have"), "{said}");
}

#[test]
fn a_position_is_two_targets_in_degrees() {
    let text = LEAST.replace("[\"kw\"]", "[\"speed\", \"lat\", \"lon\"]");
    let stream = |lines: &str| from_toml(&format!("{text}{lines}"), &[]).map(|c| c.streams[0].clone());
    let position = "position = { latitude = \"lat\", longitude = \"lon\" }\n";
    let found = stream(position).unwrap().position.unwrap();
    assert_eq!((found.latitude, found.longitude), (1, 2));
    assert!(stream("").unwrap().position.is_none());
    assert!(
        stream(&format!(
            "{position}limits = [{{ target = \"lon\", above = 350 }}, {{ target = \"speed\", above = 999 }}]"
        ))
        .is_ok()
    );
    for (lines, said) in [
        ("position = { latitude = \"lat\" }", "position.longitude: is missing"),
        (
            "position = { latitude = \"lat\", longitude = \"long\" }",
            "is \"long\", which is none of the stream's targets",
        ),
        (
            "position = { latitude = \"lat\", longitude = \"lat\" }",
            "longitude: is the same target as the latitude",
        ),
        (
            "position = { latitude = \"lat\", longitude = \"lon\", height = \"z\" }",
            "position.height: is not a known key",
        ),
        ("position = [\"lat\", \"lon\"]", "position: must be a table"),
        (
            &format!("{position}transform = \"asinh\""),
            "position: is in degrees, which transform = \"asinh\" would bend",
        ),
        (
            &format!("{position}limits = [{{ target = \"lat\", above = 100 }}]"),
            "limits: has 100, which is no latitude",
        ),
        (
            &format!("{position}limits = [{{ target = \"lon\", above = -200 }}]"),
            "limits: has -200, which is no longitude",
        ),
    ] {
        let found = faults(&format!("{text}{lines}")).join("\n");
        assert!(found.contains("streams.power.") && found.contains(said), "{found}");
    }
}

#[test]
fn what_is_differenced_has_no_mean_to_correct() {
    let found = |lines: &str| faults(&format!("{LEAST}{lines}")).join("\n");
    assert_eq!(found("difference = true"), "");
    assert_eq!(found("difference = true\nmodel = { base = \"last\" }"), "");
    let said = found("difference = true\nmodel = { base = \"none\" }");
    assert!(said.contains("streams.power.model.base: is the mean of where a series stood"), "{said}");
    assert!(found("difference = \"yes\"").contains("streams.power.difference: must be true or false"));
}

#[test]
fn rounds_are_by_readings_or_by_event_time_and_promotion_has_its_rules() {
    let stream = |lines: &str| {
        from_toml(&format!("{LEAST}{lines}\n"), &[]).unwrap_or_else(|e| panic!("{e}")).streams[0].clone()
    };
    let least = stream("");
    assert_eq!(least.training.schedule.every, Every::Readings(168));
    let rules = least.promotion;
    assert_eq!((rules.confidence, rules.gain, rules.shadow, rules.watch), (0.5, 0.02, false, 3));
    let other = stream("training = { every = \"12h\" }\npromotion = { confidence = 0.99, watch = 0 }");
    assert_eq!(other.training.schedule.every, Every::Time(Duration::from_secs(12 * 3_600)));
    assert_eq!((other.promotion.confidence, other.promotion.watch), (0.99, 0));
    for (lines, fault) in [
        ("training = { every = \"soon\" }", "streams.power.training.every"),
        ("training = { every = 0 }", "streams.power.training.every"),
        ("promotion = { confidence = 1.0 }", "streams.power.promotion.confidence"),
        ("promotion = { gain = -0.1 }", "streams.power.promotion.gain"),
        ("promotion = { rollback_confidence = 0.2 }", "streams.power.promotion.rollback_confidence"),
        ("promotion = { shadows = true }", "streams.power.promotion.shadows"),
    ] {
        let said = from_toml(&format!("{LEAST}{lines}\n"), &[]).unwrap_err().to_string();
        assert!(said.contains(fault), "{lines}: {said}");
    }
}

#[test]
fn a_token_is_long_enough_and_none_means_that_nothing_can_be_changed() {
    assert_eq!(from_toml(LEAST, &[]).unwrap().http.token, None);
    let token = |token: &str| from_toml(LEAST, &[("http.token", token.to_owned())]).map(|c| c.http.token);
    assert_eq!(token("0123456789abcdef").unwrap().as_deref(), Some("0123456789abcdef"));
    for wrong in ["short", "0123456789 abcdef"] {
        let said = token(wrong).unwrap_err().to_string();
        assert!(said.contains("http.token") && !said.contains(wrong), "{said}");
    }
}

#[test]
fn a_store_is_a_folder_or_a_bucket() {
    let place = |url: &str| from_toml(LEAST, &[("store.url", url.to_owned())]).map(|c| c.store.location);
    let bucket = |cloud, prefix: &str| {
        StoreLocation::Bucket(Bucket { cloud, name: "my-bucket".to_owned(), prefix: prefix.to_owned() })
    };
    assert_eq!(place("s3://my-bucket/a/b/").unwrap(), bucket(Cloud::S3, "a/b"));
    assert_eq!(place("gs://my-bucket").unwrap(), bucket(Cloud::Google, ""));
    assert_eq!(place("az://my-bucket/").unwrap(), bucket(Cloud::Azure, ""));
    assert_eq!(place("s3://my-bucket/a/b").unwrap().to_string(), "s3://my-bucket/a/b");
    for wrong in
        ["/var/lib", "file://var", "file:/var", "ftp://a", "s3://", "s3:///a", "s3://a/../b", "s3://k:s@a"]
    {
        let said = place(wrong).unwrap_err().to_string();
        assert!(said.contains(&format!("store.url: is \"{wrong}\"; allowed are \"file:///an")), "{said}");
    }
}

#[test]
fn a_device_is_the_cpu_or_a_gpu_that_the_program_was_built_for() {
    let device = |name: &str| {
        from_toml(LEAST, &[("streams.power.model.device", name.to_owned())])
            .map(|c| c.streams[0].model.device)
            .map_err(|e| e.to_string())
    };
    assert_eq!(from_toml(LEAST, &[]).unwrap().streams[0].model.device, Device::Auto);
    assert_eq!(device("auto"), Ok(Device::Auto));
    assert_eq!(device("cpu"), Ok(Device::Cpu));
    if cfg!(feature = "cuda") {
        assert_eq!(device("cuda:1"), Ok(Device::Cuda(1)));
    } else {
        let said = device("cuda:1").unwrap_err();
        assert!(said.contains("streams.power.model.device: is \"cuda:1\", but"), "{said}");
        assert!(said.contains("`cargo build --release --features cuda`"), "{said}");
    }
    for wrong in ["gpu", "cuda", "cuda:", "cuda:-1", "cuda:a"] {
        let said = device(wrong).unwrap_err();
        let allowed = "allowed are \"auto\", \"cpu\", \"cuda:N\"";
        assert!(said.contains(&format!("model.device: is \"{wrong}\"; {allowed}")), "{said}");
    }
}

#[test]
fn a_stores_properties_are_known_and_never_printed() {
    let text = |url: &str, properties: &str| {
        format!("{LEAST}\n[store]\nurl = \"{url}\"\n[store.properties]\n{properties}\n")
    };
    let right = "aws_secret_access_key = \"open sesame\"\naws_allow_http = true\ntimeout = \"9s\"";
    let config = from_toml(&text("s3://b", right), &[]).unwrap();
    let said = format!("{:?}", config.store);
    assert!(said.contains("aws_secret_access_key") && !said.contains("sesame"), "{said}");
    let mut properties = config.store.properties.clone();
    properties.sort();
    let wanted = [("aws_allow_http", "true"), ("aws_secret_access_key", "open sesame"), ("timeout", "9s")];
    assert_eq!(properties, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let found = faults(&text("s3://b", "aws_secret_acess_key = \"open sesame\"\naws_endpoint = [1]"));
    assert_eq!(
        found,
        [
            "store.properties.aws_endpoint: must be a string, not a list",
            "store.properties.aws_secret_acess_key: is not a known key; did you mean \"aws_secret_access_key\"?",
        ]
    );
    let found = faults(&text("file:///tmp", "aws_region = \"eu-west-3\""));
    assert!(found[0].starts_with("store.properties.aws_region: means nothing to a folder"), "{found:?}");
}

/// A process of its own: the environment belongs to all its threads.
#[test]
fn a_stores_properties_come_from_the_environment_too() {
    const CHILD: &str = "TIDECAST_TEST_CONFIG_CHILD";
    if std::env::var_os(CHILD).is_none() {
        let run = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_stores_properties_come_from_the_environment_too"])
            .env(CHILD, "1")
            .env("AWS_ACCESS_KEY_ID", "outer")
            .env("AWS_SECRET_ACCESS_KEY", "sesame")
            .env("AWS_SESSION_TOKEN", "token")
            .env("AWS_ENDPOINT_URL_S3", "http://outer")
            .env("TIMEOUT", "no variable of a store")
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tidecast.toml");
    let store = |properties: &str| {
        let text = format!("{LEAST}\n[store]\nurl = \"s3://b\"\n[store.properties]\n{properties}\n");
        std::fs::write(&file, text).unwrap();
        let properties = load(&file).unwrap().store.properties;
        properties.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
    };
    let outer = |name: &str, value: &str| format!("aws_{name}={value}");
    let all = store("");
    for one in [
        outer("access_key_id", "outer"),
        outer("secret_access_key", "sesame"),
        outer("session_token", "token"),
    ] {
        assert!(all.contains(&one), "{one} is not in {all:?}");
    }
    assert_eq!(all.len(), 4, "{all:?}");
    // The config goes first, and what belongs together does not come from two places.
    let mixed = store("aws_access_key_id = \"inner\"\naws_endpoint = \"http://inner\"");
    let wanted = ["aws_access_key_id=inner", "aws_endpoint=http://inner", "aws_secret_access_key=sesame"];
    assert_eq!(mixed, wanted);
}

#[test]
fn faulty_snapshots_are_refused() {
    let found = faults(&format!("{LEAST}\n[snapshots]\nevery = \"2d\"\nkeep = 0\nenabled = 1\nkept = 3\n"));
    let expected = [
        "snapshots.enabled: must be true or false, not a number",
        "snapshots.every: is \"2d\"; allowed are durations like",
        "snapshots.keep: is 0; allowed are whole numbers from 1 to 100",
        "snapshots.kept: is not a known key; did you mean \"keep\"?",
    ];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn every_fault_is_listed_with_its_key() {
    let found = faults(
        r#"
[kafka]
broker = "localhost:9092"
[kafka.properties]
"transactional.id" = "mine"
[delivery]
guarantee = "maybe"
[streams."bad name"]
topics = []
[streams.power]
topics = ["meters"]
forecast_topic = "meters"
interval = "1 fortnight"
horizon = 0
targets = ["kw", "kw"]
quantiles = [0.5, 1.5]
time_zone = "Europe/Pari"
seasons = ["90m"]
horzon = 12
[streams.power.fields]
series = "id"
[streams.power.model]
family = "transformer"
"#,
    );
    let expected = [
        "delivery.guarantee: is \"maybe\"; allowed are \"exactly-once\", \"at-least-once\"",
        "kafka.broker: is not a known key; did you mean \"brokers\"?",
        "kafka.brokers: is missing",
        "kafka.properties.transactional.id: is set by Tidecast itself",
        "streams.bad name: is not a stream's name",
        "streams.bad name.interval: is missing",
        "streams.bad name.targets: must name at least one value",
        "streams.bad name.topics: must name at least one topic",
        "streams.power.fields.series: is \"id\"; allowed are a JSON pointer",
        "streams.power.horizon: is 0; allowed are whole numbers from 1 to 1000",
        "streams.power.horzon: is not a known key; did you mean \"horizon\"?",
        "streams.power.interval: is \"1 fortnight\"",
        "streams.power.model.family: is \"transformer\"; allowed are \"lstm\", \"gru\", \"rnn\"",
        "streams.power.quantiles: 1.5 is not a quantile level",
        "streams.power.seasons: has \"90m\"",
        "streams.power.targets: names \"kw\" twice",
        "streams.power.time_zone: is \"Europe/Pari\"",
        "streams.power.topics: reads \"meters\", which streams.power.forecast_topic writes to",
    ];
    for wanted in expected {
        assert!(found.iter().any(|f| f.starts_with(wanted)), "no {wanted:?} in\n{}", found.join("\n"));
    }
    assert_eq!(found.len(), expected.len(), "{}", found.join("\n"));
}

#[test]
fn the_models_topic_is_nobody_elses() {
    let own =
        "[kafka]\nbrokers = \"b:1\"\ngroup = \"g\"\n[streams.s]\ninterval = \"1h\"\ntargets = [\"kw\"]\n";
    let found = faults(&format!("{own}topics = [\"g.models\"]\n"));
    assert_eq!(found, ["streams.s.topics: reads \"g.models\", which kafka.models_topic writes to"]);
    let found = faults(&format!("{own}topics = [\"in\"]\ndead_letter_topic = \"g.models\"\n"));
    let wanted = "streams.s.dead_letter_topic: is \"g.models\", which kafka.models_topic writes to already";
    assert_eq!(found, [wanted]);
    let named = own.replace("[streams.s]", "models_topic = \"heard\"\n[streams.s]");
    let config = from_toml(&format!("{named}topics = [\"g.models\"]\n"), &[]).unwrap();
    assert_eq!(config.kafka.models_topic, "heard");
}

#[test]
fn limits_name_a_target_and_one_side() {
    let lines = "limits = [{ target = \"kw\", above = 3 }, { target = \"kw\", below = -0.5 }]\n\
                 anomaly = { topic = \"strange\", threshold = 0.99 }\ndrift = { enabled = false }\n";
    let config = from_toml(&format!("{LEAST}{lines}"), &[]).unwrap();
    let alarms = &config.streams[0].alarms;
    let limits: Vec<(usize, f64, bool)> =
        alarms.limits.iter().map(|l| (l.target, l.value, l.above)).collect();
    assert_eq!(limits, [(0, 3.0, true), (0, -0.5, false)]);
    assert_eq!((alarms.anomaly_topic.as_deref(), alarms.drift_threshold), (Some("strange"), None));
    let found = faults(&format!(
        "{LEAST}limits = [{{ target = \"kv\", above = 3 }}, {{ target = \"kw\" }}, {{ target = \"kw\", above = \"high\" }}]\n"
    ));
    assert!(found.iter().any(|f| f.starts_with("streams.power.limits[0].target: is \"kv\"")), "{found:?}");
    assert!(found.iter().any(|f| f.starts_with("streams.power.limits[1].above: or below")), "{found:?}");
    assert!(
        found.iter().any(|f| f.starts_with("streams.power.limits[2].above: must be a number")),
        "{found:?}"
    );
    let found = faults(&format!("{LEAST}anomaly = {{ topic = \"meters\" }}\n"));
    assert!(found[0].contains("which streams.power.anomaly.topic writes to"), "{found:?}");
}

#[test]
fn a_model_knows_the_keys_of_its_family_alone() {
    let fault = |model: &str| {
        let found = faults(&format!("{LEAST}\n[streams.power.model]\n{model}\n"));
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    };
    assert!(fault("stride = 2").starts_with("streams.power.model.stride: is not a known key"));
    assert!(fault("family = \"wavenet\"\nnorm = \"layer\"").contains("norm: is not a known key"));
    assert!(fault("norm = \"batch\"").contains("layers = 2 or more"));
    assert!(fault("residual = true").contains("layers = 2 or more"));
    assert!(fault("layers = 2\nhead = \"vector_to_sequence\"").contains("must be 1"));
    assert!(fault("family = \"conv_gru\"\nkernel = 2\nstride = 3").contains("at most the kernel of 2"));
    assert!(fault("family = \"wavenet\"\nlayers = 14\nhidden = 1024").contains("at most 1048576"));
    let found =
        faults(&format!("{LEAST}\n[streams.power.training]\nlead_weights = [1, 2]\nteacher_forcing = 1\n"));
    assert!(found[0].contains("24 numbers, one for each lead"), "{found:?}");
    assert!(found[1].contains("teacher_forcing: is not a known key"), "{found:?}");
}

#[test]
fn what_no_row_measures_is_experimental() {
    let of = |lines: &str| from_toml(&format!("{LEAST}{lines}"), &[]).unwrap().streams[0].experimental();
    assert!(of("").is_empty());
    assert!(of("accuracy = \"compact\"\nexperts = [\"linear\", \"velocity\"]").is_empty());
    assert_eq!(
        of(
            "experts = [\"arma\"]\nmodel = { family = \"rnn\", head = \"direct\", norm = \"none\", base = \"last\" }"
        ),
        [
            "expert arma",
            "network \"network\": family rnn",
            "network \"network\": head direct",
            "network \"network\": norm none",
            "base last"
        ]
    );
    assert_eq!(
        of("models = [{ family = \"gru\", gru_reset = \"before\" }]\ntraining = { loss = \"pinball\" }"),
        ["network \"gru\": gru_reset before", "loss pinball"]
    );
    assert!(of("model = { family = \"wavenet\" }\ntraining = { enabled = false }").is_empty());
}

/// What the experts can't carry is refused before a shard is made.
#[test]
fn more_covariates_than_least_squares_can_carry_are_refused() {
    let of = |covariates: usize, more: &str| {
        let names: Vec<String> = (0..covariates).map(|c| format!("\"c{c}\"")).collect();
        let text = format!("{LEAST}covariates = [{}]\n{more}", names.join(", "));
        from_toml(&text, &[]).unwrap_or_else(|e| panic!("{e}")).streams[0].clone()
    };
    let check = |stream: std::sync::Arc<_>| tidecast::engine::check(&stream);
    assert_eq!(check(of(60, "")), Ok(()));
    drop(tidecast::engine::Shard::new(of(60, "")));
    let found = check(of(140, "")).unwrap_err().to_string();
    assert!(found.contains("too many: at most"), "{found}");
    // An unrolling network is shown what is known ahead of every scored lead, and so are the experts.
    let known = |covariates: usize| {
        let names: Vec<String> = (0..covariates).map(|c| format!("\"c{c}\"")).collect();
        format!(
            "known_ahead = [{}]\nhorizon = 168\nmodel = {{ head = \"encoder_decoder\" }}",
            names.join(", ")
        )
    };
    assert!(check(of(1, &known(1))).is_ok());
    assert!(check(of(20, &known(20))).is_err());
    assert!(check(of(60, "seasons = \"auto\"")).is_ok());
}

#[test]
fn secrets_come_from_files_and_a_missing_one_is_a_fault() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("password");
    std::fs::write(&secret, "open sesame\n").unwrap();
    let text = |path: &std::path::Path| {
        format!("{LEAST}\n[kafka.properties]\n\"sasl.password\" = \"${{file:{}}}\"\n", path.display())
    };
    let config = from_toml(&text(&secret), &[]).unwrap();
    assert_eq!(config.kafka.properties, [("sasl.password".to_owned(), "open sesame".to_owned())]);
    let found = faults(&text(&dir.path().join("nothing")));
    assert!(found[0].starts_with("kafka.properties.sasl.password: can't read"), "{found:?}");
}

#[test]
fn yaml_is_read_too_and_a_file_that_is_neither_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = dir.path().join("tidecast.yaml");
    std::fs::write(
        &yaml,
        "kafka: {brokers: 'localhost:9092'}\nstreams: {power: {topics: [m], interval: 1h, targets: [kw]}}\n",
    )
    .unwrap();
    assert_eq!(load(&yaml).unwrap().streams.len(), 1);
    assert!(load(&dir.path().join("absent.toml")).unwrap_err().to_string().contains("absent.toml"));
    let ini = dir.path().join("tidecast.ini");
    std::fs::write(&ini, "").unwrap();
    assert!(load(&ini).unwrap_err().to_string().contains("must end in .toml"));
}

#[test]
fn the_reference_and_the_schema_in_the_repository_are_what_the_program_makes() {
    let file = |name: &str| {
        std::fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap_or_default()
    };
    assert!(
        file("docs/config.md").trim_end() == reference().trim_end(),
        "docs/config.md is old: cargo run --release -- config reference > docs/config.md"
    );
    let written: serde_json::Value =
        serde_json::from_str(&file("deploy/tidecast.schema.json")).unwrap_or_default();
    assert!(
        written == schema(),
        "deploy/tidecast.schema.json is old: cargo run --release -- config schema > deploy/tidecast.schema.json"
    );
}

/// The example's keys, those that are commented out too.
#[test]
fn the_example_shows_no_key_that_is_not_declared() {
    let name_of = |line: &'static str| {
        let (name, _) = line.split_once(" = ")?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let is_toml = !matches!(from_toml(line, &[]), Err(LoadError::Unreadable(_)));
        (is_toml && (name.starts_with('"') || name.chars().all(is_name))).then_some(name)
    };
    let (mut text, mut names, mut keys) = (String::new(), Vec::new(), 0);
    for line in include_str!("../config/tidecast.toml").lines() {
        let shown = line.strip_prefix("# ").unwrap_or(line);
        if shown.starts_with('[') && shown.ends_with(']') {
            names.clear();
        } else if let Some(name) = name_of(shown) {
            // A key may be shown in two ways.
            if names.contains(&name) {
                continue;
            }
            (keys, names) = (keys + 1, [&*names, &[name]].concat());
        } else {
            continue;
        }
        text += shown;
        text.push('\n');
    }
    assert!(keys > 90, "{keys}");
    let found = faults(&text);
    let unknown: Vec<&String> = found.iter().filter(|fault| fault.contains("is not a known key")).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn the_shipped_configs_are_right() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            load(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }
}

#[test]
fn holidays_are_dates_and_days_of_every_year() {
    let with = |list: &str| format!("{LEAST}holidays = {list}\n");
    let config = from_toml(&with(r#"["2026-12-24", "--12-25", "--02-29"]"#), &[]).unwrap();
    let holidays = &config.streams[0].holidays;
    let on = |text: &str| holidays.contains(text.parse().unwrap());
    assert!(on("2026-12-24") && on("1999-12-25") && on("2024-02-29") && !holidays.is_empty());
    assert!(!on("2025-12-24") && !on("2026-12-26") && !on("2025-02-28"));
    assert!(from_toml(LEAST, &[]).unwrap().streams[0].holidays.is_empty());
    let found =
        faults(&with(r#"["2026-02-29", "12-25", "--13-01", "2026-1-1", "--1-1", "christmas", "20261225"]"#));
    assert_eq!(found.len(), 7, "{found:?}");
    assert_eq!(
        found[0],
        "streams.power.holidays: has \"2026-02-29\"; allowed are dates like \"2026-12-25\" and days of every year like \"--12-25\""
    );
    assert_eq!(
        faults(&with("\"2026-12-25\"")).len() + faults(&with("[]")).len(),
        0,
        "a variable of the environment is one string"
    );
    assert_eq!(faults(&with("[12]")), ["streams.power.holidays: must be a list of strings, not a list"]);
}

#[test]
fn fields_say_how_a_record_is_written() {
    let stream = |lines: &str| from_toml(&format!("{LEAST}{lines}"), &[]).unwrap().streams[0].clone();
    let least = stream("time_zone = \"Europe/Paris\"");
    assert_eq!(least.fields.time_format, TimeFormat::Auto);
    assert_eq!(least.fields.time_zone.iana_name(), Some("Europe/Paris"));
    assert_eq!(
        (&least.fields.series[..], &least.fields.time[..]),
        (&[FieldSource::Key][..], &[FieldSource::Timestamp][..])
    );
    let lines = r#"
        time_zone = "Europe/Paris"
        [streams.power.fields]
        series = ["/site", "@key", "@header:unit"]
        time = ["/date", "/time"]
        time_format = "%d.%m.%Y %H:%M"
        time_zone = "UTC"
        missing = [-200, "off"]
    "#;
    let given = stream(lines);
    assert_eq!((given.fields.series.len(), given.fields.time.len()), (3, 2));
    assert!(matches!(&given.fields.time_format, TimeFormat::Pattern(p) if p.as_str() == "%d.%m.%Y %H:%M"));
    let zones = (given.time_zone.iana_name(), given.fields.time_zone.iana_name());
    assert_eq!(zones, (Some("Europe/Paris"), Some("UTC")));
    assert!(given.fields.missing.has_number(-200.0) && !given.fields.missing.has_number(200.0));
    assert!(["OFF", "unavailable", "N/A"].iter().all(|text| given.fields.missing.has_text(text)));
    assert!(!given.fields.missing.has_text("on"));
}

#[test]
fn a_wrong_field_is_listed_with_what_is_allowed() {
    let found = faults(&format!(
        "{LEAST}position = {{ latitude = \"kw\", longitude = \"lon\", missing = [0, 0] }}\n\
         [streams.power.fields]\nseries = [\"/a\", \"b\"]\ntime = []\ntime_format = \"%H:%M\"\n\
         time_zone = \"Europe/Pari\"\nmissing = {{ a = 1 }}\nmising = 2\n"
    ));
    let expected = [
        "streams.power.fields.mising: is not a known key; did you mean \"missing\"?",
        "streams.power.fields.missing: is {\"a\":1}; it must be a list of numbers and texts",
        "streams.power.fields.series: is \"b\"; allowed are a JSON pointer",
        "streams.power.fields.time: must be a place or a list of 1 to 8 of them",
        "streams.power.fields.time_format: is \"%H:%M\", which names no year, or not what a time needs",
        "streams.power.fields.time_zone: is \"Europe/Pari\"; it must be a name of the IANA database",
        "streams.power.position.longitude: is \"lon\", which is none of the stream's targets",
        "streams.power.position.missing: is [0,0]; it must be a list of pairs of a latitude and a longitude",
    ];
    for wanted in expected {
        assert!(found.iter().any(|f| f.starts_with(wanted)), "no {wanted:?} in\n{}", found.join("\n"));
    }
    assert_eq!(found.len(), expected.len(), "{}", found.join("\n"));
    let found = faults(&format!("{LEAST}fields = {{ time = [\"/date\", \"@timestamp\"] }}"));
    assert!(found.len() == 1 && found[0].contains("has \"@timestamp\" in a list"), "{found:?}");
    let formats =
        |format: &str| faults(&format!("{LEAST}fields = {{ time_format = \"{format}\" }}")).join("\n");
    assert!(formats("iso").contains(
        "is \"iso\"; allowed are \"auto\", \"rfc3339\", \"s\", \"ms\", \"us\", \"ns\" and patterns"
    ));
    assert!(formats("%Y-%!").contains("which is no pattern"), "{}", formats("%Y-%!"));
}

#[test]
fn a_batch_has_levels_and_places_above_its_elements() {
    let fields = |lines: &str| format!("{LEAST}[streams.power.fields]\n{lines}");
    let stream = |lines: &str| from_toml(&fields(lines), &[]).unwrap().streams[0].clone();
    let given =
        stream("records = \"/a~1b/*/c/d\"\nseries = [\"^^/x\", \"^#\", \"#\", \"@key\"]\ntime = \"^/y/0\"")
            .fields
            .clone();
    let records = given.records.unwrap();
    let parts: Vec<&[String]> = records.parts.iter().map(|part| &**part).collect();
    assert_eq!(
        (parts, records.ends_in_star),
        (vec![&["a/b".to_owned()][..], &["c".to_owned(), "d".to_owned()]], false)
    );
    let path = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
    let above = |levels, keys: &[&str]| FieldSource::Above(levels, path(keys));
    assert_eq!(
        given.series,
        [above(2, &["x"]), FieldSource::Name(1), FieldSource::Name(0), FieldSource::Key]
    );
    assert_eq!(given.time, [above(1, &["y", "0"])]);
    assert_eq!(stream("records = \"/*/*\"").fields.records.as_ref().unwrap().levels(), 2);
    for (lines, wanted) in [
        ("records = \"metrics\"", "records: is \"metrics\"; it must be a JSON pointer like \"/metrics\""),
        ("records = \"/*/*/*/*/*/*/*/*/*\"", "with 1 to 8 levels"),
        ("series = \"^/x\"", "series: is \"^/x\"; allowed are a JSON pointer"),
        ("records = \"/a\"\nseries = \"^^/x\"", "series: is \"^^/x\"; allowed are"),
        ("records = \"/a\"\nseries = \"^#\"", "of at most 1 levels above the element"),
        ("records = \"/a\"\nseries = \"^@key\"", "series: is \"^@key\""),
        (
            "records = \"/data/*\"\nseries = \"^/data/id\"",
            "series: is \"^/data/id\", but at its level \"/data\" leads to the elements",
        ),
        ("records = \"/a/b/*/c/d\"\ntime = \"^^/a\"", "time: is \"^^/a\", but at its level \"/a/b\" leads"),
        ("records = \"/a/b/*/c/d\"\ntime = \"^/c/d\"", "time: is \"^/c/d\", but at its level \"/c/d\" leads"),
    ] {
        let found = faults(&fields(lines));
        assert!(found.len() == 1 && found[0].contains(wanted), "{lines}: {found:?}");
    }
}

#[test]
fn ranges_name_each_target_once_and_hold_no_nonsense() {
    let text = "[kafka]\nbrokers = \"b\"\n[streams.s]\ntopics = [\"t\"]\ninterval = \"1h\"\ntargets = [\"kw\"]\n\
        range = { kw = { min = 5, max = 1 }, kv = { min = 0 } }\n";
    let faults = from_toml(text, &[]).unwrap_err().to_string();
    assert!(faults.contains("streams.s.range.kw.max: is 1, which is not above min, 5"), "{faults}");
    assert!(faults.contains("streams.s.range.kv: is not a known key"), "{faults}");
    assert_eq!(faults.matches("\"kw\"").count(), 1, "{faults}");
}
