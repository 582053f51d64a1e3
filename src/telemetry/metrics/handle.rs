//! From a declaration to what a thread counts in: families, which are registered once, and handles, whose
//! labels are resolved once.
//!
//! A *scope* gives the first labels of a metric, say its stream. A *handle* is one metric of a scope, or one
//! for each value of the labels that come after the scope's.

use super::declaration::{Kind, PREFIX, Spec};
use crate::domain::{Levels, StreamName};
use crate::telemetry::words::Word;
use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};
use std::marker::PhantomData;

/// What a metric is resolved for.
pub(super) trait Scope {
    /// The values of a metric's first labels.
    fn labels(&self) -> Vec<String>;
}

/// The process itself, which has no label.
pub(super) struct Process;

impl Scope for Process {
    fn labels(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What a stream's metrics need to know of it, so that every label is resolved at the start.
#[derive(Clone, Debug)]
pub struct StreamShape {
    /// The stream's name in the config.
    pub name: StreamName,
    /// The levels of its quantiles.
    pub levels: Levels,
    /// The lead buckets, ascending: 1, 2, 4, 8, … horizon.
    pub leads: Vec<usize>,
    /// All experts in the engine's order; the emitted forecast is one of them.
    pub experts: Vec<String>,
}

impl Scope for StreamShape {
    fn labels(&self) -> Vec<String> {
        vec![self.name.to_string()]
    }
}

/// One metric of Prometheus' client library, and the family of those that differ in their labels.
pub(super) trait Metric: Sized {
    type Family: Collector + Clone + 'static;
    const KIND: Kind;

    fn family(spec: &Spec) -> prometheus::Result<Self::Family>;
    /// The metric with these labels, made where it is not there yet.
    fn of(family: &Self::Family, labels: &[String]) -> Self;
    fn remove(family: &Self::Family, labels: &[String]);
    /// Sets the value that stands until one was measured.
    fn unmeasured(self) -> Self {
        self
    }
}

fn opts(spec: &Spec) -> Opts {
    Opts::new(format!("{PREFIX}{}", spec.name), spec.help)
}

fn names(spec: &Spec) -> Vec<&'static str> {
    spec.labels.iter().map(|label| label.name).collect()
}

macro_rules! metric {
    ($metric:ty, $family:ty, $kind:ident, |$spec:ident| $opts:expr, $($rest:item)?) => {
        impl Metric for $metric {
            type Family = $family;
            const KIND: Kind = Kind::$kind;

            fn family($spec: &Spec) -> prometheus::Result<$family> {
                <$family>::new($opts, &names($spec))
            }

            fn of(family: &$family, labels: &[String]) -> Self {
                family.with_label_values(labels)
            }

            fn remove(family: &$family, labels: &[String]) {
                let _ = family.remove_label_values(labels);
            }

            $($rest)?
        }
    };
}

metric!(IntCounter, IntCounterVec, Counter, |spec| opts(spec),);
metric!(IntGauge, IntGaugeVec, Gauge, |spec| opts(spec),);
metric!(Histogram, HistogramVec, Histogram, |spec| HistogramOpts::from(opts(spec))
    .buckets(spec.buckets.to_vec()),);
metric!(
    Gauge,
    GaugeVec,
    Gauge,
    |spec| opts(spec),
    fn unmeasured(self) -> Self {
        self.set(f64::NAN);
        self
    }
);

/// Makes and registers the family of a declaration.
///
/// # Panics
/// When a name or a label is not well-formed, or a name is registered twice: faults of the catalogue.
pub(super) fn registered<M: Metric>(registry: &Registry, spec: &Spec) -> M::Family {
    let family = M::family(spec).expect("the catalogue's names and labels are well-formed");
    registry.register(Box::new(family.clone())).expect("each metric of the catalogue is registered once");
    family
}

/// What is kept of a metric for one scope.
pub(super) trait Handle<S>: Sized {
    type Metric: Metric;

    fn resolve(family: &<Self::Metric as Metric>::Family, scope: &S) -> Self;
}

impl<S: Scope, M: Metric> Handle<S> for M {
    type Metric = M;

    fn resolve(family: &M::Family, scope: &S) -> Self {
        M::of(family, &scope.labels()).unmeasured()
    }
}

/// A metric for each word of a fixed set, all there from the start: the scope's labels and the word.
pub struct PerWord<W, M = IntCounter>(Vec<M>, PhantomData<fn(W)>);

impl<W: Word, M> PerWord<W, M> {
    /// The metric of this word.
    pub fn of(&self, word: W) -> &M {
        &self.0[word.index()]
    }

    /// Each word with its metric.
    pub fn iter(&self) -> impl Iterator<Item = (W, &M)> {
        W::WORDS.iter().copied().zip(&self.0)
    }
}

impl<S: Scope, W: Word, M: Metric> Handle<S> for PerWord<W, M> {
    type Metric = M;

    fn resolve(family: &M::Family, scope: &S) -> Self {
        let of = |word: &W| {
            let mut labels = scope.labels();
            labels.push(word.text().to_owned());
            M::of(family, &labels).unmeasured()
        };
        Self(W::WORDS.iter().map(of).collect(), PhantomData)
    }
}

/// A metric that is looked up each time: for what is rare, or whose labels change. Its series appears when it
/// is first used.
pub(super) struct OnDemand<M: Metric> {
    family: M::Family,
    scope: Vec<String>,
}

impl<M: Metric> OnDemand<M> {
    /// The metric with the scope's labels and `last`.
    pub fn of(&self, last: &[&str]) -> M {
        M::of(&self.family, &self.labels(last))
    }

    /// Takes its series from `/metrics`.
    pub fn remove(&self, last: &[&str]) {
        M::remove(&self.family, &self.labels(last));
    }

    fn labels(&self, last: &[&str]) -> Vec<String> {
        self.scope.iter().cloned().chain(last.iter().map(|text| (*text).to_owned())).collect()
    }
}

impl<S: Scope, M: Metric> Handle<S> for OnDemand<M> {
    type Metric = M;

    fn resolve(family: &M::Family, scope: &S) -> Self {
        Self { family: family.clone(), scope: scope.labels() }
    }
}

/// A gauge for each expert and lead bucket. `[experts, leads]`
pub(super) struct ByExpert(Vec<Vec<Gauge>>);
/// A gauge for each quantile level and lead bucket. `[levels, leads]`
pub(super) struct ByLevel(Vec<Vec<Gauge>>);

impl ByExpert {
    pub fn of(&self, expert: usize, bucket: usize) -> &Gauge {
        &self.0[expert][bucket]
    }
}

impl ByLevel {
    pub fn of(&self, level: usize, bucket: usize) -> &Gauge {
        &self.0[level][bucket]
    }
}

impl Handle<StreamShape> for ByExpert {
    type Metric = Gauge;

    fn resolve(family: &GaugeVec, stream: &StreamShape) -> Self {
        Self(by_lead(family, stream, stream.experts.iter().cloned()))
    }
}

impl Handle<StreamShape> for ByLevel {
    type Metric = Gauge;

    fn resolve(family: &GaugeVec, stream: &StreamShape) -> Self {
        Self(by_lead(family, stream, stream.levels.iter().map(|level| level.to_string())))
    }
}

fn by_lead(family: &GaugeVec, stream: &StreamShape, rows: impl Iterator<Item = String>) -> Vec<Vec<Gauge>> {
    let of = |row: &str, lead: &usize| {
        Gauge::of(family, &[stream.name.to_string(), row.to_owned(), lead.to_string()]).unmeasured()
    };
    rows.map(|row| stream.leads.iter().map(|lead| of(&row, lead)).collect()).collect()
}

/// Declares the metrics of a scope, each in one place: the field of its handle, the handle's type, the name,
/// the unit, the labels, a histogram's buckets, and the help text, which is also the field's docstring.
macro_rules! metrics {
    (
        $(#[$doc:meta])*
        $handles:ident, $families:ident of $scope:ty;
        $($vis:vis $field:ident: $handle:ty, $name:literal, $unit:expr, [$($label:expr),*],
            $(buckets $buckets:expr,)? $help:literal;)+
    ) => {
        $(#[$doc])*
        pub struct $handles {
            $(#[doc = $help] $vis $field: $handle,)+
        }

        /// The registered families behind the handles of this scope.
        pub(super) struct $families {
            $(pub(super) $field: <<$handle as Handle<$scope>>::Metric as Metric>::Family,)+
        }

        impl $families {
            /// The declarations, in the order of the documentation.
            pub const SPECS: &'static [Spec] = &[$(Spec {
                name: $name,
                kind: <<$handle as Handle<$scope>>::Metric as Metric>::KIND,
                unit: $unit,
                labels: &[$($label),*],
                buckets: metrics!(@buckets $($buckets)?),
                help: $help,
            }),+];

            pub fn register(registry: &Registry) -> Self {
                let mut specs = Self::SPECS.iter();
                let mut next = || specs.next().expect("there is a declaration for each field");
                Self { $($field: registered::<<$handle as Handle<$scope>>::Metric>(registry, next()),)+ }
            }

            pub fn resolve(&self, scope: &$scope) -> $handles {
                $handles { $($field: <$handle as Handle<$scope>>::resolve(&self.$field, scope),)+ }
            }
        }
    };
    (@buckets) => { &[] };
    (@buckets $buckets:expr) => { $buckets };
}
pub(super) use metrics;
