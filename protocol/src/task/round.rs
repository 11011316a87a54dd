//! One round of a task: its number, its nonce, and its model if the task has one.

use super::{ModelRule, SignedTask};
use crate::codec::{CodecError, Decode, Encode, Message, Reader, Writer};
use crate::error::{Refusal, require};
use crate::guard::Guard;
use crate::ids::{Hash, RoundId};
use crate::labels;
use crate::signature::{SecretKey, Signature};

/// The owner's word that one model belongs to one round of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The task.
    pub task: Hash,
    /// The round.
    pub number: u64,
    /// SHA-256 of the model.
    pub model: Hash,
    /// The owner's signature over the three.
    pub signature: Signature,
}

/// What a round is announced with: P of the paper.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundSpec {
    /// The task.
    pub signed_task: SignedTask,
    /// The round, 1 to the task's `max_rounds`.
    pub number: u64,
    /// Drawn by the aggregator, so that nobody can sign an entry for this round ahead of it.
    pub nonce: [u8; 32],
    /// The model, if the task's rounds have one.
    pub grant: Option<Grant>,
}

impl Grant {
    /// Grants `model` to round `number` of `task`.
    pub fn sign(task: Hash, number: u64, model: Hash, owner: &SecretKey) -> Self {
        let signature = owner.sign(&signed_string(task, number, model));
        Self { task, number, model, signature }
    }
}

fn signed_string(task: Hash, number: u64, model: Hash) -> Vec<u8> {
    labels::GRANT.string(&[task.as_bytes(), &number.to_le_bytes(), model.as_bytes()])
}

impl RoundSpec {
    /// h_P: the hash of all that the round was announced with.
    pub fn params_hash(&self) -> Hash {
        labels::PARAMETERS.hash(&[&self.encoded()])
    }

    /// The round id. It follows from the task and the number; the nonce is not in it.
    pub fn round_id(&self) -> RoundId {
        let task = self.signed_task.task.hash();
        RoundId(labels::ROUND.hash(&[task.as_bytes(), &self.number.to_le_bytes()]).0)
    }

    /// The model of the round, if it has one.
    pub fn model(&self) -> Option<Hash> {
        self.grant.as_ref().map(|grant| grant.model)
    }

    /// Checks the owner's signatures and that a grant is there exactly if the task asks for one.
    ///
    /// # Errors
    /// [`Guard::OwnerSignature`], [`Guard::Grant`], [`Guard::TaskWindow`] for a round number that
    /// the task does not have; the aggregator is at fault.
    pub fn verify(&self) -> Result<(), Refusal> {
        self.signed_task.verify()?;
        let task = &self.signed_task.task;
        require((1..=task.max_rounds).contains(&self.number), Guard::TaskWindow, || {
            format!("round {} of a task with {} rounds", self.number, task.max_rounds)
        })?;
        let (granted, demanded) = (self.grant.is_some(), task.model == ModelRule::Granted);
        require(granted == demanded, Guard::Grant, || {
            if demanded { "no grant" } else { "a grant for a task without a model" }.into()
        })?;
        self.grant.as_ref().map_or(Ok(()), |grant| self.verify_grant(grant))
    }

    fn verify_grant(&self, grant: &Grant) -> Result<(), Refusal> {
        let here = grant.task == self.signed_task.task.hash() && grant.number == self.number;
        require(here, Guard::Grant, || format!("the grant is for round {}", grant.number))?;
        let string = signed_string(grant.task, grant.number, grant.model);
        let signed = self.signed_task.owner.verifies(&string, &grant.signature);
        require(signed, Guard::OwnerSignature, || "the grant is not by the task's owner".into())
    }
}

impl Encode for Grant {
    fn encode(&self, writer: &mut Writer) {
        self.task.encode(writer);
        writer.u64(self.number);
        self.model.encode(writer);
        self.signature.encode(writer);
    }
}

impl Decode for Grant {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            task: Hash::decode(reader)?,
            number: reader.u64()?,
            model: Hash::decode(reader)?,
            signature: Signature::decode(reader)?,
        })
    }
}

/// The form of the file that `task grant` writes.
impl Message for Grant {
    const KIND: u8 = 2;
    const MAX_BYTES: usize = 256;
}

impl Encode for RoundSpec {
    fn encode(&self, writer: &mut Writer) {
        self.signed_task.encode(writer);
        writer.u64(self.number);
        self.nonce.encode(writer);
        writer.option(self.grant.as_ref());
    }
}

impl Decode for RoundSpec {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            signed_task: SignedTask::decode(reader)?,
            number: reader.u64()?,
            nonce: reader.array()?,
            grant: reader.option()?,
        })
    }
}
