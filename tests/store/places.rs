//! The stores that every test runs over: a folder, memory, and an S3 server in this process.

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder as Connection;
use object_store::memory::InMemory;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use tidecast::checkpoint::Store;
use tidecast::config::{self, from_toml};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

pub const KEY: &str = "tidecast-key";
pub const SECRET: &str = "open-sesame";
pub const BUCKET: &str = "models";

/// The config of a store, as from a file.
pub fn config(url: &str, properties: &[(&str, &str)]) -> config::Store {
    let properties: String =
        properties.iter().map(|(name, value)| format!("{name} = \"{value}\"\n")).collect();
    let text = format!(
        "[kafka]\nbrokers = \"localhost:9092\"\n[store]\nurl = \"{url}\"\n[store.properties]\n{properties}\n\
         [streams.power]\ntopics = [\"meters\"]\ninterval = \"1h\"\ntargets = [\"kw\"]\n"
    );
    from_toml(&text, &[]).unwrap_or_else(|e| panic!("{e}")).store
}

pub fn folder(path: &Path) -> Store {
    Store::open(&config(&format!("file://{}", path.display()), &[])).unwrap()
}

/// A server that checks signatures; its buckets are folders.
pub struct S3 {
    pub address: SocketAddr,
    folder: TempDir,
    _runtime: Runtime,
}

impl S3 {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).unwrap());
        service.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = service.build();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let server = Connection::new(TokioExecutor::new());
                    // A client may close the connection at any time.
                    let _ = server.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Self { address, folder, _runtime: runtime }
    }

    pub fn store(&self, bucket: &str, secret: &str) -> Store {
        self.store_at(self.address, bucket, secret)
    }

    /// The store, reached at another address.
    pub fn store_at(&self, address: SocketAddr, bucket: &str, secret: &str) -> Store {
        let endpoint = format!("http://{address}");
        let properties = [
            ("aws_endpoint", endpoint.as_str()),
            ("aws_access_key_id", KEY),
            ("aws_secret_access_key", secret),
            ("aws_region", "us-east-1"),
            ("aws_allow_http", "true"),
        ];
        Store::open(&config(&format!("s3://{bucket}/some/prefix"), &properties)).unwrap()
    }

    pub fn bucket(&self) -> PathBuf {
        self.folder.path().join(BUCKET)
    }
}

/// A store, with operations for tests only.
pub struct Place {
    pub name: &'static str,
    pub store: Store,
    behind: Behind,
}

enum Behind {
    Folder(TempDir),
    Memory(Arc<InMemory>),
    S3(S3),
}

/// Runs a test over each kind of store.
pub fn each(test: impl Fn(&Place)) {
    for place in [Place::folder(), Place::memory(), Place::s3()] {
        println!("over {}", place.name);
        place.store.check().unwrap();
        test(&place);
    }
}

impl Place {
    pub fn folder() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = folder(&dir.path().join("made/by/the/store"));
        Self { name: "a folder", store, behind: Behind::Folder(dir) }
    }

    pub fn memory() -> Self {
        let objects = Arc::new(InMemory::new());
        Self { name: "memory", store: Store::over(objects.clone()), behind: Behind::Memory(objects) }
    }

    pub fn s3() -> Self {
        let server = S3::start();
        Self { name: "S3", store: server.store(BUCKET, SECRET), behind: Behind::S3(server) }
    }

    /// The folder, where the objects are files.
    pub fn root(&self) -> Option<PathBuf> {
        match &self.behind {
            Behind::Folder(dir) => Some(dir.path().join("made/by/the/store")),
            Behind::Memory(_) => None,
            Behind::S3(server) => Some(server.bucket().join("some/prefix")),
        }
    }

    /// The names of all objects, sorted, including files that the store does not list.
    pub fn objects(&self) -> Vec<String> {
        let mut names = match (&self.behind, self.root()) {
            (Behind::Memory(objects), _) => {
                let all = futures::executor::block_on(listed(objects));
                all.iter().map(ToString::to_string).collect()
            }
            (_, Some(root)) => walked(&root)
                .iter()
                .map(|path| path.strip_prefix(&root).unwrap().display().to_string())
                .collect(),
            (_, None) => Vec::new(),
        };
        names.sort();
        names
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        match (&self.behind, self.root()) {
            (Behind::Memory(objects), _) => {
                use object_store::ObjectStoreExt;
                let path = object_store::path::Path::from(name);
                let bytes = futures::executor::block_on(async { objects.get(&path).await?.bytes().await });
                bytes.unwrap().to_vec()
            }
            (_, Some(root)) => std::fs::read(root.join(name)).unwrap(),
            (_, None) => unreachable!("only memory has no root"),
        }
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        match (&self.behind, self.root()) {
            (Behind::Memory(objects), _) => {
                use object_store::ObjectStoreExt;
                let path = object_store::path::Path::from(name);
                futures::executor::block_on(objects.put(&path, bytes.to_vec().into())).unwrap();
            }
            (_, Some(root)) => {
                let path = root.join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
            }
            (_, None) => unreachable!("only memory has no root"),
        }
    }

    pub fn remove(&self, name: &str) {
        match (&self.behind, self.root()) {
            (Behind::Memory(objects), _) => {
                use object_store::ObjectStoreExt;
                let path = object_store::path::Path::from(name);
                futures::executor::block_on(objects.delete(&path)).unwrap();
            }
            (_, Some(root)) => std::fs::remove_file(root.join(name)).unwrap(),
            (_, None) => unreachable!("only memory has no root"),
        }
    }
}

async fn listed(objects: &InMemory) -> Vec<object_store::path::Path> {
    use futures::TryStreamExt;
    use object_store::ObjectStore;
    objects.list(None).map_ok(|meta| meta.location).try_collect().await.unwrap()
}

fn walked(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walked(&path)) } else { found.push(path) }
    }
    found
}
