//! Platform configuration registers of the SHA-256 bank.

use crate::error::{TpmError, during};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use tss_esapi::Context;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::structures::{PcrSelectionList, PcrSlot};

/// Values by index.
pub(crate) type Values = BTreeMap<u8, [u8; 32]>;

/// Most values one TPM2_PCR_Read returns.
const READ_AT_ONCE: usize = 8;
/// PCRs of a bank on a PC client.
const COUNT: u8 = 24;

/// The selection as a TPM parameter.
pub(crate) fn selection(pcrs: &[u8]) -> Result<PcrSelectionList, TpmError> {
    let none_such = || TpmError::NoPcr { pcrs: pcrs.into() };
    let slots = pcrs
        .iter()
        .map(|&pcr| if pcr < COUNT { PcrSlot::try_from(1 << pcr).ok() } else { None })
        .collect::<Option<Vec<PcrSlot>>>()
        .ok_or_else(none_such)?;
    PcrSelectionList::builder()
        .with_selection(HashingAlgorithm::Sha256, &slots)
        .build()
        .map_err(|_| none_such())
}

/// The selection as the policy digest contains it: TPML_PCR_SELECTION with one bank.
pub(crate) fn selection_wire(pcrs: &[u8]) -> [u8; 10] {
    let bits = pcrs.iter().fold(0_u32, |bits, pcr| bits | 1 << pcr);
    let [low, middle, high, _] = bits.to_le_bytes();
    [0, 0, 0, 1, 0x00, 0x0b, 3, low, middle, high]
}

/// Reads the selected PCRs, in as many commands as it takes.
pub(crate) fn read(context: &mut Context, pcrs: &[u8]) -> Result<Values, TpmError> {
    let mut sorted = pcrs.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut values = Values::new();
    for chunk in sorted.chunks(READ_AT_ONCE) {
        let selection = selection(chunk)?;
        let (_, _, digests) = context
            .execute_without_session(|context| context.pcr_read(selection))
            .map_err(during("reading PCRs"))?;
        let read: Vec<[u8; 32]> =
            digests.value().iter().filter_map(|digest| digest.value().try_into().ok()).collect();
        if read.len() != chunk.len() {
            return Err(TpmError::NoPcr { pcrs: chunk.into() });
        }
        values.extend(chunk.iter().copied().zip(read));
    }
    Ok(values)
}

/// What the TPM quotes: SHA-256 over the values, lowest index first.
pub(crate) fn digest(values: &Values) -> [u8; 32] {
    let mut hash = Sha256::new();
    for value in values.values() {
        hash.update(value);
    }
    hash.finalize().into()
}
