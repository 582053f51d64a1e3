use super::error::Error;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// A broker inside the process: librdkafka's mock cluster. It knows transactions and groups, and keeps everything in
/// memory, at most 5 MB or 100,000 records of each partition. An admin client can't create topics in it; use
/// [`Self::create_topic`].
pub struct EmbeddedBroker {
    pub(super) cluster: MockCluster<'static, DefaultProducerContext>,
}

// SAFETY: the raw pointers inside belong to librdkafka's cluster, whose calls only send messages to
// the cluster's own thread; nothing in it is bound to the thread that made it.
unsafe impl Send for EmbeddedBroker {}

impl EmbeddedBroker {
    /// Starts a broker on a free port.
    ///
    /// # Errors
    /// [`Error::Failed`] when there is no free port.
    pub fn start() -> Result<Self, Error> {
        let cluster = MockCluster::new(1).map_err(|e| Error::of("starting the embedded broker", &e))?;
        Ok(Self { cluster })
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// [`Error::Failed`] when it exists.
    pub fn create_topic(&self, name: &str, partitions: usize) -> Result<(), Error> {
        let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
        self.cluster
            .create_topic(name, partitions, 1)
            .map_err(|e| Error::of("creating a topic in the embedded broker", &e))
    }

    /// Its address, for `bootstrap.servers`.
    pub fn bootstrap_servers(&self) -> String {
        self.cluster.bootstrap_servers()
    }
}
