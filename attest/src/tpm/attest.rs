//! TPMS_ATTEST of TPM2_Quote and TPM2_Certify (TPM 2.0 Library, Part 2, clause 10.12).

use super::pcr::{self, PcrBank};
use super::wire::{ParseError, Reader, push_sized};

/// TPM_GENERATED_VALUE: what a restricted key refuses to sign unless the TPM itself wrote it.
const MAGIC: u32 = 0xff54_4347;
const TYPE_CERTIFY: u16 = 0x8017;
const TYPE_QUOTE: u16 = 0x8018;
/// Longest TPM2B_NAME: algorithm and SHA-512 digest.
const NAME_MAX: usize = 66;
/// Longest TPM2B_DATA: a TPMT_HA of SHA-512.
const DATA_MAX: usize = 66;
/// Longest TPM2B_DIGEST.
const DIGEST_MAX: usize = 64;

/// What a TPM signed about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attest {
    /// Qualified name of the signing key.
    pub qualified_signer: Vec<u8>,
    /// What the caller asked to have included: our nonce.
    pub extra_data: Vec<u8>,
    /// Clock and counters.
    pub clock: ClockInfo,
    /// Vendor's firmware version.
    pub firmware_version: u64,
    /// What is attested.
    pub attested: Attested,
}

/// TPMS_CLOCK_INFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockInfo {
    /// Milliseconds; only a hint, it may run backwards after a power cut.
    pub clock: u64,
    /// TPM resets.
    pub reset_count: u32,
    /// TPM restarts and resumes since the last reset.
    pub restart_count: u32,
    /// Whether `clock` was never this high before; false after an unclean stop, and no fault.
    pub safe: bool,
}

/// TPMU_ATTEST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attested {
    /// TPMS_QUOTE_INFO.
    Quote {
        /// The PCRs quoted.
        selection: Vec<PcrBank>,
        /// Digest of their values.
        digest: Vec<u8>,
    },
    /// TPMS_CERTIFY_INFO.
    Certify {
        /// Name of the certified object.
        name: Vec<u8>,
        /// Its qualified name.
        qualified_name: Vec<u8>,
    },
}

impl Attest {
    /// Reads a whole TPMS_ATTEST.
    ///
    /// # Errors
    /// [`ParseError`]; nothing may follow.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(bytes);
        let magic = reader.u32("magic")?;
        if magic != MAGIC {
            return Err(ParseError::Magic(magic));
        }
        let kind = reader.u16("attestation type")?;
        let qualified_signer = reader.sized(NAME_MAX, "qualifiedSigner")?.to_vec();
        let extra_data = reader.sized(DATA_MAX, "extraData")?.to_vec();
        let clock = ClockInfo::read(&mut reader)?;
        let firmware_version = reader.u64("firmwareVersion")?;
        let attested = Attested::read(kind, &mut reader)?;
        reader.finish()?;
        Ok(Self { qualified_signer, extra_data, clock, firmware_version, attested })
    }

    /// The wire form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        out.extend(MAGIC.to_be_bytes());
        let kind = match self.attested {
            Attested::Quote { .. } => TYPE_QUOTE,
            Attested::Certify { .. } => TYPE_CERTIFY,
        };
        out.extend(kind.to_be_bytes());
        push_sized(&mut out, &self.qualified_signer);
        push_sized(&mut out, &self.extra_data);
        out.extend(self.clock.clock.to_be_bytes());
        out.extend(self.clock.reset_count.to_be_bytes());
        out.extend(self.clock.restart_count.to_be_bytes());
        out.push(self.clock.safe.into());
        out.extend(self.firmware_version.to_be_bytes());
        match &self.attested {
            Attested::Quote { selection, digest } => {
                pcr::write(&mut out, selection);
                push_sized(&mut out, digest);
            }
            Attested::Certify { name, qualified_name } => {
                push_sized(&mut out, name);
                push_sized(&mut out, qualified_name);
            }
        }
        out
    }
}

impl ClockInfo {
    fn read(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        Ok(Self {
            clock: reader.u64("clock")?,
            reset_count: reader.u32("resetCount")?,
            restart_count: reader.u32("restartCount")?,
            safe: match reader.u8("safe")? {
                0 => false,
                1 => true,
                other => {
                    return Err(ParseError::Unsupported { what: "safe", value: other.into() });
                }
            },
        })
    }
}

impl Attested {
    fn read(kind: u16, reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        match kind {
            TYPE_QUOTE => Ok(Self::Quote {
                selection: pcr::read(reader)?,
                digest: reader.sized(DIGEST_MAX, "pcrDigest")?.to_vec(),
            }),
            TYPE_CERTIFY => Ok(Self::Certify {
                name: reader.sized(NAME_MAX, "name")?.to_vec(),
                qualified_name: reader.sized(NAME_MAX, "qualifiedName")?.to_vec(),
            }),
            other => Err(ParseError::Unsupported { what: "attestation type", value: other.into() }),
        }
    }
}
