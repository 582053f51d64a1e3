//! Several networks of one stream: each is an expert of its own, which neither sees nor disturbs the others;
//! together they are promoted, served, kept and brought back.

use crate::support::stream::{Bench, any_model, model, networks, restored, restored_as, sensed, stream};
use std::sync::Arc;
use tidecast::config::{NetworkKind, Stream};
use tidecast::domain::{Reading, Values};
use tidecast::engine::{Emitted, Model, Shard};
use tidecast::nn::{Networks, Weights};
use tidecast::training::{Former, Outcome, Shapes, Start, TrainingRound};

// What stands in a gap is no forecast: that would be of all networks.
const REST: &str = "fill = \"hold\"\nhorizon = 4\nseasons = [24]\nwindow = 256\nquantiles = [0.1, 0.5, 0.9]\n\
    training = { enabled = false }\n";
const KINDS: [(&str, &str); 4] = [
    ("lstm", "family = \"lstm\", hidden = 4"),
    ("wave", "family = \"wavenet\", hidden = 3, layers = 3"),
    ("decoder", "family = \"gru\", hidden = 3, head = \"encoder_decoder\", norm = \"none\""),
    ("lines", "family = \"linear\", readings = 5"),
];

fn all() -> Arc<Stream> {
    let models: Vec<String> =
        KINDS.iter().map(|(name, kind)| format!("{{ name = \"{name}\", {kind} }}")).collect();
    stream(&format!("{REST}models = [{}]", models.join(", ")))
}

/// What each network said by itself, and what was emitted, of every reading from `from` on.
fn said(shard: &mut Shard, hours: std::ops::Range<i64>, networks: usize) -> Vec<(Vec<f64>, Vec<f64>)> {
    said_of(5, shard, hours, networks)
}

/// The same of any number of series.
fn said_of(
    series: usize,
    shard: &mut Shard,
    hours: std::ops::Range<i64>,
    networks: usize,
) -> Vec<(Vec<f64>, Vec<f64>)> {
    let mut all = Vec::new();
    let mut sink = |e: Emitted<'_>| {
        let horizon = e.forecast.targets[0].yhat.len();
        let each = (0..networks).flat_map(|n| (1..=horizon).map(move |lead| (n, lead)));
        all.push((each.map(|(n, lead)| e.network(n, 0, lead)).collect(), e.forecast.targets[0].yhat.clone()));
    };
    let readings = sensed(series, hours.end, 7);
    let first = crate::support::stream::hour(hours.start);
    for (offset, reading) in readings.iter().enumerate().filter(|(_, reading)| reading.time >= first) {
        let values = Values::from_iter([reading.value]);
        let it = Reading { series: &reading.series, time: reading.time, later: None, values: &values };
        shard.offer(&it, offset as i64, None);
        while shard.run_round(&mut sink).unwrap().is_some() {}
    }
    all
}

fn serve(shard: &mut Shard, model: &Model) {
    shard.bring(model).unwrap();
    shard.warm(usize::MAX).unwrap();
}

#[test]
fn a_network_among_others_says_what_it_says_alone() {
    let together = all();
    let model = any_model(&together, 1);
    let mut shard = Shard::new(together.clone());
    said(&mut shard, 0..120, 4);
    serve(&mut shard, &model);
    let of_all = said(&mut shard, 120..200, 4);
    for (n, (name, kind)) in KINDS.iter().enumerate() {
        let alone = stream(&format!("{REST}model = {{ {kind} }}"));
        let mut shard = Shard::new(alone);
        said(&mut shard, 0..120, 1);
        serve(&mut shard, &Model { networks: vec![model.networks[n].clone()], ..model.clone() });
        let own = said(&mut shard, 120..200, 1);
        assert_eq!(own.len(), of_all.len());
        for ((own, _), (each, _)) in own.iter().zip(&of_all) {
            assert!(own.iter().all(|v| v.is_finite()), "{name}");
            // What is emitted decides of an outlier what is believed, and so what each is shown next.
            for (own, each) in own.iter().zip(&each[n * 4..]) {
                assert!((own - each).abs() < 0.01 * own.abs(), "{name}: {own} and {each}");
            }
        }
    }
}

#[test]
fn one_that_is_not_there_says_nothing_and_the_others_serve() {
    let stream = all();
    let mut model = any_model(&stream, 1);
    model.networks[1] = None;
    let mut shard = Shard::new(stream);
    said(&mut shard, 0..120, 4);
    serve(&mut shard, &model);
    for (each, emitted) in said(&mut shard, 120..150, 4) {
        assert!(each.iter().enumerate().all(|(i, v)| v.is_nan() == (i / 4 == 1)), "{each:?}");
        assert!(emitted.iter().all(|v| v.is_finite()));
    }
    let names = Shard::judged(shard.stream());
    assert_eq!(names[names.len() - 6..], ["experts", "lstm", "wave", "decoder", "lines", "mixture"]);
    let slot = shard.find("s0").unwrap();
    let leads = shard.stream().leads().len();
    assert_eq!(shard.weights(slot, 0).len(), (names.len() - 2) * leads);
}

#[test]
fn all_states_go_into_a_cut_and_come_back() {
    let stream = all();
    let mut model = any_model(&stream, 3);
    for missing in [None, Some(0), Some(2)] {
        if let Some(missing) = missing {
            model.networks[missing] = None;
        }
        let mut shard = Shard::new(stream.clone());
        said(&mut shard, 0..120, 4);
        serve(&mut shard, &model);
        said(&mut shard, 120..140, 4);
        let mut back = restored(&mut shard, Some(&model), 300);
        assert_eq!(back.model(), Some(model.version));
        for slot in ["s0", "s3"].map(|name| shard.find(name).unwrap()) {
            assert_eq!(back.state(slot).unwrap().unwrap(), shard.state(slot).unwrap().unwrap());
        }
        let bits = |all: Vec<(Vec<f64>, Vec<f64>)>| -> Vec<u64> {
            all.into_iter()
                .flat_map(|(each, emitted)| each.into_iter().chain(emitted))
                .map(f64::to_bits)
                .collect()
        };
        assert_eq!(bits(said(&mut back, 140..170, 4)), bits(said(&mut shard, 140..170, 4)), "{missing:?}");
    }
}

/// A config that has given one of them another shape serves the others, and so its snapshots are theirs alone.
#[test]
fn states_go_to_the_networks_that_had_them_or_to_none() {
    let stream = all();
    let whole = any_model(&stream, 3);
    let part = |missing: usize| {
        let mut model = whole.clone();
        model.networks[missing] = None;
        model
    };
    for (made, found, comes_back) in
        [(part(1), part(1), true), (part(1), whole.clone(), false), (part(1), part(0), false)]
    {
        let mut shard = Shard::new(stream.clone());
        said(&mut shard, 0..120, 4);
        serve(&mut shard, &made);
        said(&mut shard, 120..140, 4);
        let back = restored(&mut shard, Some(&found), 300);
        assert_eq!((back.model().is_some(), back.series()), (comes_back, shard.series()));
    }
}

/// One network goes and one comes: what experts and the network that stays have learnt, for mature series
/// and for those that begin, goes on as if the others had fallen silent; but for what the one that went
/// weighed in each of the two copies that are mixed.
#[test]
fn a_stream_whose_networks_change_keeps_what_was_learnt_beside_them() {
    networks_change("full");
    networks_change("compact");
}

fn networks_change(accuracy: &str) {
    let of = |models: [&str; 2]| {
        stream(&format!("{REST}accuracy = \"{accuracy}\"\nmodels = [{}]", models.join(", ")))
    };
    let wave = "{ name = \"wave\", family = \"wavenet\", hidden = 3, layers = 3 }";
    let before = of(["{ name = \"far\", family = \"wavenet\", hidden = 2, layers = 8 }", wave]);
    let after = of([wave, "{ name = \"lines\", family = \"linear\", readings = 5 }"]);
    let all = any_model(&before, 1);
    let mut shard = Shard::new(before.clone());
    said(&mut shard, 0..300, 2);
    serve(&mut shard, &all);
    // Beyond the age at which series are mature.
    said(&mut shard, 300..660, 2);

    let mut silent = restored(&mut shard, None, 300);
    let mut changed = restored_as(&after, &mut shard, None, 300);
    assert_eq!((changed.model(), changed.series()), (None, 5));
    let only = |networks: [bool; 2], of: &Model| {
        let networks = networks.into_iter().map(|stays| stays.then(|| of.networks[1].clone()).flatten());
        Model { networks: networks.collect(), ..of.clone() }
    };
    serve(&mut silent, &only([false, true], &all));
    serve(&mut changed, &only([true, false], &all));
    let (was, is) = (said_of(7, &mut silent, 660..700, 2), said_of(7, &mut changed, 660..700, 2));
    assert!(was.len() == is.len() && was.len() > 200);
    for ((each_was, was), (each_is, is)) in was.iter().zip(&is) {
        assert!(each_was[..4].iter().chain(&each_is[4..]).all(|v| v.is_nan()));
        assert_eq!(each_was[4..], each_is[..4], "what the network that stays says");
        assert!(was.iter().zip(is).all(|(was, is)| (was - is).abs() < 5e-3), "{was:?} {is:?}");
    }
    // And it is heard as much as before.
    let mut heard = false;
    let leads = after.leads().len();
    for (name, target) in [("s0", 0), ("s4", 0), ("s6", 0)] {
        let (was, is) =
            [&mut silent, &mut changed].map(|shard| shard.weights(shard.find(name).unwrap(), target)).into();
        let (others, is) = (was.len() - 2 * leads, &is[is.len() - 2 * leads..]);
        for (lead, is) in is[..leads].iter().enumerate() {
            let [far, wave] = [was[others + lead], was[others + leads + lead]];
            assert!((wave / (1.0 - far) - is).abs() < 0.02, "{name}, {lead}: {far} {wave} {is}");
            heard |= *is > 0.05;
        }
    }
    assert!(heard);
    assert!(said(&mut changed, 700..710, 2).iter().all(|(_, emitted)| emitted.iter().all(|v| v.is_finite())));
}

/// Where covariates are known ahead, a network that unrolls its leads is not all that would change.
#[test]
fn what_changes_what_all_are_shown_makes_another_cut() {
    let of = |model: &str| {
        stream(&format!(
            "{REST}covariates = [\"outdoor\"]\nknown_ahead = [\"outdoor\"]\nmodel = {{ {model} }}"
        ))
    };
    let [lines, decoder] = ["hidden = 4", "head = \"encoder_decoder\""].map(of);
    assert_ne!(Shard::shape(&lines), Shard::shape(&decoder));
    assert_eq!(Shard::shape(&lines), Shard::shape(&of("hidden = 8")));
}

/// From a stream's only network to a list with it: it steps on from its own states.
#[test]
fn a_network_that_another_joins_keeps_its_states() {
    let alone = stream(&format!("{REST}model = {{ hidden = 4 }}"));
    let joined =
        stream(&format!("{REST}models = [{{ family = \"dense\" }}, {{ name = \"network\", hidden = 4 }}]"));
    let model = any_model(&alone, 3);
    let mut shard = Shard::new(alone);
    said(&mut shard, 0..120, 1);
    serve(&mut shard, &model);
    said(&mut shard, 120..140, 1);
    let found = Model { networks: vec![None, model.networks[0].clone()], ..model };
    let mut back = restored_as(&joined, &mut shard, Some(&found), 300);
    assert_eq!(back.model(), Some(found.version));
    let (was, is) = (said(&mut shard, 140..170, 1), said(&mut back, 140..170, 2));
    for ((each_was, was), (each_is, is)) in was.iter().zip(&is) {
        assert_eq!(each_was[..], each_is[4..]);
        assert!(was.iter().zip(is).all(|(was, is)| (was - is).abs() < 1e-4), "{was:?} {is:?}");
    }
}

/// Where there are no networks nothing is kept for them; where they come, what the experts' mixture has learnt is
/// what they join, and when they go, it goes on.
#[test]
fn networks_come_and_go_and_the_experts_go_on() {
    for accuracy in ["full", "compact"] {
        let of = |models: &str| stream(&format!("{REST}accuracy = \"{accuracy}\"\nmodels = [{models}]"));
        let (none, some) =
            (of(""), of("{ name = \"lstm\", hidden = 4 }, { family = \"dense\", hidden = 4 }"));
        let mut shard = Shard::new(none.clone());
        // Beyond the age at which series are mature.
        said(&mut shard, 0..660, 0);
        let mut joined = restored_as(&some, &mut shard, None, 300);
        let mut alone = restored_as(&none, &mut joined, None, 300);
        assert!(joined.memory() > shard.memory());
        let [was, with, without] =
            [&mut shard, &mut joined, &mut alone].map(|shard| said(shard, 660..720, 0));
        assert!(was.len() > 200 && was == without, "networks that never served leave nothing");
        for ((_, with), (_, was)) in with.iter().zip(&was) {
            assert!(with.iter().zip(was).all(|(a, b)| (a - b).abs() < 5e-3), "{with:?} {was:?}");
        }
    }
}

#[test]
fn networks_are_known_by_their_names_and_shapes() {
    let stream = all();
    let four = networks(&stream, &any_model(&stream, 1));
    let shapes = Shapes::of(&stream).unwrap();
    assert_eq!(shapes.fitting(&four), four);
    // One goes, one is made wider, one comes.
    let models = "models = [{ name = \"wave\", family = \"wavenet\", hidden = 3, layers = 3 },\
        { name = \"lstm\", hidden = 5 }, { name = \"new\", family = \"gru\" }]";
    let other = crate::support::stream::stream(&format!("{REST}{models}"));
    let left = Shapes::of(&other).unwrap().fitting(&four);
    // The decoder goes, too: where nothing is known ahead, the others are shown the same without it.
    assert_eq!(left.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["wave"]);
    let order = Shapes::of(&other).unwrap().weights(&left);
    assert_eq!(order.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, false]);
    let alone = crate::support::stream::stream(&format!("{REST}model = {{ hidden = 4 }}"));
    assert!(Shapes::of(&alone).unwrap().fitting(&four).is_empty(), "it has another name");
}

const LEARNING: &str = "horizon = 6\nseasons = [24]\nwindow = 512\nmodel = { base = \"last\" }\n\
    training = { first_steps = 120, steps = 20, batch = 8, truncation = 32, holdout = 96 }\n\
    promotion = { watch = 2 }\n\
    models = [{ name = \"a\", hidden = 8 }, { name = \"b\", family = \"gru\", hidden = 6 }]\n";

#[test]
fn each_is_judged_by_itself_and_all_are_promoted_together() {
    let stream = stream(LEARNING);
    let mut bench = Bench::new(&stream);
    for (offset, reading) in sensed(6, 420, 3).iter().enumerate() {
        bench.offer(reading, offset as i64);
        bench.step();
    }
    let samples = bench.shard.samples(16);
    let round = |champion: Option<&Networks>, former: Former<'_>| {
        let start = if champion.is_some() { Start::Refresh } else { Start::Afresh };
        TrainingRound { stream: &stream, samples: &samples, champion, former, shadow: None, start, number: 1 }
            .run(&mut || true)
            .unwrap()
    };
    let Outcome::Better { networks: both, scores } = round(None, Former::Unwatched) else {
        panic!("neither is better than the last value")
    };
    assert_eq!(both.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "b"]);
    assert!(both.get("a").unwrap().optimiser.is_some() && scores.challenger.unwrap() < scores.base);

    // One that is there already serves on beside one that joins it, whatever its own challenger does.
    let only = |name: &str| [(name, both.get(name).unwrap().clone())].into_iter().collect::<Networks>();
    let Outcome::Better { networks, scores } = round(Some(&only("a")), Former::Unwatched) else {
        panic!("the second one did not join")
    };
    assert_eq!(networks.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "b"]);
    assert!(scores.challenger.unwrap() < scores.champion.unwrap(), "{scores:?}");

    // A bad one is told from its neighbour, though both are held against what served before together.
    let spoilt = |networks: &Networks, name: &str| -> Networks {
        let change = |(n, trained): (&str, &tidecast::nn::Trained)| {
            let mut trained = trained.clone();
            if n == name {
                let values = trained.weights.values().iter().enumerate();
                let values = values.map(|(i, w)| w + 1.5 * (i as f32 * 0.7).sin()).collect();
                let weights = Weights::try_new(*trained.weights.blueprint(), values).unwrap();
                trained.weights = Arc::new(weights);
            }
            (n.to_owned(), trained)
        };
        networks.iter().map(change).collect()
    };
    let bad = spoilt(&both, "b");
    assert!(matches!(round(Some(&bad), Former::Networks(&both)), Outcome::Worse(_)));
    assert!(!matches!(round(Some(&both), Former::Networks(&bad)), Outcome::Worse(_)));

    // They serve, and are experts like others.
    bench.shard.bring(&model(&stream, 1, &both)).unwrap();
    bench.shard.warm(usize::MAX).unwrap();
    let hours = sensed(6, 560, 3);
    for (offset, reading) in hours.iter().enumerate().skip(sensed(6, 420, 3).len()) {
        bench.offer(reading, offset as i64);
        bench.step();
    }
    let weights = bench.shard.weights(bench.shard.find("s1").unwrap(), 0);
    let leads = stream.leads().len();
    let of_networks = &weights[weights.len() - 2 * leads..];
    assert!(of_networks.iter().all(|w| (0.0..=1.0).contains(w)) && of_networks.iter().sum::<f32>() > 0.0);
}

#[test]
fn names_have_to_tell_networks_apart() {
    let kind = |stream: &Stream| stream.model.networks.iter().map(|n| n.name.clone()).collect::<Vec<_>>();
    assert_eq!(kind(&stream("")), ["lstm", "dense"]);
    assert_eq!(kind(&stream("accuracy = \"compact\"")), ["lstm"]);
    assert_eq!(kind(&stream("model = { base = \"last\", device = \"cpu\" }")), ["lstm", "dense"]);
    assert_eq!(kind(&stream("model = { hidden = 4 }")), [NetworkKind::ALONE]);
    assert_eq!(kind(&stream("models = [{ family = \"gru\" }, {}]")), ["gru", "lstm"]);
    let none = stream("models = []");
    assert!(none.model.networks.is_empty() && !none.training.enabled);
    let fault = |lines: &str| {
        let text = format!(
            "[kafka]\nbrokers = \"b\"\n[streams.s]\ntopics = [\"t\"]\ninterval = \"1h\"\ntargets = [\"kw\"]\n{lines}"
        );
        tidecast::config::from_toml(&text, &[]).unwrap_err().to_string()
    };
    for (lines, wanted) in [
        ("models = [{}, {}]", "models[1].name: is \"lstm\", which another network"),
        ("models = [{ name = \"seasonal\" }]", "models[0].name: is \"seasonal\", under which"),
        ("models = [{ name = \"a.b\" }]", "models[0].name: is \"a.b\"; letters"),
        ("models = [{ base = \"last\" }]", "models[0].base: is not a known key"),
        ("models = [{}]\nmodel = { hidden = 8 }", "model.hidden: is not a known key beside `models`"),
        ("model = { hiden = 8 }", "model.hiden: is not a known key; did you mean \"hidden\""),
        ("models = [{ family = \"wavenet\", cell = 1 }]", "models[0].cell: is not a known key"),
        ("models = \"lstm\"", "models: must be a list of tables"),
    ] {
        assert!(fault(lines).contains(wanted), "{lines}: {}", fault(lines));
    }
    for (models, at) in [("{}, { family = \"lstn\" }", 1), ("{ family = \"lstn\" }, {}", 0)] {
        let found = fault(&format!("models = [{models}]"));
        let wanted = format!("models[{at}].family: is \"lstn\"; allowed are");
        assert!(found.contains(&wanted) && !found.contains("name:"), "{found}");
    }
    // No expert has a name that a network may take.
    let all = "experts = [\"linear\", \"arma\", \"lms\", \"velocity\"]";
    for accuracy in ["full", "compact"] {
        let names =
            Shard::judged(&stream(&format!("{all}\naccuracy = \"{accuracy}\"\nmodel = {{ hidden = 4 }}")));
        for name in names.iter().filter(|name| *name != NetworkKind::ALONE) {
            assert!(fault(&format!("models = [{{ name = \"{name}\" }}]")).contains("under which"), "{name}");
        }
    }
}
