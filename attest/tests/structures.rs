//! Our parser of TPM structures beside an independent one, `tpm2-protocol`, on good structures
//! and on thousands of bent ones.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::World;
use proptest::prelude::*;
use sealsum_attest::templates::EkAlgorithm;
use sealsum_attest::tpm::{
    Attest, Attested, EcdsaSignature, ParseError, Public, PublicKind, parse_selection,
    selection_bytes,
};
use tpm2_protocol::data::{
    TpmlPcrSelection, TpmsAttest, TpmtPublic, TpmtSignature, TpmuAttest, TpmuPublicId,
    TpmuSignature,
};
use tpm2_protocol::{TpmError, TpmMarshal, TpmUnmarshal, TpmWriter};

/// A kind of structure, read and written again by either parser.
struct Kind {
    ours: fn(&[u8]) -> Result<Vec<u8>, ParseError>,
    theirs: fn(&[u8]) -> Result<Vec<u8>, TpmError>,
}

const PUBLIC: Kind = Kind {
    ours: |bytes| Public::parse(bytes).map(|public| public.to_bytes()),
    theirs: theirs::<TpmtPublic>,
};
const ATTEST: Kind = Kind {
    ours: |bytes| Attest::parse(bytes).map(|attest| attest.to_bytes()),
    theirs: theirs::<TpmsAttest>,
};
const SIGNATURE: Kind = Kind {
    ours: |bytes| EcdsaSignature::parse(bytes).map(|signature| signature.to_bytes()),
    theirs: theirs::<TpmtSignature>,
};
const SELECTION: Kind = Kind {
    ours: |bytes| parse_selection(bytes).map(|banks| selection_bytes(&banks)),
    theirs: theirs::<TpmlPcrSelection>,
};

fn theirs<T: TpmUnmarshal + TpmMarshal>(bytes: &[u8]) -> Result<Vec<u8>, TpmError> {
    let (value, rest) = T::unmarshal(bytes)?;
    if !rest.is_empty() {
        return Err(TpmError::TrailingData { offset: 0, actual: rest.len() });
    }
    let mut buffer = vec![0; 4096];
    let mut writer = TpmWriter::new(&mut buffer);
    value.marshal(&mut writer)?;
    Ok(writer.as_bytes().to_vec())
}

/// Good structures of each kind, as a device makes them.
fn samples() -> Vec<(Kind, Vec<u8>)> {
    let mut world = World::new(1);
    let device = &world.device;
    let quote = device.quote_attest(&[7; 32]);
    let selection = match &quote.attested {
        Attested::Quote { selection, .. } => selection_bytes(selection),
        Attested::Certify { .. } => unreachable!("a quote was asked for"),
    };
    let (certify, signature) = device.certify(&[8; 32], &device.dk_public.name().unwrap());
    let mut samples = vec![
        (PUBLIC, device.ak_public.to_bytes()),
        (PUBLIC, device.dk_public.to_bytes()),
        (ATTEST, quote.to_bytes()),
        (ATTEST, certify),
        (SIGNATURE, signature),
        (SELECTION, selection),
    ];
    for algorithm in [EkAlgorithm::Rsa2048, EkAlgorithm::P256, EkAlgorithm::P384] {
        let (_, ek, _) = common::device::endorsement_key(algorithm, &mut world.rng);
        samples.push((PUBLIC, ek.to_bytes()));
    }
    samples
}

/// What swtpm and tpm2-tools made: keys of all kinds, quotes, certifications, and statements and
/// signatures that we have no use for (`vectors/README.md`).
#[derive(serde::Deserialize)]
struct Recorded {
    name: String,
    kind: String,
    /// Whether we read it; the other parser reads all of them.
    known: bool,
    hex: String,
}

impl Recorded {
    fn kind(&self) -> Kind {
        match self.kind.as_str() {
            "public" => PUBLIC,
            "attest" => ATTEST,
            _ => SIGNATURE,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        common::device::unhex(&self.hex)
    }
}

fn corpus() -> Vec<Recorded> {
    serde_json::from_str(include_str!("vectors/structures.json")).unwrap()
}

/// Both accept and write the same bytes, or both refuse; where only one refuses, it is because of
/// an identifier or a limit that it does not know, never because of the structure.
fn compare(kind: &Kind, bytes: &[u8]) -> Result<(), String> {
    match ((kind.ours)(bytes), (kind.theirs)(bytes)) {
        (Ok(ours), Ok(theirs)) if ours == bytes && theirs == bytes => Ok(()),
        (Err(_), Err(_)) => Ok(()),
        (Ok(ours), Err(TpmError::VariantNotAvailable { .. })) if ours == bytes => Ok(()),
        (Err(ParseError::Unsupported { .. } | ParseError::TooLong { .. }), Ok(_)) => Ok(()),
        (ours, theirs) => Err(format!("ours {ours:?}, theirs {theirs:?}, input {bytes:02x?}")),
    }
}

#[test]
fn both_accept_what_a_device_makes() {
    for (kind, bytes) in samples() {
        assert_eq!((kind.ours)(&bytes), Ok(bytes.clone()));
        assert_eq!((kind.theirs)(&bytes), Ok(bytes));
    }
}

#[test]
fn a_corpus_of_real_structures_is_judged_alike() {
    let corpus = corpus();
    assert!(corpus.len() >= 40);
    for recorded in &corpus {
        let (kind, bytes) = (recorded.kind(), recorded.bytes());
        assert_eq!((kind.theirs)(&bytes).as_ref(), Ok(&bytes), "{}", recorded.name);
        let ours = (kind.ours)(&bytes);
        assert_eq!(ours.is_ok(), recorded.known, "{}: {ours:?}", recorded.name);
        if !recorded.known {
            assert!(matches!(ours, Err(ParseError::Unsupported { .. })), "{}", recorded.name);
        }
        compare(&kind, &bytes).unwrap();
        for length in 0..bytes.len() {
            assert!((kind.ours)(&bytes[..length]).is_err(), "{}", recorded.name);
            compare(&kind, &bytes[..length]).unwrap();
        }
        for bit in 0..bytes.len() * 8 {
            let mut bent = bytes.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            compare(&kind, &bent).unwrap_or_else(|why| panic!("{} {bit}: {why}", recorded.name));
        }
    }
}

#[test]
fn both_read_the_same_fields_of_real_structures() {
    for recorded in corpus().into_iter().filter(|recorded| recorded.known) {
        let bytes = recorded.bytes();
        match recorded.kind.as_str() {
            "public" => same_public(&bytes),
            "attest" => same_attest(&bytes),
            _ => same_signature(&bytes),
        }
    }
}

fn same_public(bytes: &[u8]) {
    let ours = Public::parse(bytes).unwrap();
    let (theirs, _) = TpmtPublic::unmarshal(bytes).unwrap();
    assert_eq!(ours.auth_policy, theirs.auth_policy.as_ref());
    assert_eq!(ours.attributes, theirs.object_attributes.bits());
    match (&ours.kind, &theirs.unique) {
        (PublicKind::Rsa(rsa), TpmuPublicId::Rsa(modulus)) => {
            assert_eq!(rsa.modulus, modulus.as_ref());
        }
        (PublicKind::Ecc(ecc), TpmuPublicId::Ecc(point)) => {
            assert_eq!((&ecc.x[..], &ecc.y[..]), (point.x.as_ref(), point.y.as_ref()));
        }
        other => panic!("{other:?}"),
    }
}

fn same_signature(bytes: &[u8]) {
    let ours = EcdsaSignature::parse(bytes).unwrap();
    let (theirs, _) = TpmtSignature::unmarshal(bytes).unwrap();
    let TpmuSignature::Ecdsa(signature) = &theirs.signature else { panic!("{theirs:?}") };
    assert_eq!(ours.r, signature.signature_r.as_ref());
    assert_eq!(ours.s, signature.signature_s.as_ref());
}

#[test]
fn both_read_the_same_fields() {
    let device = World::new(2).device;
    same_attest(&device.quote_attest(&[7; 32]).to_bytes());
    let (certify, signature) = device.certify(&[8; 32], &device.dk_public.name().unwrap());
    same_attest(&certify);
    same_signature(&signature);
    same_public(&device.ak_public.to_bytes());
}

fn same_attest(bytes: &[u8]) {
    let ours = Attest::parse(bytes).unwrap();
    let (theirs, _) = TpmsAttest::unmarshal(bytes).unwrap();
    assert_eq!(ours.extra_data, theirs.extra_data.as_ref());
    assert_eq!(ours.qualified_signer, theirs.qualified_signer.as_ref());
    assert_eq!(ours.firmware_version, theirs.firmware_version.value());
    assert_eq!(ours.clock.clock, theirs.clock_info.clock.value());
    assert_eq!(ours.clock.reset_count, theirs.clock_info.reset_count.value());
    assert_eq!(ours.clock.restart_count, theirs.clock_info.restart_count.value());
    match (&ours.attested, &theirs.attested) {
        (Attested::Quote { digest, .. }, TpmuAttest::Quote(quote)) => {
            assert_eq!(digest, quote.pcr_digest.as_ref());
        }
        (Attested::Certify { name, qualified_name }, TpmuAttest::Certify(certify)) => {
            assert_eq!(name, certify.name.as_ref());
            assert_eq!(qualified_name, certify.qualified_name.as_ref());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_truncation_and_extension_is_refused() {
    for (kind, bytes) in samples() {
        for length in 0..bytes.len() {
            assert!((kind.ours)(&bytes[..length]).is_err());
            compare(&kind, &bytes[..length]).unwrap();
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!((kind.ours)(&longer), Err(ParseError::Trailing(1)));
    }
}

#[test]
fn every_bit_flip_is_judged_alike() {
    for (kind, bytes) in samples() {
        for bit in 0..bytes.len() * 8 {
            let mut bent = bytes.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            compare(&kind, &bent).unwrap();
        }
    }
}

proptest! {
    #[test]
    fn bent_structures_are_judged_alike(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        insert in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let samples = samples();
        let (kind, bytes) = which.get(&samples);
        let mut bent = bytes.clone();
        for (at, value) in edits {
            let at = at.index(bent.len());
            bent[at] = value;
        }
        let at = cut.index(bent.len());
        bent.splice(at..at, insert);
        prop_assert_eq!(compare(kind, &bent), Ok(()));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for kind in [PUBLIC, ATTEST, SIGNATURE, SELECTION] {
            prop_assert_eq!(compare(&kind, &bytes), Ok(()));
        }
    }
}
