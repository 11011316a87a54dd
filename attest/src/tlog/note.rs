//! Signed text: C2SP signed-note with Ed25519 keys.
//!
//! ```text
//! the text, which ends with a newline
//!
//! — key.name base64(key id ‖ signature)
//! ```
//!
//! Reading is strict: what [`Note::parse`] takes, [`Note`] prints again byte for byte.

use std::fmt;

use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::text::{decode_base64, encode_base64};

/// Longest note, in bytes: room for 16 post-quantum signatures of others.
pub const NOTE_MAX: usize = 128 * 1024;

/// Most signatures on a note.
pub const SIGNATURES_MAX: usize = 32;

/// Signature type of plain Ed25519 over the text.
const ED25519: u8 = 1;

/// Begins each signature line.
const DASH: &str = "— ";

/// A key that notes are verified with: a name and an Ed25519 public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteKey {
    name: String,
    key: VerifyingKey,
}

impl NoteKey {
    /// Names a key.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn new(name: &str, key: &[u8; 32]) -> Result<Self, KeyError> {
        if !is_key_name(name) {
            return Err(KeyError::Name);
        }
        let key = VerifyingKey::from_bytes(key).map_err(|_| KeyError::Key)?;
        if key.is_weak() {
            return Err(KeyError::Key);
        }
        Ok(Self { name: name.to_owned(), key })
    }

    /// Reads a verifier key, `name+id+base64(type ‖ key)`, as the file `log.vkey` holds it.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn parse(vkey: &str) -> Result<Self, KeyError> {
        let (name, rest) = vkey.split_once('+').ok_or(KeyError::Format)?;
        let (id, key) = rest.split_once('+').ok_or(KeyError::Format)?;
        let key = decode_base64(key).ok_or(KeyError::Format)?;
        let Some((&ED25519, key)) = key.split_first() else {
            return Err(KeyError::Type);
        };
        let found = Self::new(name, key.try_into().map_err(|_| KeyError::Key)?)?;
        if id == format!("{:08x}", found.id()) { Ok(found) } else { Err(KeyError::Id) }
    }

    /// Its name; for a log's key, the log's origin too.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// First four bytes of SHA-256 over name, newline, type and key. No protection by itself.
    pub fn id(&self) -> u32 {
        let hash = Sha256::new()
            .chain_update(&self.name)
            .chain_update([b'\n', ED25519])
            .chain_update(self.key.as_bytes())
            .finalize();
        u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
    }

    fn accepts(&self, text: &str, signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.key.verify_strict(text.as_bytes(), &signature).is_ok())
    }
}

/// The verifier key as text.
impl fmt::Display for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ED25519], self.key.as_bytes().as_slice()].concat();
        write!(f, "{}+{:08x}+{}", self.name, self.id(), encode_base64(&key))
    }
}

/// Why a verifier key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Not three parts, or not base64.
    #[error("a verifier key reads NAME+ID+BASE64")]
    Format,
    /// Empty, or with a space, a plus or a control character.
    #[error("a key name has no spaces, plus signs or control characters")]
    Name,
    /// The id is not that of the key: a typing mistake.
    #[error("the id in the verifier key does not belong to its name and key")]
    Id,
    /// Another kind of signature.
    #[error("the verifier key is not for Ed25519 notes")]
    Type,
    /// Not 32 bytes that are a public key of full order.
    #[error("the verifier key holds no Ed25519 public key")]
    Key,
}

/// One signature on a note, not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    name: String,
    id: u32,
    signature: Vec<u8>,
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let (name, signature) = line.strip_prefix(DASH)?.split_once(' ')?;
        let bytes = decode_base64(signature)?;
        let (id, signature) = bytes.split_first_chunk()?;
        (is_key_name(name) && !signature.is_empty()).then(|| Self {
            name: name.to_owned(),
            id: u32::from_be_bytes(*id),
            signature: signature.to_vec(),
        })
    }
}

/// Text with signatures. Nothing in it means anything before [`Note::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    lines: Vec<Line>,
}

impl Note {
    /// Signs a text. `sign` makes the Ed25519 signature of `key` over the bytes that it is given.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign<E>(
        text: &str,
        key: &NoteKey,
        sign: impl FnOnce(&[u8]) -> Result<[u8; 64], E>,
    ) -> Result<Self, SignError<E>> {
        if !is_text(text) {
            return Err(SignError::Text);
        }
        let signature = sign(text.as_bytes()).map_err(SignError::Signer)?;
        if !key.accepts(text, &signature) {
            return Err(SignError::OtherKey);
        }
        let line = Line { name: key.name.clone(), id: key.id(), signature: signature.to_vec() };
        Ok(Self { text: text.to_owned(), lines: vec![line] })
    }

    /// Reads a note.
    ///
    /// # Errors
    /// [`NoteError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        let parsed = || {
            let note = str::from_utf8(bytes).ok().filter(|note| note.len() <= NOTE_MAX)?;
            // The last empty line ends the text: the text itself may have empty lines.
            let end = note.rfind("\n\n")? + 1;
            let (text, signatures) = (&note[..end], note[end + 1..].strip_suffix('\n')?);
            let lines: Vec<Line> = signatures
                .split('\n')
                .map(Line::parse)
                .take(SIGNATURES_MAX + 1)
                .collect::<Option<_>>()?;
            (is_text(text) && lines.len() <= SIGNATURES_MAX)
                .then(|| Self { text: text.to_owned(), lines })
        };
        parsed().ok_or(NoteError::Malformed)
    }

    /// The signed text, if `key` signed it. Signatures of other keys are ignored; every one that
    /// claims to be by `key` must be.
    ///
    /// # Errors
    /// [`NoteError`].
    pub fn verify(&self, key: &NoteKey) -> Result<&str, NoteError> {
        let mut own = self.lines.iter().filter(|line| line.name == key.name && line.id == key.id());
        let mut signed = false;
        if !own.all(|line| {
            signed = true;
            key.accepts(&self.text, &line.signature)
        }) {
            return Err(NoteError::Signature(key.name.clone()));
        }
        if signed { Ok(&self.text) } else { Err(NoteError::Unsigned(key.name.clone())) }
    }
}

/// The note as text.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for Line { name, id, signature } in &self.lines {
            let bytes = [&id.to_be_bytes(), signature.as_slice()].concat();
            writeln!(f, "{DASH}{name} {}", encode_base64(&bytes))?;
        }
        Ok(())
    }
}

/// Why a note is not believed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoteError {
    /// Not a signed note.
    #[error("not a signed note")]
    Malformed,
    /// The key did not sign it.
    #[error("the note has no signature by {0}")]
    Unsigned(String),
    /// A signature that claims to be by the key is not.
    #[error("the signature by {0} is wrong")]
    Signature(String),
}

/// Why a note could not be signed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SignError<E> {
    /// The text does not end with a newline, is too long or has control characters.
    #[error("the text cannot be signed as a note")]
    Text,
    /// The signature is not by the named key: the wrong private key was configured.
    #[error("the signature is not by the key in the verifier key")]
    OtherKey,
    /// Signing failed.
    #[error(transparent)]
    Signer(E),
}

fn is_text(text: &str) -> bool {
    text.len() <= NOTE_MAX / 2
        && text.ends_with('\n')
        && !text.chars().any(|character| character < ' ' && character != '\n')
}

fn is_key_name(name: &str) -> bool {
    !name.is_empty()
        && !name.chars().any(|character| {
            character.is_whitespace() || character.is_control() || character == '+'
        })
}
