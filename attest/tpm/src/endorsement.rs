//! The endorsement key: which TPM this is, and who made it.

use crate::error::{TpmError, during, kind};
use crate::keys::{wire, with_primary};
use crate::session::{ONE_EMPTY, Strength};
use crate::worker::Tpm;
use serde::{Deserialize, Serialize};
use tss_esapi::Context;
use tss_esapi::abstraction::{AsymmetricAlgorithmSelection, ek, nv};
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Kind;
use tss_esapi::handles::{KeyHandle, NvIndexTpmHandle, TpmHandle};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::key_bits::RsaKeyBits;
use tss_esapi::interface_types::resource_handles::{Hierarchy, NvAuth};

/// Which of the TCG's default endorsement keys (TCG EK Credential Profile, appendix B).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EkAlgorithm {
    /// Template L-1, RSA-2048.
    #[default]
    Rsa2048,
    /// Template L-2, NIST P-256.
    P256,
    /// Template H-3, NIST P-384.
    P384,
}

impl EkAlgorithm {
    /// Where the TCG profile puts the certificate.
    fn certificate_index(self) -> u32 {
        match self {
            Self::Rsa2048 => 0x01c0_0002,
            Self::P256 => 0x01c0_000a,
            Self::P384 => 0x01c0_0016,
        }
    }

    fn selection(self) -> AsymmetricAlgorithmSelection {
        match self {
            Self::Rsa2048 => AsymmetricAlgorithmSelection::Rsa(RsaKeyBits::Rsa2048),
            Self::P256 => AsymmetricAlgorithmSelection::Ecc(EccCurve::NistP256),
            Self::P384 => AsymmetricAlgorithmSelection::Ecc(EccCurve::NistP384),
        }
    }

    pub(crate) fn strength(self) -> Strength {
        match self {
            Self::Rsa2048 | Self::P256 => Strength::STANDARD,
            Self::P384 => Strength::HIGH,
        }
    }
}

/// An endorsement key, as the TPM shows it. Evidence only together with a certificate chain and
/// a credential activated with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endorsement {
    /// TPMT_PUBLIC.
    pub public: Vec<u8>,
    /// The X.509 certificate (DER) in the TPM's memory, if its maker put one there.
    pub certificate: Option<Vec<u8>>,
}

/// Reads the endorsement key and its certificate.
///
/// # Errors
/// [`TpmError::Unreachable`] and the like; [`TpmError::Damaged`] if the certificate's place holds
/// something else; [`TpmError::Password`] if the endorsement hierarchy has one.
pub fn read(tpm: &Tpm, algorithm: EkAlgorithm) -> Result<Endorsement, TpmError> {
    let certificate = tpm.run(move |context| read_certificate(context, algorithm))?;
    let public =
        tpm.run_slow(move |context| with_ek(context, algorithm, |_, _, public| Ok(public)))?;
    Ok(Endorsement { public, certificate })
}

/// Runs `job` with the endorsement key, made from its template, and its TPMT_PUBLIC.
pub(crate) fn with_ek<T>(
    context: &mut Context,
    algorithm: EkAlgorithm,
    job: impl FnOnce(&mut Context, KeyHandle, Vec<u8>) -> Result<T, TpmError>,
) -> Result<T, TpmError> {
    const DOING: &str = "making the endorsement key";
    let template = ek::create_ek_public_from_default_template_2(algorithm.selection(), None)
        .map_err(during(DOING))?;
    with_primary(context, DOING, Hierarchy::Endorsement, template, |context, ek, public| {
        job(context, ek, wire(public)?)
    })
}

fn read_certificate(
    context: &mut Context,
    algorithm: EkAlgorithm,
) -> Result<Option<Vec<u8>>, TpmError> {
    let doing = during("reading the endorsement certificate");
    let index = NvIndexTpmHandle::new(algorithm.certificate_index()).map_err(&doing)?;
    let object = context
        .execute_without_session(|context| context.tr_from_tpm_public(TpmHandle::NvIndex(index)));
    let object = match object {
        Ok(object) => object,
        Err(error) if kind(&error) == Some(Kind::Handle) => return Ok(None),
        Err(error) => return Err(doing(error)),
    };
    let read = context.execute_with_sessions(ONE_EMPTY, |context| {
        nv::read_full(context, NvAuth::NvIndex(object.into()), index)
    });
    // The library has closed the object by then.
    trim_certificate(&read.map_err(doing)?).map(Some)
}

/// The certificate without the unused rest of its place, which may hold 0x00 or 0xff only.
fn trim_certificate(stored: &[u8]) -> Result<Vec<u8>, TpmError> {
    let damaged = TpmError::Damaged { what: "the endorsement certificate in the TPM" };
    // A certificate is a DER SEQUENCE of 256 to 65535 bytes: 30 82 and two bytes of length.
    let [0x30, 0x82, high, low, ..] = stored else { return Err(damaged) };
    let length = 4 + usize::from(u16::from_be_bytes([*high, *low]));
    let (certificate, rest) = stored.split_at_checked(length).ok_or(damaged.clone())?;
    let unused = rest.iter().all(|byte| *byte == 0x00) || rest.iter().all(|byte| *byte == 0xff);
    if unused { Ok(certificate.into()) } else { Err(damaged) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> Vec<u8> {
        let mut der = vec![0x30, 0x82, 0x01, 0x00];
        der.extend([7; 256]);
        der
    }

    #[test]
    fn cuts_the_unused_rest() {
        for rest in [vec![], vec![0; 9], vec![0xff; 100]] {
            let stored = [certificate(), rest].concat();
            assert_eq!(trim_certificate(&stored).unwrap(), certificate());
        }
    }

    #[test]
    fn refuses_what_is_no_certificate() {
        let short = &certificate()[..259];
        let junk = [certificate(), vec![0xff, 0x00]].concat();
        for stored in [&[], short, &junk, &[0x30, 0x03, 1, 1, 0], &[0xff; 300]] {
            assert!(trim_certificate(stored).is_err());
        }
    }
}
