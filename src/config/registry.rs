//! `[registry]`: the schema registry, which tells what the numbers in records mean.

use super::key::{Key, Preset};
use super::kinds::{Span, Sub, Text, Texts, span, sub, text, texts};
use super::section::Section;
use std::fmt;
use std::time::Duration;

/// `[registry]`, checked.
#[derive(Clone, Debug)]
pub struct SchemaRegistry {
    /// Each without a slash at its end; at least one.
    pub urls: Vec<String>,
    /// How requests are authorised.
    pub login: RegistryLogin,
    /// Certificates in PEM that the registry's is signed with, instead of those of the system.
    pub ca: Option<Vec<u8>>,
    /// The longest time for one request.
    pub timeout: Duration,
}

/// How requests are authorised. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum RegistryLogin {
    /// Not at all.
    Open,
    /// By a name and a password.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// By a token.
    Bearer(String),
}

impl fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Basic { .. } => "basic …",
            Self::Bearer(_) => "bearer …",
        })
    }
}

pub(super) static REGISTRY: Key<Sub> = sub(
    "registry",
    "The schema registry of records in Confluent's wire format. While it does not answer, records whose schema is not \
     known yet wait.",
    &[&URLS, &USER, &PASSWORD, &BEARER, &CA_FILE, &TIMEOUT],
);
static URLS: Key<Texts> = texts(
    "urls",
    Preset::Nothing("none: there is no registry", &["http://localhost:8081"]),
    "`http://` or `https://`, a host, and a path where the registry has one",
    "The addresses of the registry. The next one is asked where one does not answer.",
);
static USER: Key<Text> = text(
    "user",
    Preset::Nothing("none", "tidecast"),
    "",
    "The name for basic authentication; of Confluent Cloud the API key.",
);
static PASSWORD: Key<Text> = text(
    "password",
    Preset::Nothing("none", "${file:/run/secrets/registry-password}"),
    "",
    "The password of `user`.",
);
static BEARER: Key<Text> = text(
    "token",
    Preset::Nothing("none", "${file:/run/secrets/registry-token}"),
    "",
    "The bearer token, instead of `user` and `password`.",
);
static CA_FILE: Key<Text> = text(
    "ca_file",
    Preset::Nothing("none: the certificates of the system", "/etc/tidecast/registry-ca.pem"),
    "a file in PEM",
    "The certificates that sign the registry's own.",
);
static TIMEOUT: Key<Span> = span(
    "timeout",
    Preset::Is(Duration::from_secs(10)),
    Duration::from_millis(100)..=Duration::from_secs(300),
    "The longest time for one request.",
);

/// The registry, if the config has one.
pub(super) fn registry(mut s: Section<'_>) -> Option<SchemaRegistry> {
    let mut urls = s.texts(&URLS).unwrap_or_default();
    for url in &mut urls {
        let trimmed = url.trim_end_matches('/');
        if !["http://", "https://"]
            .iter()
            .any(|scheme| trimmed.len() > scheme.len() && url.starts_with(scheme))
        {
            s.fault("urls", format!("has \"{url}\"; say for example \"http://localhost:8081\""));
        }
        url.truncate(trimmed.len());
    }
    let user = s.optional_text(&USER);
    let password = s.optional_text(&PASSWORD);
    let login = match (user, password, s.optional_text(&BEARER)) {
        (None, None, None) => RegistryLogin::Open,
        (Some(user), Some(password), None) => RegistryLogin::Basic { user, password },
        (None, None, Some(token)) => RegistryLogin::Bearer(token),
        (_, _, Some(_)) => {
            s.fault("token", "can't go with user and password: a request has one of them");
            RegistryLogin::Open
        }
        (user, ..) => {
            let (missing, other) = if user.is_some() { ("password", "user") } else { ("user", "password") };
            s.fault(missing, format!("is missing: {other} needs it"));
            RegistryLogin::Open
        }
    };
    let ca = s.optional_text(&CA_FILE).and_then(|path| match std::fs::read(&path) {
        Ok(pem) => Some(pem),
        Err(e) => {
            s.fault("ca_file", format!("can't read {path}: {e}"));
            None
        }
    });
    let timeout = s.duration(&TIMEOUT);
    if urls.is_empty() && (login != RegistryLogin::Open || ca.is_some()) {
        s.fault(
            "urls",
            "is missing: say where the registry is, for example urls = [\"http://localhost:8081\"]",
        );
    }
    s.finish();
    (!urls.is_empty()).then_some(SchemaRegistry { urls, login, ca, timeout })
}
