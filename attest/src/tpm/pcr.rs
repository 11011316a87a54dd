//! TPML_PCR_SELECTION (TPM 2.0 Library, Part 2, clauses 10.6.2 and 10.9.7).

use super::wire::{ParseError, Reader};

/// Most banks of one selection (the reference implementation's HASH_COUNT).
const BANKS_MAX: usize = 16;
/// Longest bitmap: 32 PCRs.
const BITMAP_MAX: usize = 4;

/// The PCRs of one bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PcrBank {
    /// Hash of the bank ([`super::alg`]).
    pub hash: u16,
    /// Bitmap, PCR 0 in the lowest bit of the first byte.
    pub bitmap: Vec<u8>,
}

impl PcrBank {
    /// The selected indices, ascending.
    pub fn indices(&self) -> Vec<u8> {
        let bits = self.bitmap.len() as u8 * 8;
        (0..bits).filter(|i| self.bitmap[usize::from(i / 8)] >> (i % 8) & 1 == 1).collect()
    }
}

pub(super) fn read(reader: &mut Reader<'_>) -> Result<Vec<PcrBank>, ParseError> {
    let count = reader.u32("PCR selection count")? as usize;
    if count > BANKS_MAX {
        return Err(ParseError::TooLong { what: "PCR selection", length: count, max: BANKS_MAX });
    }
    (0..count).map(|_| read_bank(reader)).collect()
}

fn read_bank(reader: &mut Reader<'_>) -> Result<PcrBank, ParseError> {
    let hash = reader.u16("PCR bank")?;
    let length = usize::from(reader.u8("PCR bitmap")?);
    if length > BITMAP_MAX {
        return Err(ParseError::TooLong { what: "PCR bitmap", length, max: BITMAP_MAX });
    }
    Ok(PcrBank { hash, bitmap: reader.take(length, "PCR bitmap")?.to_vec() })
}

pub(super) fn write(out: &mut Vec<u8>, banks: &[PcrBank]) {
    out.extend((banks.len() as u32).to_be_bytes());
    for bank in banks {
        out.extend(bank.hash.to_be_bytes());
        out.push(bank.bitmap.len() as u8);
        out.extend(&bank.bitmap);
    }
}

/// Reads a whole TPML_PCR_SELECTION.
///
/// # Errors
/// [`ParseError`]; nothing may follow.
pub fn parse_selection(bytes: &[u8]) -> Result<Vec<PcrBank>, ParseError> {
    let mut reader = Reader::new(bytes);
    let banks = read(&mut reader)?;
    reader.finish()?;
    Ok(banks)
}

/// The wire form of a TPML_PCR_SELECTION.
pub fn selection_bytes(banks: &[PcrBank]) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, banks);
    out
}
