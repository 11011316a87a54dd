//! TPMT_PUBLIC of RSA and ECC keys (TPM 2.0 Library, Part 2, clause 12.2.4) and their names.

use sha2::{Digest, Sha256, Sha384, Sha512};

use super::alg;
use super::wire::{ParseError, Reader, push_sized};

/// Longest digest, and so longest policy.
const DIGEST_MAX: usize = 64;
/// Longest RSA modulus: 4096 bits.
const RSA_MAX: usize = 512;
/// Longest ECC coordinate: P-521.
pub(super) const COORDINATE_MAX: usize = 66;

/// The public area of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Public {
    /// Hash of the key's name ([`alg`]).
    pub name_alg: u16,
    /// TPMA_OBJECT ([`alg::attribute`]).
    pub attributes: u32,
    /// Digest of the authorisation policy, or empty.
    pub auth_policy: Vec<u8>,
    /// What kind of key, and its value.
    pub kind: PublicKind,
}

/// Parameters and value by type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKind {
    /// TPM_ALG_RSA.
    Rsa(RsaPublic),
    /// TPM_ALG_ECC.
    Ecc(EccPublic),
}

/// TPMS_RSA_PARMS and the modulus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RsaPublic {
    /// Symmetric algorithm of a storage key.
    pub symmetric: Option<Symmetric>,
    /// Signing or decryption scheme.
    pub scheme: Scheme,
    /// Bits of the modulus.
    pub key_bits: u16,
    /// Public exponent as stored; 0 stands for 65537.
    pub exponent: u32,
    /// The modulus, big-endian.
    pub modulus: Vec<u8>,
}

/// TPMS_ECC_PARMS and the point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EccPublic {
    /// Symmetric algorithm of a storage key.
    pub symmetric: Option<Symmetric>,
    /// Signing or agreement scheme.
    pub scheme: Scheme,
    /// TPM_ECC_CURVE ([`alg`]).
    pub curve: u16,
    /// Key derivation scheme.
    pub kdf: Scheme,
    /// First coordinate, big-endian.
    pub x: Vec<u8>,
    /// Second coordinate, big-endian.
    pub y: Vec<u8>,
}

/// TPMT_SYM_DEF_OBJECT other than TPM_ALG_NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symmetric {
    /// Block cipher.
    pub algorithm: u16,
    /// Its key size.
    pub key_bits: u16,
    /// Its mode.
    pub mode: u16,
}

/// A scheme with what its kind carries besides; TPM_ALG_NULL carries nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// TPM_ALG_ID of the scheme.
    pub algorithm: u16,
    /// Its hash, if the scheme has one.
    pub hash: Option<u16>,
    /// The counter of ECDAA.
    pub count: Option<u16>,
}

impl Scheme {
    /// TPM_ALG_NULL.
    pub const NULL: Self = Self { algorithm: alg::NULL, hash: None, count: None };

    /// A scheme with a hash and nothing else.
    pub const fn with_hash(algorithm: u16, hash: u16) -> Self {
        Self { algorithm, hash: Some(hash), count: None }
    }
}

impl Public {
    /// Reads a whole TPMT_PUBLIC, without an outer size.
    ///
    /// # Errors
    /// [`ParseError`]; nothing may follow.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u16("type")?;
        let name_alg = reader.u16("nameAlg")?;
        let attributes = reader.u32("objectAttributes")?;
        let auth_policy = reader.sized(DIGEST_MAX, "authPolicy")?.to_vec();
        let kind = match kind {
            alg::RSA => PublicKind::Rsa(RsaPublic::read(&mut reader)?),
            alg::ECC => PublicKind::Ecc(EccPublic::read(&mut reader)?),
            other => {
                return Err(ParseError::Unsupported { what: "type", value: other.into() });
            }
        };
        reader.finish()?;
        Ok(Self { name_alg, attributes, auth_policy, kind })
    }

    /// The wire form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        let kind = match self.kind {
            PublicKind::Rsa(_) => alg::RSA,
            PublicKind::Ecc(_) => alg::ECC,
        };
        out.extend(kind.to_be_bytes());
        out.extend(self.name_alg.to_be_bytes());
        out.extend(self.attributes.to_be_bytes());
        push_sized(&mut out, &self.auth_policy);
        match &self.kind {
            PublicKind::Rsa(rsa) => rsa.write(&mut out),
            PublicKind::Ecc(ecc) => ecc.write(&mut out),
        }
        out
    }

    /// The name: nameAlg and the digest of the wire form (Part 1, clause 16).
    ///
    /// # Errors
    /// [`ParseError::Unsupported`] for a nameAlg other than SHA-256, SHA-384 and SHA-512.
    pub fn name(&self) -> Result<Vec<u8>, ParseError> {
        let bytes = self.to_bytes();
        let digest = match self.name_alg {
            alg::SHA256 => Sha256::digest(&bytes).to_vec(),
            alg::SHA384 => Sha384::digest(&bytes).to_vec(),
            alg::SHA512 => Sha512::digest(&bytes).to_vec(),
            other => {
                return Err(ParseError::Unsupported { what: "nameAlg", value: other.into() });
            }
        };
        Ok([&self.name_alg.to_be_bytes()[..], &digest].concat())
    }

    /// Whether all these attribute bits are set.
    pub const fn has(&self, attributes: u32) -> bool {
        self.attributes & attributes == attributes
    }

    /// The key as an uncompressed SEC1 point, if it is an ECC key on P-256.
    pub fn p256_point(&self) -> Option<[u8; 65]> {
        match &self.kind {
            PublicKind::Ecc(ecc) if ecc.curve == alg::NIST_P256 => {
                let mut point = [0; 65];
                point[0] = 4;
                point[1..33].copy_from_slice(&pad::<32>(&ecc.x)?);
                point[33..].copy_from_slice(&pad::<32>(&ecc.y)?);
                Some(point)
            }
            _ => None,
        }
    }
}

/// The name of a marshalled TPMT_PUBLIC.
///
/// # Errors
/// [`ParseError`] if it is none, or names a hash we do not compute.
pub fn name_of(public: &[u8]) -> Result<Vec<u8>, ParseError> {
    Public::parse(public)?.name()
}

/// Left-pads a big-endian number to `N` bytes; `None` if it is longer.
pub(crate) fn pad<const N: usize>(number: &[u8]) -> Option<[u8; N]> {
    let mut padded = [0; N];
    padded[N.checked_sub(number.len())?..].copy_from_slice(number);
    Some(padded)
}

impl RsaPublic {
    fn read(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let symmetric = read_symmetric(reader)?;
        let scheme = read_scheme(reader, "RSA scheme", |algorithm| match algorithm {
            alg::RSASSA | alg::RSAPSS | alg::OAEP => Some(Carries::Hash),
            alg::NULL | alg::RSAES => Some(Carries::Nothing),
            _ => None,
        })?;
        Ok(Self {
            symmetric,
            scheme,
            key_bits: reader.u16("keyBits")?,
            exponent: reader.u32("exponent")?,
            modulus: reader.sized(RSA_MAX, "modulus")?.to_vec(),
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_symmetric(out, self.symmetric);
        write_scheme(out, self.scheme);
        out.extend(self.key_bits.to_be_bytes());
        out.extend(self.exponent.to_be_bytes());
        push_sized(out, &self.modulus);
    }
}

impl EccPublic {
    fn read(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let symmetric = read_symmetric(reader)?;
        let scheme = read_scheme(reader, "ECC scheme", |algorithm| match algorithm {
            alg::NULL => Some(Carries::Nothing),
            alg::ECDAA => Some(Carries::HashAndCount),
            alg::ECDSA | alg::ECDH | alg::SM2 | alg::ECSCHNORR | alg::ECMQV => Some(Carries::Hash),
            _ => None,
        })?;
        let curve = reader.u16("curve")?;
        let kdf = read_scheme(reader, "kdf", |algorithm| match algorithm {
            alg::NULL => Some(Carries::Nothing),
            MGF1 | KDF1_SP800_56A | KDF2 | KDF1_SP800_108 => Some(Carries::Hash),
            _ => None,
        })?;
        Ok(Self {
            symmetric,
            scheme,
            curve,
            kdf,
            x: reader.sized(COORDINATE_MAX, "x")?.to_vec(),
            y: reader.sized(COORDINATE_MAX, "y")?.to_vec(),
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_symmetric(out, self.symmetric);
        write_scheme(out, self.scheme);
        out.extend(self.curve.to_be_bytes());
        write_scheme(out, self.kdf);
        push_sized(out, &self.x);
        push_sized(out, &self.y);
    }
}

const MGF1: u16 = 0x0007;
const KDF1_SP800_56A: u16 = 0x0020;
const KDF2: u16 = 0x0021;
const KDF1_SP800_108: u16 = 0x0022;

/// What follows a scheme's identifier.
enum Carries {
    Nothing,
    Hash,
    HashAndCount,
}

fn read_symmetric(reader: &mut Reader<'_>) -> Result<Option<Symmetric>, ParseError> {
    match reader.u16("symmetric")? {
        alg::NULL => Ok(None),
        algorithm @ (alg::AES | alg::TDES | alg::SM4 | alg::CAMELLIA) => Ok(Some(Symmetric {
            algorithm,
            key_bits: reader.u16("symmetric key bits")?,
            mode: reader.u16("symmetric mode")?,
        })),
        other => Err(ParseError::Unsupported { what: "symmetric", value: other.into() }),
    }
}

fn write_symmetric(out: &mut Vec<u8>, symmetric: Option<Symmetric>) {
    match symmetric {
        None => out.extend(alg::NULL.to_be_bytes()),
        Some(Symmetric { algorithm, key_bits, mode }) => {
            for value in [algorithm, key_bits, mode] {
                out.extend(value.to_be_bytes());
            }
        }
    }
}

fn read_scheme(
    reader: &mut Reader<'_>,
    what: &'static str,
    carries: impl Fn(u16) -> Option<Carries>,
) -> Result<Scheme, ParseError> {
    let algorithm = reader.u16(what)?;
    let (hash, count) = match carries(algorithm) {
        Some(Carries::Nothing) => (None, None),
        Some(Carries::Hash) => (Some(reader.u16(what)?), None),
        Some(Carries::HashAndCount) => (Some(reader.u16(what)?), Some(reader.u16(what)?)),
        None => return Err(ParseError::Unsupported { what, value: algorithm.into() }),
    };
    Ok(Scheme { algorithm, hash, count })
}

fn write_scheme(out: &mut Vec<u8>, scheme: Scheme) {
    for value in [Some(scheme.algorithm), scheme.hash, scheme.count].into_iter().flatten() {
        out.extend(value.to_be_bytes());
    }
}
