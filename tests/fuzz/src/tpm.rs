//! TPM structures, as a device sends them.

use sealsum_attest::certificate::PublicKey;
use sealsum_attest::templates::{check_ak, check_dk, check_ek};
use sealsum_attest::tpm::{Attest, EcdsaSignature, Public, parse_selection, selection_bytes};

use crate::{Target, named};

/// One for each structure.
pub const TARGETS: &[Target] = &[
    named("tpm-public", public),
    named("tpm-attest", attest),
    named("tpm-signature", signature),
    named("tpm-pcr-selection", selection),
];

fn public(bytes: &[u8]) {
    let Ok(public) = Public::parse(bytes) else { return };
    assert_eq!(public.to_bytes(), bytes, "a second encoding");
    if let Some(point) = public.p256_point()
        && let Ok(key) = PublicKey::from_sec1(&point)
    {
        assert_eq!(PublicKey::from_spki(&key.to_spki()), Ok(key));
    }
    let _ = check_ek(&public);
    if let Ok(key) = check_ak(&public) {
        assert_eq!(Some(*key.as_sec1()), public.p256_point());
        // The name of a restricted key, which a device key must not be.
        assert!(check_dk(&public, &public).is_err(), "one key for two purposes");
    }
}

fn attest(bytes: &[u8]) {
    if let Ok(attest) = Attest::parse(bytes) {
        assert_eq!(attest.to_bytes(), bytes, "a second encoding");
    }
}

fn signature(bytes: &[u8]) {
    let Ok(signature) = EcdsaSignature::parse(bytes) else { return };
    assert_eq!(signature.to_bytes(), bytes, "a second encoding");
    if let Some(fixed) = signature.to_p256() {
        let stripped =
            |half: &[u8]| half.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
        let (r, s) = fixed.split_at(32);
        assert_eq!(stripped(r), stripped(&signature.r), "another r");
        assert_eq!(stripped(s), stripped(&signature.s), "another s");
    }
}

fn selection(bytes: &[u8]) {
    let Ok(banks) = parse_selection(bytes) else { return };
    assert_eq!(selection_bytes(&banks), bytes, "a second encoding");
    assert!(banks.iter().flat_map(|bank| bank.indices()).count() <= 8 * bytes.len());
}
