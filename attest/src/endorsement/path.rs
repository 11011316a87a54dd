//! From an endorsement certificate to an anchor, one checked issuer at a time.

use der::oid::ObjectIdentifier;
use jiff::Timestamp;

use super::parsed::Parsed;
use super::signature;
use crate::refusals::{CERTIFICATE_PURPOSE, CRITICAL_EXTENSION, Refusal, UNKNOWN_ROOT, VALIDITY};

/// Most certificates of a path, leaf and anchor included.
pub const PATH_MAX: usize = 5;

/// tcg-kp-EKCertificate (TCG EK Credential Profile, 3.2.16).
const EK_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.8.1");

/// Finds an anchor that vouches for `leaf`, by way of `chain` where needed.
///
/// If there is none, the refusal is that of the last path tried.
pub(super) fn find<'a>(
    leaf: &'a Parsed,
    chain: &'a [&'a Parsed],
    anchors: &'a [Parsed],
    now: Timestamp,
) -> Result<&'a Parsed, Refusal> {
    check_leaf(leaf)?;
    check_any(leaf, now)?;
    Search { chain, anchors, now }.climb(&mut vec![leaf])
}

struct Search<'a> {
    chain: &'a [&'a Parsed],
    anchors: &'a [Parsed],
    now: Timestamp,
}

impl<'a> Search<'a> {
    /// Extends `path`, which is leaf first and checked so far, to an anchor.
    ///
    /// The work is bounded: at most [`PATH_MAX`] deep over a chain of bounded length, and only
    /// along equal names.
    fn climb(&self, path: &mut Vec<&'a Parsed>) -> Result<&'a Parsed, Refusal> {
        let top = path[path.len() - 1];
        if path.len() == PATH_MAX {
            return Err(UNKNOWN_ROOT.refuse(format_args!("a chain longer than {PATH_MAX}")));
        }
        let issuer = &top.issuer;
        let mut refusal = UNKNOWN_ROOT.refuse(format_args!("no installed root issued as {issuer}"));
        for anchor in self.anchors.iter().filter(|anchor| anchor.subject == *issuer) {
            match self.check_issuer(path, anchor) {
                Ok(()) => return Ok(anchor),
                Err(why) => refusal = why,
            }
        }
        for next in self.chain.iter().copied().filter(|next| next.subject == *issuer) {
            if path.iter().any(|seen| std::ptr::eq(*seen, next)) {
                continue;
            }
            match self.check_issuer(path, next).and_then(|()| self.climb_over(path, next)) {
                Ok(anchor) => return Ok(anchor),
                Err(why) => refusal = why,
            }
        }
        Err(refusal)
    }

    fn climb_over(
        &self,
        path: &mut Vec<&'a Parsed>,
        next: &'a Parsed,
    ) -> Result<&'a Parsed, Refusal> {
        path.push(next);
        let found = self.climb(path);
        path.pop();
        found
    }

    /// Everything that makes `issuer` the issuer of the top of `path`.
    fn check_issuer(&self, path: &[&Parsed], issuer: &Parsed) -> Result<(), Refusal> {
        check_any(issuer, self.now)?;
        check_authority(path, issuer)?;
        signature::verify(path[path.len() - 1], issuer)
    }
}

/// What holds for every certificate of a path.
fn check_any(certificate: &Parsed, now: Timestamp) -> Result<(), Refusal> {
    let subject = &certificate.subject;
    if now < certificate.not_before {
        return Err(VALIDITY.refuse(format_args!("{subject} is not valid yet")));
    }
    if now > certificate.not_after {
        return Err(VALIDITY.refuse(format_args!("{subject} has expired")));
    }
    if let Some(oid) = certificate.unknown_critical {
        return Err(CRITICAL_EXTENSION
            .refuse(format_args!("{subject} has the unknown critical extension {oid}")));
    }
    Ok(())
}

fn check_leaf(leaf: &Parsed) -> Result<(), Refusal> {
    if leaf.basic_constraints.as_ref().is_some_and(|constraints| constraints.ca) {
        return Err(CERTIFICATE_PURPOSE.refuse("the endorsement certificate is of an authority"));
    }
    match &leaf.extended_key_usage {
        Some(usages) if !usages.contains(&EK_CERTIFICATE) => Err(CERTIFICATE_PURPOSE
            .refuse("the endorsement certificate is not for endorsement (2.23.133.8.1)")),
        _ => Ok(()),
    }
}

fn check_authority(path: &[&Parsed], issuer: &Parsed) -> Result<(), Refusal> {
    let subject = &issuer.subject;
    let Some(constraints) = issuer.basic_constraints.as_ref().filter(|c| c.ca) else {
        return Err(
            CERTIFICATE_PURPOSE.refuse(format_args!("{subject} issues without being an authority"))
        );
    };
    if issuer.key_usage.is_some_and(|usage| !usage.key_cert_sign()) {
        return Err(CERTIFICATE_PURPOSE
            .refuse(format_args!("the key of {subject} may not sign certificates")));
    }
    // RFC 5280, 4.2.1.9: intermediates below the issuer, self-issued ones not counted.
    let below = path[1..].iter().filter(|certificate| !certificate.is_self_issued()).count();
    if constraints.path_len_constraint.is_some_and(|limit| below > usize::from(limit)) {
        return Err(CERTIFICATE_PURPOSE
            .refuse(format_args!("{below} authorities below {subject}, which allows fewer")));
    }
    Ok(())
}
