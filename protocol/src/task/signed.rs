//! A task with its owner's signature.

use super::Task;
use crate::codec::{CodecError, Decode, Encode, Message, Reader, Writer};
use crate::error::{Refusal, require};
use crate::guard::Guard;
use crate::labels;
use crate::signature::{PublicKey, SecretKey, Signature};

/// A task as its owner signed it. The signature is checked by [`SignedTask::verify`], which is
/// part of every device's and the aggregator's first step.
#[derive(Debug, Clone, PartialEq)]
pub struct SignedTask {
    /// The task.
    pub task: Task,
    /// The owner's key.
    pub owner: PublicKey,
    /// The owner's signature over the task.
    pub signature: Signature,
}

impl SignedTask {
    /// Signs a task.
    pub fn sign(task: Task, owner: &SecretKey) -> Self {
        let signature = owner.sign(&signed_string(&task));
        Self { task, owner: owner.public(), signature }
    }

    /// Checks the owner's signature, not whether the owner is one that anybody trusts.
    ///
    /// # Errors
    /// [`Guard::OwnerSignature`]; whoever sent the task is at fault.
    pub fn verify(&self) -> Result<(), Refusal> {
        let signed = self.owner.verifies(&signed_string(&self.task), &self.signature);
        require(signed, Guard::OwnerSignature, || {
            format!("the signature on task {} is not by {}", self.task.name, self.owner)
        })
    }
}

fn signed_string(task: &Task) -> Vec<u8> {
    labels::TASK.string(&[&task.encoded()])
}

impl Encode for SignedTask {
    fn encode(&self, writer: &mut Writer) {
        self.task.encode(writer);
        self.owner.encode(writer);
        self.signature.encode(writer);
    }
}

impl Decode for SignedTask {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            task: Task::decode(reader)?,
            owner: PublicKey::decode(reader)?,
            signature: Signature::decode(reader)?,
        })
    }
}

/// The form of the file that `task sign` writes.
impl Message for SignedTask {
    const KIND: u8 = 1;
    const MAX_BYTES: usize = 512;
}
