//! `[store]`: where bundles and snapshots are kept, and with which credentials.

use super::key::{Key, Preset};
use super::kinds::{Pairs, Sub, Text, sub, text};
use super::section::Section;
use std::fmt;
use std::path::PathBuf;

/// `[store]`, checked.
#[derive(Clone)]
pub struct Store {
    /// Where it is.
    pub location: StoreLocation,
    /// Names and values that are handed to the store's client unchanged; some are secrets.
    pub properties: Vec<(String, String)>,
}

/// What a store's URL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreLocation {
    /// An absolute path.
    Folder(PathBuf),
    /// A bucket of a cloud.
    Bucket(Bucket),
}

/// A bucket (Azure: a container) in a cloud's store, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The protocol.
    pub cloud: Cloud,
    /// The bucket's or container's name.
    pub name: String,
    /// Without a slash at either end; may be empty.
    pub prefix: String,
}

/// Whose protocol the store speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cloud {
    /// Amazon's S3, and what is compatible with it.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
}

const SCHEMES: [(&str, Cloud); 3] = [("s3://", Cloud::S3), ("gs://", Cloud::Google), ("az://", Cloud::Azure)];

/// Properties of every network store.
const NETWORK: [&str; 11] = [
    "allow_http",
    "connect_timeout",
    "http1_only",
    "pool_idle_timeout",
    "pool_max_idle_per_host",
    "proxy_ca_certificate",
    "proxy_excludes",
    "proxy_url",
    "read_timeout",
    "timeout",
    "user_agent",
];

const S3: [&str; 30] = [
    "aws_access_key_id",
    "aws_allow_http",
    "aws_checksum_algorithm",
    "aws_conditional_put",
    "aws_container_authorization_token_file",
    "aws_container_credentials_full_uri",
    "aws_container_credentials_relative_uri",
    "aws_default_region",
    "aws_disable_tagging",
    "aws_endpoint",
    "aws_endpoint_url",
    "aws_endpoint_url_s3",
    "aws_endpoint_url_sts",
    "aws_imdsv1_fallback",
    "aws_metadata_endpoint",
    "aws_region",
    "aws_request_payer",
    "aws_role_arn",
    "aws_role_session_name",
    "aws_s3_express",
    "aws_secret_access_key",
    "aws_server_side_encryption",
    "aws_session_token",
    "aws_skip_signature",
    "aws_sse_bucket_key_enabled",
    "aws_sse_customer_key_base64",
    "aws_sse_kms_key_id",
    "aws_unsigned_payload",
    "aws_virtual_hosted_style_request",
    "aws_web_identity_token_file",
];

const GOOGLE: [&str; 7] = [
    "google_application_credentials",
    "google_base_url",
    "google_bearer_token",
    "google_service_account",
    "google_service_account_key",
    "google_service_account_path",
    "google_skip_signature",
];

const AZURE: [&str; 22] = [
    "azure_allow_http",
    "azure_authority_host",
    "azure_client_id",
    "azure_client_secret",
    "azure_disable_tagging",
    "azure_endpoint",
    "azure_federated_token_file",
    "azure_identity_endpoint",
    "azure_msi_endpoint",
    "azure_msi_resource_id",
    "azure_object_id",
    "azure_skip_signature",
    "azure_storage_account_key",
    "azure_storage_account_name",
    "azure_storage_encryption_key",
    "azure_storage_endpoint",
    "azure_storage_sas_key",
    "azure_storage_sas_token",
    "azure_storage_token",
    "azure_storage_use_emulator",
    "azure_tenant_id",
    "azure_use_azure_cli",
];

/// Properties that belong together. When the config gives one of a group, the environment gives none of it, so
/// that a key from one is never combined with a token from the other.
const TOGETHER: [&[&str]; 4] = [
    &["aws_endpoint", "aws_endpoint_url", "aws_endpoint_url_s3"],
    &["aws_default_region", "aws_region"],
    &["aws_access_key_id", "aws_session_token"],
    &["azure_storage_account_key", "azure_storage_sas_key", "azure_storage_sas_token", "azure_storage_token"],
];

impl Cloud {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::S3, Self::Google, Self::Azure];

    pub(super) fn scheme(self) -> &'static str {
        SCHEMES.iter().find(|(_, cloud)| *cloud == self).expect("each cloud has a scheme").0
    }

    /// The properties that may stand in upper case in the environment.
    fn own(self) -> &'static [&'static str] {
        match self {
            Self::S3 => &S3,
            Self::Google => &GOOGLE,
            Self::Azure => &AZURE,
        }
    }

    /// The names of all properties that a store of this kind takes.
    pub fn properties(self) -> impl Iterator<Item = &'static str> {
        self.own().iter().chain(&NETWORK).copied()
    }
}

impl StoreLocation {
    fn read(url: &str) -> Option<Self> {
        if let Some(path) = url.strip_prefix("file://") {
            return Some(Self::Folder(PathBuf::from(path))).filter(|_| path.starts_with('/'));
        }
        let (scheme, cloud) = SCHEMES.into_iter().find(|(scheme, _)| url.starts_with(scheme))?;
        let (name, prefix) = url[scheme.len()..].split_once('/').unwrap_or((&url[scheme.len()..], ""));
        let prefix = prefix.trim_matches('/');
        let named =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        let plain = prefix.is_empty()
            || prefix.split('/').all(|part| {
                !matches!(part, "" | "." | "..")
                    && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.=".contains(&b))
            });
        (named && plain)
            .then(|| Self::Bucket(Bucket { cloud, name: name.to_owned(), prefix: prefix.to_owned() }))
    }
}

/// The URL.
impl fmt::Display for StoreLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "file://{}", path.display()),
            Self::Bucket(Bucket { cloud, name, prefix }) if prefix.is_empty() => {
                write!(f, "{}{name}", cloud.scheme())
            }
            Self::Bucket(Bucket { cloud, name, prefix }) => write!(f, "{}{name}/{prefix}", cloud.scheme()),
        }
    }
}

/// The names of the properties, never their values.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.properties.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Store").field("location", &self.location).field("properties", &names).finish()
    }
}

pub(super) static STORE: Key<Sub> = sub(
    "store",
    "The store of bundles and snapshots: one place for all replicas.",
    &[&URL, &STORE_PROPERTIES],
);
static URL: Key<Text> = text(
    "url",
    Preset::Is("file:///var/lib/tidecast"),
    "`file:///an/absolute/path`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`",
    "Where bundles and snapshots are kept.",
);
static STORE_PROPERTIES: Key<Pairs> = Key {
    name: "properties",
    kind: Pairs {
        names: Some(all_properties),
        form: "the properties of the store's client, listed below",
        any: false,
        preset: Preset::Nothing("empty", r#"{"aws_region": "eu-west-3"}"#),
    },
    effect: "Properties that are handed to the client of an `s3://`, `gs://` or `az://` store unchanged; what is not \
             given here is read from the variables that the store's own tools read, such as `AWS_ACCESS_KEY_ID`.",
};

/// The names of all properties that any store takes.
fn all_properties() -> Vec<&'static str> {
    Cloud::ALL.iter().flat_map(|cloud| cloud.own()).chain(&NETWORK).copied().collect()
}

/// `variable` looks up a variable of the environment. A property in the config wins over one there.
pub(super) fn store(mut s: Section<'_>, variable: impl Fn(&str) -> Option<String>) -> Store {
    let url = s.text(&URL);
    let location = StoreLocation::read(&url);
    let mut table = s.pairs(&STORE_PROPERTIES);
    let mut properties = Vec::new();
    match &location {
        None => {
            s.fault(
                "url",
                format!(
                    "is \"{url}\"; allowed are \"file:///an/absolute/path\", \"s3://bucket/prefix\", \
                     \"gs://bucket/prefix\" and \"az://container/prefix\""
                ),
            );
        }
        Some(StoreLocation::Folder(_)) => {
            for name in table.names() {
                table.fault(&name, "means nothing to a folder; properties are for s3://, gs:// and az://");
            }
        }
        Some(StoreLocation::Bucket(bucket)) => {
            for name in bucket.cloud.properties() {
                properties.extend(table.plain_of_name(name).map(|value| (name.to_owned(), value)));
            }
            let given: Vec<String> = properties.iter().map(|(name, _)| name.clone()).collect();
            for name in bucket.cloud.own() {
                let taken = |name: &str| given.iter().any(|g| g == name);
                let row = TOGETHER.iter().find(|row| row.contains(name));
                if !taken(name) && !row.is_some_and(|row| row.iter().any(|other| taken(other))) {
                    let value = variable(&name.to_ascii_uppercase()).filter(|v| !v.is_empty());
                    properties.extend(value.map(|value| ((*name).to_owned(), value)));
                }
            }
            table.finish();
        }
    }
    s.finish();
    Store { location: location.unwrap_or_else(|| StoreLocation::Folder(PathBuf::new())), properties }
}
