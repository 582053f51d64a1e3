//! A store in memory that fails, tears and rots when it is told to.

use crate::bites::{Bites, Fault};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

#[derive(Debug)]
pub struct Faulty {
    inner: InMemory,
    rng: Mutex<ChaCha8Rng>,
    /// How often a request fails.
    rate: Mutex<f64>,
    /// Requests until nothing works any more.
    left: Mutex<Option<u32>>,
    /// Objects that were damaged or taken away, and were not written since.
    rotten: Mutex<BTreeMap<Path, Fault>>,
    bites: Mutex<Bites>,
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory with faults")
    }
}

impl Faulty {
    pub fn new(seed: u64) -> Self {
        let rng = Mutex::new(ChaCha8Rng::seed_from_u64(seed));
        Self {
            inner: InMemory::new(),
            rng,
            rate: Mutex::new(0.0),
            left: Mutex::new(None),
            rotten: Mutex::default(),
            bites: Mutex::default(),
        }
    }

    /// The faults that have bitten.
    pub fn bites(&self) -> Bites {
        *self.bites.lock().unwrap()
    }

    fn bite(&self, fault: Fault) {
        self.bites.lock().unwrap().mark(fault);
    }

    pub fn set_rate(&self, rate: f64) {
        *self.rate.lock().unwrap() = rate;
    }

    /// After so many requests whoever makes the next one is dead; `None` for never.
    pub fn die_after(&self, requests: Option<u32>) {
        *self.left.lock().unwrap() = requests;
    }

    fn fail(&self) -> Result<()> {
        if let Some(left) = self.left.lock().unwrap().as_mut() {
            let Some(fewer) = left.checked_sub(1) else {
                self.bite(Fault::DiedInSnapshot);
                return Err(Error::Generic { store: "simulation", source: "the process is dead".into() });
            };
            *left = fewer;
        }
        if self.rng.lock().unwrap().random_bool(*self.rate.lock().unwrap()) {
            self.bite(Fault::StoreFailed);
            return Err(Error::Generic { store: "simulation", source: "it was told to fail".into() });
        }
        Ok(())
    }

    /// Flips a bit of an object of a snapshot, cuts it short, or takes it away.
    pub fn rot(&self, rng: &mut impl Rng) {
        let list = self.inner.list(None).map_ok(|meta| meta.location).try_collect::<Vec<Path>>();
        let mut paths = futures::executor::block_on(list).unwrap();
        paths.retain(|path| path.as_ref().contains("/state/"));
        paths.sort();
        if paths.is_empty() {
            return;
        }
        let path = &paths[rng.random_range(0..paths.len())];
        let got = futures::executor::block_on(self.inner.get(path).then(|got| async { got?.bytes().await }));
        let mut bytes = got.unwrap().to_vec();
        if bytes.is_empty() {
            return;
        }
        match rng.random_range(0..3) {
            0 => {
                let at = rng.random_range(0..bytes.len());
                bytes[at] ^= 1 << rng.random_range(0..8);
            }
            1 => bytes.truncate(rng.random_range(0..bytes.len())),
            _ => {
                self.rotten.lock().unwrap().insert(path.clone(), Fault::LossListed);
                return futures::executor::block_on(self.inner.delete(path)).unwrap();
            }
        }
        self.rotten.lock().unwrap().insert(path.clone(), Fault::DamageRead);
        futures::executor::block_on(self.inner.put(path, bytes.into())).unwrap();
    }
}

#[async_trait::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, to: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.fail()?;
        let done = self.inner.put_opts(to, payload, options).await;
        self.rotten.lock().unwrap().remove(to);
        // The object is there, and nobody is told.
        self.fail().inspect_err(|_| self.bite(Fault::StoreKeptAndFailed))?;
        done
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(to, options).await
    }

    async fn get_opts(&self, from: &Path, options: GetOptions) -> Result<GetResult> {
        self.fail()?;
        if self.rotten.lock().unwrap().get(from) == Some(&Fault::DamageRead) {
            self.bite(Fault::DamageRead);
        }
        self.inner.get_opts(from, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.fail() {
            Ok(()) => self.inner.delete_stream(paths),
            Err(e) => futures::stream::once(async { Err(e) }).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let is_within = |path: &Path| prefix.is_none_or(|prefix| path.prefix_matches(prefix));
        let rotten = self.rotten.lock().unwrap();
        if rotten.iter().any(|(path, fault)| *fault == Fault::LossListed && is_within(path)) {
            self.bite(Fault::LossListed);
        }
        match self.fail() {
            Ok(()) => self.inner.list(prefix),
            Err(e) => futures::stream::once(async { Err(e) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.fail()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.fail()?;
        self.inner.copy_opts(from, to, options).await
    }
}
