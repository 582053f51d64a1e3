use super::Error;
use super::error::reason;
use crate::config::{self, Bucket, Cloud, StoreLocation};
use futures::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    BackoffConfig, ClientOptions, Error as Cause, ObjectStore, ObjectStoreExt, PutMode, PutPayload,
    RetryConfig,
};
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// A network store that does not accept a connection within this time counts as down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest time for one request: enough for a part of 32 MiB at 5 Mbit/s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a request is tried again after a transient error, with growing pauses.
const RETRIES: usize = 6;
/// How long a request is tried again.
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_LONGEST: Duration = Duration::from_secs(5);
/// The object that [`Store::check`] writes. A stream's name can't contain `@`.
const PROBE: &str = "@check";

/// An object store. Its methods block the caller's thread. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    /// Drives a network store's connections. Other stores work on the caller's thread, without tokio.
    runtime: Option<Arc<Runtime>>,
    /// The folder of a local store.
    root: Option<PathBuf>,
    name: Arc<str>,
}

impl Store {
    /// The store of the config. A missing folder is created. What is written to a folder is on the disk before it
    /// becomes visible. A network store is not contacted; [`Self::check`] does that.
    ///
    /// # Errors
    /// [`Error::Unusable`] for a folder that can't be created and for properties that can't be used.
    pub fn open(config: &config::Store) -> Result<Self, Error> {
        let name = config.location.to_string();
        let unusable = |reason| Error::Unusable { store: name.clone(), reason };
        match &config.location {
            StoreLocation::Folder(path) => {
                create_folder(path).map_err(|e| unusable(format!("can't create the folder: {e}")))?;
                let objects = LocalFileSystem::new_with_prefix(path).map_err(|e| unusable(reason(&e)))?;
                let objects: Arc<dyn ObjectStore> = Arc::new(objects.with_fsync(true));
                Ok(Self { objects, runtime: None, root: Some(path.clone()), name: name.as_str().into() })
            }
            StoreLocation::Bucket(bucket) => {
                let objects = connect(bucket, &config.properties).map_err(|e| unusable(reason(&e)))?;
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(1)
                    .thread_name("store")
                    .enable_all()
                    .build()
                    .map_err(|e| unusable(format!("can't start a thread: {e}")))?;
                let runtime = Some(Arc::new(runtime));
                let objects: Arc<dyn ObjectStore> =
                    Arc::new(PrefixStore::new(objects, bucket.prefix.as_str()));
                Ok(Self { objects, runtime, root: None, name: name.as_str().into() })
            }
        }
    }

    /// A store over the caller's own objects, for tests and simulation. It needs no tokio; everything happens on
    /// the calling thread.
    pub fn over(objects: Arc<dyn ObjectStore>) -> Self {
        let name = objects.to_string();
        Self { objects, runtime: None, root: None, name: name.into() }
    }

    /// Lists, writes and deletes a small object.
    ///
    /// # Errors
    /// [`Error::Unusable`] with the reason: a wrong secret, a missing bucket, a folder that can't be written, a
    /// server that can't be reached.
    pub fn check(&self) -> Result<(), Error> {
        let path = Path::from(PROBE);
        // Listing comes first: some servers create a missing bucket when it is written to.
        let first = async { self.objects.list(None).next().await.transpose() };
        self.wait(first)
            .map_err(failed(&path))
            .and_then(|_| self.put(&path, Vec::new(), PutMode::Overwrite))
            .and_then(|()| self.delete(vec![path]))
            .map_err(|e| match e {
                Error::Store { cause, .. } => {
                    Error::Unusable { store: self.name.to_string(), reason: reason(&cause) }
                }
                other => other,
            })
    }

    pub(super) fn put(&self, path: &Path, bytes: Vec<u8>, mode: PutMode) -> Result<(), Error> {
        let payload = PutPayload::from(bytes);
        self.wait(self.objects.put_opts(path, payload, mode.into())).map(drop).map_err(failed(path))
    }

    /// Writes an object that must not exist yet, and returns whether it did. A store without conditional puts
    /// overwrites it. In a folder whatever has the name afterwards is durable, and so is everything beside it.
    pub(super) fn create(&self, path: &Path, bytes: &[u8]) -> Result<bool, Error> {
        let created = self.create_once(path, bytes)?;
        self.sync_folders(path)?;
        Ok(created)
    }

    fn create_once(&self, path: &Path, bytes: &[u8]) -> Result<bool, Error> {
        match self.put(path, bytes.to_vec(), PutMode::Create) {
            Err(Error::Store {
                cause: Cause::NotImplemented { .. } | Cause::NotSupported { .. }, ..
            }) => self.put(path, bytes.to_vec(), PutMode::Overwrite).map(|()| true),
            Err(Error::Store { cause: Cause::AlreadyExists { .. } | Cause::Precondition { .. }, .. }) => {
                // The same bytes were written by this request's first try, whose answer was lost.
                Ok(self.get(path, |_| Ok(()))?.as_deref() == Some(bytes))
            }
            done => done.map(|()| true),
        }
    }

    /// Syncs the folders above an object of a local store. `object_store` syncs those that it creates, and passes over
    /// those that an attempt has left behind that failed before it had synced them.
    pub(super) fn sync_folders(&self, path: &Path) -> Result<(), Error> {
        let Some(root) = &self.root else { return Ok(()) };
        let object = root.join(path.as_ref());
        for folder in object.ancestors().skip(1).take_while(|folder| folder.starts_with(root)) {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| io_failed(path, e))?;
        }
        Ok(())
    }

    /// Reads an object; `None` when it does not exist. `admit` sees the size before anything is read.
    pub(super) fn get(
        &self,
        path: &Path,
        admit: impl FnOnce(u64) -> Result<(), Error>,
    ) -> Result<Option<Vec<u8>>, Error> {
        let found = match self.wait(self.objects.get(path)) {
            Err(Cause::NotFound { .. }) => return Ok(None),
            found => found.map_err(failed(path))?,
        };
        admit(found.meta.size)?;
        Ok(Some(self.wait(found.bytes()).map_err(failed(path))?.into()))
    }

    /// All objects below a folder with their sizes; nothing for a missing folder.
    pub(super) fn list(&self, folder: &Path) -> Result<Vec<(Path, u64)>, Error> {
        let found = self.objects.list(Some(folder)).map_ok(|meta| (meta.location, meta.size));
        let mut found: Vec<_> = self.wait(found.try_collect()).map_err(failed(folder))?;
        found.sort();
        Ok(found)
    }

    /// The names of the folders in a folder. A local store also lists folders without a whole object.
    pub(super) fn folders(&self, folder: &Path) -> Result<Vec<String>, Error> {
        let found = match self.wait(self.objects.list_with_delimiter(Some(folder))) {
            Err(Cause::NotFound { .. }) => return Ok(Vec::new()),
            found => found.map_err(failed(folder))?,
        };
        let last = |path: &Path| path.filename().map(str::to_owned);
        let mut names: Vec<String> = found.common_prefixes.iter().filter_map(last).collect();
        names.sort();
        Ok(names)
    }

    /// Deletes those of `paths` that exist.
    pub(super) fn delete(&self, paths: Vec<Path>) -> Result<(), Error> {
        let Some(first) = paths.first().cloned() else { return Ok(()) };
        let paths = futures::stream::iter(paths.into_iter().map(Ok)).boxed();
        let gone = self.objects.delete_stream(paths).map(|one| match one {
            Ok(_) | Err(Cause::NotFound { .. }) => Ok(()),
            Err(cause) => Err(cause),
        });
        // After a failure the others are still deleted.
        let outcome = gone.fold(Ok(()), |all, one| async { all.and(one) });
        self.wait(outcome).map_err(failed(&first))
    }

    /// Whether the store is a folder of this machine.
    pub(super) fn is_local(&self) -> bool {
        self.root.is_some()
    }

    /// Removes a local folder whose objects were deleted, with the temporary files that a killed process has left
    /// and that the store does not list.
    pub(super) fn remove_folder(&self, folder: &Path) -> Result<(), Error> {
        let Some(root) = &self.root else { return Ok(()) };
        match fs::remove_dir_all(root.join(folder.as_ref())) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io_failed(folder, e)),
            _ => Ok(()),
        }
    }

    /// Removes the temporary files, `NAME#1`, that a killed process has left in a local folder.
    pub(super) fn remove_temporaries(&self, folder: &Path) -> Result<(), Error> {
        let Some(root) = &self.root else { return Ok(()) };
        let Ok(entries) = fs::read_dir(root.join(folder.as_ref())) else { return Ok(()) };
        for entry in entries {
            let entry = entry.map_err(|e| io_failed(folder, e))?;
            if entry.file_name().as_encoded_bytes().contains(&b'#') {
                fs::remove_file(entry.path()).map_err(|e| io_failed(folder, e))?;
            }
        }
        Ok(())
    }

    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        match &self.runtime {
            Some(runtime) => runtime.block_on(work),
            None => futures::executor::block_on(work),
        }
    }
}

/// The URL.
impl std::fmt::Display for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

fn failed(path: &Path) -> impl FnOnce(Cause) -> Error + use<> {
    let path = path.to_string();
    move |cause| Error::Store { path, cause }
}

fn io_failed(path: &Path, cause: std::io::Error) -> Error {
    failed(path)(Cause::Generic { store: "the folder", source: cause.into() })
}

/// Creates a folder and syncs each parent that got a new name.
fn create_folder(path: &std::path::Path) -> std::io::Result<()> {
    let missing: Vec<_> = path.ancestors().take_while(|p| !p.exists()).collect();
    fs::create_dir_all(path)?;
    for parent in missing.into_iter().filter_map(std::path::Path::parent) {
        // A folder without read permission can't be synced; its new name becomes durable later.
        let _ = File::open(parent).and_then(|folder| folder.sync_all());
    }
    Ok(())
}

fn connect(bucket: &Bucket, properties: &[(String, String)]) -> Result<Box<dyn ObjectStore>, Cause> {
    // Fails only when the process has a provider already, which can be used as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = ClientOptions::new().with_connect_timeout(CONNECT_TIMEOUT).with_timeout(REQUEST_TIMEOUT);
    let backoff = BackoffConfig { init_backoff: PAUSE_FIRST, max_backoff: PAUSE_LONGEST, base: 2.0 };
    let retry = RetryConfig { backoff, max_retries: RETRIES, retry_timeout: RETRY_TIMEOUT };
    macro_rules! build {
        ($builder:ty, $name:ident) => {{
            let builder = <$builder>::new().with_client_options(client).with_retry(retry).$name(&bucket.name);
            let builder = properties
                .iter()
                .try_fold(builder, |b, (name, value)| Ok::<_, Cause>(b.with_config(name.parse()?, value)))?;
            Ok(Box::new(builder.build()?))
        }};
    }
    match bucket.cloud {
        Cloud::S3 => build!(AmazonS3Builder, with_bucket_name),
        Cloud::Google => build!(GoogleCloudStorageBuilder, with_bucket_name),
        Cloud::Azure => build!(MicrosoftAzureBuilder, with_container_name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::aws::AmazonS3ConfigKey;
    use object_store::azure::AzureConfigKey;
    use object_store::gcp::GoogleConfigKey;

    /// The config lists the names; the crate knows their meaning.
    #[test]
    fn every_property_of_the_config_is_known_to_its_client() {
        for cloud in Cloud::ALL {
            for name in cloud.properties() {
                let known = match cloud {
                    Cloud::S3 => name.parse::<AmazonS3ConfigKey>().map(drop),
                    Cloud::Google => name.parse::<GoogleConfigKey>().map(drop),
                    Cloud::Azure => name.parse::<AzureConfigKey>().map(drop),
                };
                assert!(known.is_ok(), "{cloud:?}: {name}");
            }
        }
    }
}
