//! A number in the TPM that only ever grows: what shows that the state directory was rolled back.

use crate::error::{TpmError, during, kind};
use crate::session::ONE_EMPTY;
use crate::worker::Tpm;
use tss_esapi::Context;
use tss_esapi::attributes::NvIndexAttributesBuilder;
use tss_esapi::constants::NvIndexType;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Kind;
use tss_esapi::handles::{NvIndexHandle, NvIndexTpmHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::{NvAuth, Provision};
use tss_esapi::structures::NvPublicBuilder;

/// In the range that the TCG leaves to owners (Registry of Reserved TPM 2.0 Handles, 2.2.2).
const INDEX: u32 = 0x0180_5ea1;
const SIZE: u16 = 8;
const CREATING: &str = "making the counter";

/// A counter that nobody, root included, can take back.
pub trait MonotonicCounter {
    /// Makes the counter and returns its first value. Its maker must hold this to be a new
    /// beginning: an existing counter is an error.
    ///
    /// # Errors
    /// [`TpmError::Failed`] if it exists, [`TpmError::Password`] if the TPM has an owner password.
    fn create(&self) -> Result<u64, TpmError>;

    /// The present value.
    ///
    /// # Errors
    /// [`TpmError::NoCounter`] if it is gone, [`TpmError::Unreachable`] and the like.
    fn read(&self) -> Result<u64, TpmError>;

    /// Adds one and returns the value then, which is larger by more than one if another program
    /// added one meanwhile. After an error it may have been added or not: read it.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn increment(&self) -> Result<u64, TpmError>;
}

/// The counter of this device, an NV index of type counter. TPM2_Clear deletes it; made again it
/// starts above every value that a deleted counter of this TPM ever had.
#[derive(Clone, Debug)]
pub struct TpmCounter {
    tpm: Tpm,
}

impl TpmCounter {
    /// The counter in `tpm`, whether it exists or not.
    pub fn new(tpm: &Tpm) -> Self {
        Self { tpm: tpm.clone() }
    }
}

impl MonotonicCounter for TpmCounter {
    fn create(&self) -> Result<u64, TpmError> {
        match self.read() {
            Err(TpmError::NoCounter { .. }) => {}
            Ok(_) => return Err(TpmError::Failed { doing: CREATING, reason: "it exists".into() }),
            Err(error) => return Err(error),
        }
        self.tpm.run(define)?;
        self.increment()
    }

    fn read(&self) -> Result<u64, TpmError> {
        self.tpm.run(|context| with_index(context, value))
    }

    fn increment(&self) -> Result<u64, TpmError> {
        // The TPM may be busy between the two commands; then the job runs again, and must not add
        // again.
        let mut added = false;
        self.tpm.run(move |context| {
            with_index(context, |context, index| {
                if !added {
                    add(context, index)?;
                    added = true;
                }
                value(context, index)
            })
        })
    }
}

/// Makes the index; one that a power cut left without a value will do.
fn define(context: &mut Context) -> Result<(), TpmError> {
    let doing = during(CREATING);
    let build = || {
        let attributes = NvIndexAttributesBuilder::new()
            .with_nv_index_type(NvIndexType::Counter)
            .with_auth_read(true)
            .with_auth_write(true)
            .with_no_da(true)
            .build()?;
        NvPublicBuilder::new()
            .with_nv_index(NvIndexTpmHandle::new(INDEX)?)
            .with_index_name_algorithm(HashingAlgorithm::Sha256)
            .with_index_attributes(attributes)
            .with_data_area_size(SIZE.into())
            .build()
    };
    let public = build().map_err(&doing)?;
    let defined = context.execute_with_sessions(ONE_EMPTY, |context| {
        context.nv_define_space(Provision::Owner, None, public)
    });
    match defined {
        Ok(index) => context.tr_close(&mut index.into()).map_err(doing),
        Err(error) if kind(&error) == Some(Kind::NvDefined) => Ok(()),
        Err(error) => Err(doing(error)),
    }
}

fn with_index<T>(
    context: &mut Context,
    job: impl FnOnce(&mut Context, NvIndexHandle) -> Result<T, TpmError>,
) -> Result<T, TpmError> {
    let doing = during("finding the counter");
    let handle = TpmHandle::NvIndex(NvIndexTpmHandle::new(INDEX).map_err(&doing)?);
    let mut object = context
        .execute_without_session(|context| context.tr_from_tpm_public(handle))
        .map_err(|error| match kind(&error) {
            Some(Kind::Handle) => TpmError::NoCounter { index: INDEX },
            _ => doing(error),
        })?;
    let result = job(context, object.into());
    // Only the library's memory of it; the index stays.
    context.tr_close(&mut object).map_err(doing)?;
    result
}

fn add(context: &mut Context, index: NvIndexHandle) -> Result<(), TpmError> {
    context
        .execute_with_sessions(ONE_EMPTY, |context| {
            context.nv_increment(NvAuth::NvIndex(index), index)
        })
        .map_err(during("incrementing the counter"))
}

fn value(context: &mut Context, index: NvIndexHandle) -> Result<u64, TpmError> {
    let bytes = context
        .execute_with_sessions(ONE_EMPTY, |context| {
            context.nv_read(NvAuth::NvIndex(index), index, SIZE, 0)
        })
        .map_err(|error| match kind(&error) {
            Some(Kind::NvUninitialized) => TpmError::NoCounter { index: INDEX },
            _ => during("reading the counter")(error),
        })?;
    let bytes = bytes.value().try_into().map_err(|_| TpmError::Damaged { what: "the counter" })?;
    Ok(u64::from_be_bytes(bytes))
}
