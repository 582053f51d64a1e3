use super::error::Error;
use super::settings;
use crate::config::Kafka;
use rdkafka::admin::{
    AdminClient, AdminOptions, NewTopic, OwnedResourceSpecifier, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{ClientContext, types::RDKafkaRespErr};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest wait for a cluster's topics. A daemon asks again.
const METADATA_TIMEOUT: Duration = Duration::from_secs(10);
const TRY_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// How long the broker that is asked may not know a topic that was just created.
const SPREAD_LIMIT: Duration = Duration::from_secs(10);

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// How many partitions it gets.
    pub partitions: usize,
    /// Its replication factor; `None` for the broker's default.
    pub replication: Option<usize>,
    /// Its settings, such as `cleanup.policy`.
    pub config: Vec<(String, String)>,
}

/// The outcome of creating a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Creation {
    /// It was created.
    Created,
    /// It existed before.
    Exists,
    /// It could not be created, for this reason.
    Failed(String),
}

/// What a broker takes into a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicLimits {
    /// `max.message.bytes`: the largest batch of records, as it is sent; `None` where it is not known.
    pub batch_bytes_max: Option<usize>,
    /// Whether its `cleanup.policy` has `compact`: each record needs a key.
    pub is_compacted: bool,
}

/// Lists and creates topics.
pub struct Admin {
    client: AdminClient<DefaultClientContext>,
    brokers: String,
}

impl Admin {
    /// An admin client. No broker is contacted yet.
    ///
    /// # Errors
    /// [`Error::Settings`].
    pub fn connect(kafka: &Kafka) -> Result<Self, Error> {
        let client = settings::admin(kafka)
            .create_with_context(DefaultClientContext)
            .map_err(|e| Error::of("creating an admin client", &e))?;
        Ok(Self { client, brokers: kafka.brokers.clone() })
    }

    /// Every topic with its number of partitions.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Failed`].
    pub fn topics(&self) -> Result<BTreeMap<String, usize>, Error> {
        partitions(self.client.inner(), &self.brokers, None)
    }

    /// The numbers of partitions of these topics. A missing topic is asked for again for some seconds, because a broker
    /// knows a new topic a little later than the controller.
    ///
    /// # Errors
    /// [`Error::MissingTopics`] with all that do not exist; as [`topics`](Self::topics).
    pub fn require(&self, names: &[String]) -> Result<BTreeMap<String, usize>, Error> {
        let until = Instant::now() + SPREAD_LIMIT;
        loop {
            let mut topics = self.topics()?;
            let missing: Vec<String> = names.iter().filter(|n| !topics.contains_key(*n)).cloned().collect();
            if missing.is_empty() {
                topics.retain(|name, _| names.contains(name));
                return Ok(topics);
            }
            if Instant::now() >= until {
                return Err(Error::MissingTopics(missing));
            }
            std::thread::sleep(RETRY_PAUSE);
        }
    }

    /// What brokers take into these topics. Topics are left out whose settings this principal may not read.
    ///
    /// # Errors
    /// [`Error::Failed`] when no broker answers in time.
    pub fn limits(&self, names: &[&str], within: Duration) -> Result<Vec<(String, TopicLimits)>, Error> {
        const DOING: &str = "reading the settings of topics";
        let topics: Vec<ResourceSpecifier<'_>> =
            names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        // Any broker knows them. librdkafka would wait for a controller, which the embedded broker does not have.
        let metadata = self.client.inner().fetch_metadata(None, within).map_err(|e| Error::of(DOING, &e))?;
        let broker = metadata.brokers().first().map(rdkafka::metadata::MetadataBroker::id);
        let options = AdminOptions::new().request_timeout(Some(within)).broker_id(broker);
        let answers =
            block_on(self.client.describe_configs(&topics, &options)).map_err(|e| Error::of(DOING, &e))?;
        let of = |answer: rdkafka::admin::ConfigResource| {
            let OwnedResourceSpecifier::Topic(name) = &answer.specifier else { return None };
            let value = |name: &str| answer.get(name)?.value.clone();
            let batch_bytes_max = value("max.message.bytes").and_then(|text| text.parse().ok());
            let is_compacted = value("cleanup.policy").is_some_and(|policy| policy.contains("compact"));
            Some((name.clone(), TopicLimits { batch_bytes_max, is_compacted }))
        };
        Ok(answers.into_iter().filter_map(Result::ok).filter_map(of).collect())
    }

    /// Creates topics and returns each one's outcome, in the order of `specs`.
    ///
    /// # Errors
    /// [`Error::Failed`] when the request as a whole failed.
    pub fn create_topics(&self, specs: &[TopicSpec]) -> Result<Vec<(String, Creation)>, Error> {
        let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let topics: Vec<NewTopic<'_>> = specs
            .iter()
            .map(|spec| NewTopic {
                name: &spec.name,
                num_partitions: count(spec.partitions),
                replication: TopicReplication::Fixed(spec.replication.map_or(-1, count)),
                config: spec.config.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect(),
            })
            .collect();
        let options =
            AdminOptions::new().request_timeout(Some(ANSWER_TIMEOUT)).operation_timeout(Some(ANSWER_TIMEOUT));
        let results = block_on(self.client.create_topics(&topics, &options))
            .map_err(|e| Error::of("creating topics", &e))?;
        let outcome = |name: &str| {
            let result = results.iter().find(|r| match r {
                Ok(topic) | Err((topic, _)) => topic == name,
            });
            match result {
                Some(Ok(_)) => Creation::Created,
                Some(Err((_, Code::TopicAlreadyExists))) => Creation::Exists,
                Some(Err((_, code))) => Creation::Failed(code.to_string()),
                None => Creation::Failed("the broker did not answer for it".to_owned()),
            }
        };
        Ok(specs.iter().map(|spec| (spec.name.clone(), outcome(&spec.name))).collect())
    }
}

pub(super) fn partitions<C: ClientContext>(
    client: &Client<C>,
    brokers: &str,
    topic: Option<&str>,
) -> Result<BTreeMap<String, usize>, Error> {
    let deadline = Instant::now() + METADATA_TIMEOUT;
    let metadata = loop {
        // Short tries, because a request to a broker that goes away waits for its whole timeout.
        match client.fetch_metadata(topic, TRY_TIMEOUT) {
            Ok(metadata) => break metadata,
            Err(_) if Instant::now() < deadline => std::thread::sleep(RETRY_PAUSE),
            Err(e) => {
                return Err(Error::Unreachable {
                    brokers: brokers.to_owned(),
                    waited: METADATA_TIMEOUT,
                    reason: e.to_string(),
                });
            }
        }
    };
    let missing = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    Ok(metadata
        .topics()
        .iter()
        .filter(|t| t.error() != Some(missing) && !t.partitions().is_empty())
        .map(|t| (t.name().to_owned(), t.partitions().len()))
        .collect())
}

/// Blocks until a future of the admin client is ready. A thread of the client finishes it.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
