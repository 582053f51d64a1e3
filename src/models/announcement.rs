//! Announcements on the models topic. A record's key is the stream's name, its value a small JSON object.
//!
//! ```text
//! {"version":12,"bundle":"power-000012.safetensors","checksum":"xxh3:0123456789abcdef",
//!  "round":14,"decision":"promoted","time":"2026-11-23T10:00:00Z"}
//! ```
//! A stream's last announcement in the topic holds, whatever its version. `version`, `bundle` and `checksum`
//! are absent while no network serves. Unknown fields and decisions are ignored, so that a newer Tidecast
//! may add some.

use crate::checkpoint::Bundles;
use crate::domain::{EventTime, ModelVersion};
use serde::{Deserialize, Serialize};

/// Why a model is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The model has won its round.
    Promoted,
    /// The model goes on serving: the round's challenger was not better.
    Rejected,
    /// The model goes on serving: the round's challenger was better, and has to be better once more.
    Shadowed,
    /// The model serves again, because its successor was worse. Without a model the experts serve alone again.
    RolledBack,
    /// An operator has asked for the model.
    Requested,
    /// A decision that this program does not know.
    Other,
}

impl Decision {
    fn as_str(self) -> &'static str {
        match self {
            Self::Promoted => "promoted",
            Self::Rejected => "rejected",
            Self::Shadowed => "shadowed",
            Self::RolledBack => "rolled_back",
            Self::Requested => "requested",
            Self::Other => "other",
        }
    }

    fn of(text: &str) -> Self {
        let known = [Self::Promoted, Self::Rejected, Self::Shadowed, Self::RolledBack, Self::Requested];
        known.into_iter().find(|decision| decision.as_str() == text).unwrap_or(Self::Other)
    }
}

/// A bundle in the store. The checksum tells it from another bundle of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleRef {
    pub version: ModelVersion,
    pub checksum: u64,
}

/// Which model serves a stream, and how many rounds the stream has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// `None` while no network serves.
    pub champion: Option<BundleRef>,
    pub rounds: u64,
    pub decision: Decision,
}

/// Why a record is no announcement.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AnnouncementError(String);

#[derive(Serialize, Deserialize)]
struct Text {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bundle: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checksum: Option<String>,
    round: u64,
    #[serde(default)]
    decision: String,
    #[serde(default)]
    time: String,
}

const CHECKSUM: &str = "xxh3:";

impl Announcement {
    /// The value of its record.
    pub fn write(&self, bundles: &Bundles, time: EventTime) -> Vec<u8> {
        let text = Text {
            version: self.champion.map(|named| named.version.0),
            bundle: self.champion.map(|named| bundles.file(named.version)),
            checksum: self.champion.map(|named| format!("{CHECKSUM}{:016x}", named.checksum)),
            round: self.rounds,
            decision: self.decision.as_str().to_owned(),
            time: time.to_string(),
        };
        serde_json::to_vec(&text).expect("numbers and texts are JSON")
    }

    /// # Errors
    /// [`AnnouncementError`] for anything but an announcement of a stream with these bundles.
    pub fn read(value: &[u8], bundles: &Bundles) -> Result<Self, AnnouncementError> {
        let text: Text = serde_json::from_slice(value).map_err(|e| AnnouncementError(e.to_string()))?;
        let champion = match (text.version, text.bundle, text.checksum) {
            (None, None, None) => None,
            (Some(version), Some(bundle), Some(checksum)) => {
                let version = ModelVersion(version);
                if bundle != bundles.file(version) {
                    return Err(AnnouncementError(format!(
                        "\"{bundle}\" is no bundle of version {}",
                        version.0
                    )));
                }
                let digits = checksum.strip_prefix(CHECKSUM).filter(|digits| digits.len() == 16);
                let sum = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
                let sum = sum.ok_or_else(|| AnnouncementError(format!("\"{checksum}\" is no checksum")))?;
                Some(BundleRef { version, checksum: sum })
            }
            _ => return Err(AnnouncementError("it names a model in part".to_owned())),
        };
        Ok(Self { champion, rounds: text.round, decision: Decision::of(&text.decision) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Store;
    use crate::config;
    use crate::domain::StreamName;
    use proptest::prelude::*;

    fn bundles() -> Bundles {
        let location = config::StoreLocation::Folder(std::env::temp_dir());
        let store = Store::open(&config::Store { location, properties: Vec::new() }).unwrap();
        Bundles::new(&store, &StreamName::new("power").unwrap())
    }

    #[test]
    fn it_is_written_as_the_documentation_says() {
        let champion = Some(BundleRef { version: ModelVersion(12), checksum: 0x0123_4567_89ab_cdef });
        let time = EventTime::from_micros(1_795_428_000_000_000).unwrap();
        let value =
            Announcement { champion, rounds: 14, decision: Decision::Promoted }.write(&bundles(), time);
        let wanted = r#"{"version":12,"bundle":"power-000012.safetensors","checksum":"xxh3:0123456789abcdef","round":14,"decision":"promoted","time":"2026-11-23T10:00:00Z"}"#;
        assert_eq!(String::from_utf8(value).unwrap(), wanted);
    }

    #[test]
    fn what_is_no_announcement_is_refused_and_what_is_new_passed_over() {
        let read = |text: &str| Announcement::read(text.as_bytes(), &bundles());
        let more = r#"{"version":1,"bundle":"power-000001.safetensors","checksum":"xxh3:00000000000000ff","round":1,"decision":"praised","by":"a"}"#;
        let named = BundleRef { version: ModelVersion(1), checksum: 255 };
        assert_eq!(
            read(more),
            Ok(Announcement { champion: Some(named), rounds: 1, decision: Decision::Other })
        );
        for (part, other) in [
            ("power-000001", "power-000002"),
            ("power-000001", "other-000001"),
            ("xxh3:", "sha1:"),
            ("xxh3:00", "xxh3:0000"),
            ("xxh3:00000000000000ff", "xxh3:-0000000000000ff"),
            ("\"round\":1,", ""),
            ("\"version\":1,", ""),
            ("\"version\":1,", "\"version\":-1,"),
        ] {
            let text = more.replace(part, other);
            assert!(text != more && read(&text).is_err(), "{text}");
        }
        assert!(read("").is_err() && read("null").is_err() && read("[]").is_err());
    }

    proptest! {
        #[test]
        fn it_is_read_as_it_was_written(
            champion in proptest::option::of((1u64..1_000_000, any::<u64>())),
            rounds in any::<u64>(),
        ) {
            let champion = champion.map(|(v, checksum)| BundleRef { version: ModelVersion(v), checksum });
            let decisions = [
                Decision::Promoted,
                Decision::Rejected,
                Decision::Shadowed,
                Decision::RolledBack,
                Decision::Requested,
            ];
            let announcement = Announcement { champion, rounds, decision: decisions[(rounds % 5) as usize] };
            let value = announcement.write(&bundles(), EventTime::MIN);
            prop_assert_eq!(Announcement::read(&value, &bundles()), Ok(announcement));
        }

        #[test]
        fn bytes_of_any_kind_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Announcement::read(&bytes, &bundles());
        }
    }
}
