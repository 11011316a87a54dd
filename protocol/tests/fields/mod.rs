//! The fields of messages as JSON, byte strings in hex.

use std::fmt::Write as _;

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::messages::*;
use sealsum_protocol::roster::SignedEntry;
use sealsum_protocol::task::{Grant, ModelRule, Privacy, RoundSpec, SignedTask, Task, Weights};
use serde_json::{Value, json};

pub(crate) fn hex(bytes: &[u8]) -> Value {
    let mut text = String::new();
    bytes.iter().for_each(|byte| write!(text, "{byte:02x}").unwrap());
    Value::String(text)
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// What is published of a value.
pub(crate) trait Fields {
    fn fields(&self) -> Value;
}

impl<T: Fields> Fields for Vec<T> {
    fn fields(&self) -> Value {
        self.iter().map(Fields::fields).collect()
    }
}

impl Fields for Bitmap {
    fn fields(&self) -> Value {
        json!({ "places": self.len(), "set": self.iter().collect::<Vec<_>>() })
    }
}

impl Fields for Task {
    fn fields(&self) -> Value {
        let (mechanism, z_permille, delta) = match self.privacy {
            Privacy::None => ("none", 0, 0.0),
            Privacy::Noise { law, z_permille, delta } => (law.name(), z_permille, delta),
        };
        json!({
            "name": self.name, "version": self.version, "coordinates": self.coordinates,
            "ring_bits": self.ring_bits, "clip": self.clip, "scale": self.scale,
            "weights": match self.weights { Weights::Equal => 0, Weights::UpTo(max) => max },
            "mechanism": mechanism, "z_permille": z_permille, "delta": delta,
            "start_when": self.start_when, "min_contributors": self.min_contributors,
            "max_devices": self.max_devices, "corrupt_share_permille": self.corrupt_share_permille,
            "dropout_share_permille": self.dropout_share_permille,
            "mask_suite": self.mask_suite.name(),
            "kind": self.kind.name(),
            "rotation": if self.kind.rotated() { "hadamard" } else { "none" },
            "model": match self.model { ModelRule::None => "none", ModelRule::Granted => "granted" },
            "max_rounds": self.max_rounds, "min_interval_s": self.min_interval_s,
            "not_before_s": self.not_before_s, "not_after_s": self.not_after_s,
            "deadlines_s": self.deadlines_s,
        })
    }
}

impl Fields for SignedTask {
    fn fields(&self) -> Value {
        json!({
            "task": self.task.fields(),
            "owner": hex(&self.owner.0), "signature": hex(&self.signature.0),
        })
    }
}

impl Fields for Grant {
    fn fields(&self) -> Value {
        json!({
            "task_hash": self.task, "number": self.number, "model_hash": self.model,
            "signature": hex(&self.signature.0),
        })
    }
}

impl Fields for RoundSpec {
    fn fields(&self) -> Value {
        json!({
            "signed_task": self.signed_task.fields(), "number": self.number,
            "nonce": hex(&self.nonce), "grant": self.grant.as_ref().map(Fields::fields),
        })
    }
}

impl Fields for Announcement {
    fn fields(&self) -> Value {
        json!({ "rounds": self.rounds.fields() })
    }
}

impl Fields for SignedEntry {
    fn fields(&self) -> Value {
        let entry = &self.entry;
        json!({
            "device": entry.device, "mask_key": hex(&entry.mask_key),
            "channel_key": hex(&entry.channel_key), "signing_key": hex(&entry.signing_key.0),
            "identity": hex(&entry.static_key), "certificate_sha256": entry.certificate,
            "certificate": hex(&self.certificate), "signature": hex(&self.signature),
        })
    }
}

impl Fields for Advertise {
    fn fields(&self) -> Value {
        self.signed.fields()
    }
}

impl Fields for Roster {
    fn fields(&self) -> Value {
        json!({ "entries": self.entries.fields(), "status_list": hex(&self.status_list) })
    }
}

impl Fields for DealtShare {
    fn fields(&self) -> Value {
        json!({
            "a_share_commitment": self.mask_key_commitment,
            "b_share_commitment": self.self_mask_commitment, "sealed": hex(&self.sealed),
        })
    }
}

impl Fields for SharedKeys {
    fn fields(&self) -> Value {
        json!({
            "b_commitment": self.self_mask_commitment, "shares": self.shares.fields(),
            "signature": hex(&self.signature.0),
        })
    }
}

impl Fields for InboundShare {
    fn fields(&self) -> Value {
        json!({
            "dealer": self.dealer, "b_commitment": self.dealer_commitment,
            "dealt": self.dealt.fields(), "path": self.path, "signature": hex(&self.signature.0),
        })
    }
}

impl Fields for InboundShares {
    fn fields(&self) -> Value {
        json!({ "shares": self.shares.fields() })
    }
}

impl Fields for ShareAck {
    fn fields(&self) -> Value {
        json!({ "good": self.good.fields() })
    }
}

impl Fields for Sharers {
    fn fields(&self) -> Value {
        json!({ "shared": self.shared.fields() })
    }
}

impl Fields for MaskedInput {
    fn fields(&self) -> Value {
        json!({ "root": self.root, "tau": hex(&self.signature.0) })
    }
}

impl Fields for SurvivorView {
    fn fields(&self) -> Value {
        json!({ "device": self.device, "root": self.root, "tau": hex(&self.signature.0) })
    }
}

impl Fields for Survivors {
    fn fields(&self) -> Value {
        json!({
            "survivors": self.survivors.fields(), "lost": self.lost.fields(),
            "views": self.views.fields(),
        })
    }
}

impl Fields for ConsistencySignature {
    fn fields(&self) -> Value {
        json!({ "signature": hex(&self.signature.0) })
    }
}

impl Fields for QuorumSignature {
    fn fields(&self) -> Value {
        json!({ "device": self.device, "signature": hex(&self.signature.0) })
    }
}

impl Fields for Quorum {
    fn fields(&self) -> Value {
        json!({ "signatures": self.signatures.fields() })
    }
}

impl Fields for RevealedShare {
    fn fields(&self) -> Value {
        let (of, share) = match &self.secret {
            RevealedSecret::SelfMask(share) => ("b", share),
            RevealedSecret::MaskKey(share) => ("a", share),
        };
        json!({ "dealer": self.dealer, "of": of, "share": hex(share.as_bytes()) })
    }
}

impl Fields for Reveal {
    fn fields(&self) -> Value {
        json!({ "shares": self.shares.fields() })
    }
}
