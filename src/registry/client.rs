//! Requests to a registry, in the API of Confluent's, which Apicurio, Karapace, Redpanda and others speak as well.
//!
//! Source: <https://docs.confluent.io/platform/current/schema-registry/develop/api.html>.

use super::Error;
use crate::config::{RegistryLogin, SchemaRegistry};
use crate::schemas::{Lookup, Schema, SchemaError, SchemaId, SchemaKind, SchemaSource, SchemaText};
use reqwest::{Certificate, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::Runtime;

/// Schemas that one schema may refer to, at all depths.
const REFERENCES_MOST: usize = 500;
/// What the registry writes and reads.
const CONTENT: &str = "application/vnd.schemaregistry.v1+json";

/// A client of a registry. Its methods block the caller's thread.
pub struct RegistryClient {
    http: reqwest::Client,
    runtime: Runtime,
    config: SchemaRegistry,
    /// The address that answered last.
    at: AtomicUsize,
}

/// A schema in an answer.
#[derive(Deserialize)]
struct SchemaAnswer {
    schema: String,
    #[serde(rename = "schemaType")]
    kind: Option<String>,
    references: Option<Vec<Reference>>,
}

#[derive(Deserialize)]
struct Reference {
    name: String,
    subject: String,
    version: i64,
}

#[derive(Deserialize)]
struct Fault {
    error_code: i64,
    message: String,
}

impl RegistryClient {
    /// A client of the registry. Nothing is asked yet.
    ///
    /// # Errors
    /// [`Error::Client`] for a CA that can't be used.
    pub fn new(config: &SchemaRegistry) -> Result<Self, Error> {
        // The first that is installed stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let unusable = |e: &dyn std::error::Error| Error::Client(reason(e));
        let mut http = reqwest::Client::builder().timeout(config.timeout);
        if let Some(pem) = &config.ca {
            let certificates = Certificate::from_pem_bundle(pem).map_err(|e| unusable(&e))?;
            if certificates.is_empty() {
                return Err(Error::Client("registry.ca_file has no certificate in PEM".into()));
            }
            http = http.tls_certs_only(certificates);
        }
        let http = http.build().map_err(|e| unusable(&e))?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| unusable(&e))?;
        Ok(Self { http, runtime, config: config.clone(), at: AtomicUsize::new(0) })
    }

    /// A schema with all that it refers to.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the registry says so; [`Error::Away`]; [`Error::Unusable`] where something that it refers
    /// to is missing.
    pub fn schema(&self, id: SchemaId) -> Result<SchemaText, Error> {
        let path = match id {
            SchemaId::Number(number) => format!("/schemas/ids/{number}"),
            SchemaId::Guid(_) => format!("/schemas/guids/{id}"),
        };
        let found: SchemaAnswer = read(&self.ask(&Method::GET, &path, None)?)?;
        let kind = match found.kind.as_deref() {
            None | Some("AVRO") => SchemaKind::Avro,
            Some("PROTOBUF") => SchemaKind::Protobuf,
            Some("JSON") => SchemaKind::Json,
            Some(other) => return Err(Error::Unusable(format!("schemas of the type {other} are not known"))),
        };
        let mut references = Vec::new();
        self.follow(found.references.unwrap_or_default(), &mut BTreeSet::new(), &mut references)?;
        Ok(SchemaText { kind, text: found.schema, references })
    }

    /// What is known of a schema.
    ///
    /// # Errors
    /// [`Error::Away`].
    pub(super) fn find(&self, id: SchemaId) -> Result<Lookup, Error> {
        match self.schema(id) {
            Ok(text) => Ok(match Schema::compile(&text) {
                Ok(schema) => Lookup::Found(Arc::new(schema)),
                Err(cause) => Lookup::Unusable(cause),
            }),
            Err(Error::NotFound(_)) => Ok(Lookup::Unknown),
            Err(Error::Unusable(cause) | Error::Refused(cause)) => Ok(Lookup::Unusable(SchemaError(cause))),
            Err(away) => Err(away),
        }
    }

    /// Adds what is referred to, each after what it refers to itself.
    fn follow(
        &self,
        references: Vec<Reference>,
        seen: &mut BTreeSet<String>,
        to: &mut Vec<(String, String)>,
    ) -> Result<(), Error> {
        for Reference { name, subject, version } in references {
            if !seen.insert(name.clone()) {
                continue;
            }
            if seen.len() > REFERENCES_MOST {
                return Err(Error::Unusable(format!("it refers to more than {REFERENCES_MOST} schemas")));
            }
            let path = format!("/subjects/{}/versions/{version}", escaped(&subject));
            let found = self.ask(&Method::GET, &path, None).map_err(|e| match e {
                Error::NotFound(cause) => Error::Unusable(format!("it refers to {name}: {cause}")),
                other => other,
            })?;
            let found: SchemaAnswer = read(&found)?;
            self.follow(found.references.unwrap_or_default(), seen, to)?;
            to.push((name, found.schema));
        }
        Ok(())
    }

    /// Registers a schema under a subject, if it is not registered there yet; returns its number.
    ///
    /// # Errors
    /// [`Error::Refused`] where it is not compatible with the subject's schemas; [`Error::Away`].
    pub fn register(&self, subject: &str, schema: &SchemaText) -> Result<SchemaId, Error> {
        #[derive(Deserialize)]
        struct Registered {
            id: u32,
        }
        let path = format!("/subjects/{}/versions", escaped(subject));
        let answer = self.ask(&Method::POST, &path, Some(&body(schema)))?;
        Ok(SchemaId::Number(read::<Registered>(&answer)?.id))
    }

    /// Whether a schema may follow the subject's latest one, by the registry's own rules. A subject without a schema takes
    /// any.
    ///
    /// # Errors
    /// [`Error::Refused`] for what is no schema; [`Error::Away`].
    pub fn is_compatible(&self, subject: &str, schema: &SchemaText) -> Result<bool, Error> {
        #[derive(Deserialize)]
        struct Answer {
            is_compatible: bool,
        }
        let path = format!("/compatibility/subjects/{}/versions/latest", escaped(subject));
        match self.ask(&Method::POST, &path, Some(&body(schema))) {
            Ok(answer) => Ok(read::<Answer>(&answer)?.is_compatible),
            Err(Error::NotFound(_)) => Ok(true),
            Err(other) => Err(other),
        }
    }

    /// Asks each address, beginning with the one that answered last, until one answers.
    fn ask(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<String, Error> {
        let urls = &self.config.urls;
        let first = self.at.load(Ordering::Relaxed);
        let mut away = Vec::new();
        for at in (0..urls.len()).map(|i| (first + i) % urls.len()) {
            let url = format!("{}{path}", urls[at]);
            match self.runtime.block_on(self.ask_at(method, &url, body)) {
                Err(Error::Away(cause)) => away.push(cause),
                answered => {
                    self.at.store(at, Ordering::Relaxed);
                    return answered;
                }
            }
        }
        Err(Error::Away(away.join("; ")))
    }

    async fn ask_at(&self, method: &Method, url: &str, body: Option<&Value>) -> Result<String, Error> {
        let away = |e: reqwest::Error| Error::Away(format!("{url}: {}", reason(&e.without_url())));
        let mut request = self.http.request(method.clone(), url).header("accept", CONTENT);
        request = match &self.config.login {
            RegistryLogin::Open => request,
            RegistryLogin::Basic { user, password } => request.basic_auth(user, Some(password)),
            RegistryLogin::Bearer(token) => request.bearer_auth(token),
        };
        if let Some(body) = body {
            request = request.header("content-type", CONTENT).body(body.to_string());
        }
        let answer = request.send().await.map_err(away)?;
        let status = answer.status();
        let text = answer.text().await.map_err(away)?;
        if status.is_success() {
            return Ok(text);
        }
        let fault: Option<Fault> = serde_json::from_str(&text).ok();
        Err(match (status, fault) {
            // A 404 of something else, such as a proxy, says nothing about schemas.
            (StatusCode::NOT_FOUND, Some(fault)) if fault.error_code / 100 == 404 => {
                Error::NotFound(fault.message)
            }
            (StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY, Some(fault)) => {
                Error::Refused(fault.message)
            }
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => {
                Error::Away(format!("{url}: {status}: check user and password, or token, in [registry]"))
            }
            (_, Some(fault)) => Error::Away(format!("{url}: {status}: {}", fault.message)),
            (StatusCode::NOT_FOUND, None) => {
                Error::Away(format!("{url}: {status}, not from a registry: check registry.urls"))
            }
            (_, None) => Error::Away(format!("{url}: {status}")),
        })
    }
}

/// For who may wait: a lookup asks the registry and returns with its answer, or [`Lookup::Pending`] where there is none.
impl SchemaSource for RegistryClient {
    fn look_up(&self, id: SchemaId) -> Lookup {
        self.find(id).unwrap_or(Lookup::Pending)
    }
}

/// The body of a request with a schema, which has no references.
fn body(schema: &SchemaText) -> Value {
    match schema.kind {
        SchemaKind::Avro => json!({ "schema": schema.text }),
        kind => json!({ "schemaType": kind.as_str(), "schema": schema.text }),
    }
}

fn read<'a, T: Deserialize<'a>>(answer: &'a str) -> Result<T, Error> {
    serde_json::from_str(answer)
        .map_err(|e| Error::Away(format!("its answer is not a registry's: {e}; check registry.urls")))
}

/// An error with its causes.
fn reason(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut cause = e.source();
    while let Some(e) = cause {
        text += &format!(": {e}");
        cause = e.source();
    }
    text
}

/// A segment of a path.
fn escaped(text: &str) -> String {
    let byte = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(b).to_string(),
        _ => format!("%{b:02X}"),
    };
    text.bytes().map(byte).collect()
}
