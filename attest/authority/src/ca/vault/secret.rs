//! Tokens and secret ids.

use std::path::Path;
use std::sync::Arc;

use sealsum_daemon::{Failure, codes, files};
use serde::de::Deserializer;
use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

/// The largest file of a secret, bytes.
const LIMIT: u64 = 64 * 1024;

/// A secret text, wiped when its last holder drops it. Has no `Debug` and no `==`; a clone is
/// another holder, not another copy.
#[derive(Clone)]
pub(super) struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Reads it from a file that only its owner may read, or from `credential:NAME`.
    pub(super) fn read(source: &str) -> Result<Self, Failure> {
        if source.starts_with("credential:") {
            return files::read_secret(source).map(Self::new);
        }
        let bytes = files::read_private(Path::new(source), LIMIT)?;
        let text = std::str::from_utf8(&bytes).unwrap_or_default().trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::new(
                codes::FILE_FORMAT,
                format!("{source}: is not one word"),
                "a file that holds the secret and nothing else",
            ));
        }
        Ok(Self::new(Zeroizing::new(text.to_owned())))
    }

    /// The text itself.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// Whether both hold the one text; no text is compared.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn new(text: Zeroizing<String>) -> Self {
        Self(Arc::new(text))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::new(Zeroizing::new(text)))
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
