//! A device, a TPM vendor and an authority in software, for tests of the judgement alone.
//!
//! The device signs with software keys what a TPM would sign, so every structure can be bent in
//! every way. It is shared by several test targets, none of which uses all of it.
#![allow(dead_code, unreachable_pub, reason = "each test target uses another part")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

pub mod activate;
pub mod device;
pub mod fleet;
pub mod vendor;

use jiff::Timestamp;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use sealsum_attest::binding::Renewal;
use sealsum_attest::messages::{Bytes, EnrolAnswer, EnrolRequest, PcrValues, RenewAnswer};
use sealsum_attest::policy::{EnrolmentPolicy, PolicyData};
use sealsum_attest::refusals::Refusal;
use sealsum_attest::templates::EkAlgorithm;
use sealsum_attest::verify::{
    self, AuthorityIdentity, Known, RenewalSession, Session, ShownEndorsement, Verified,
};

pub use device::Device;
pub use vendor::Vendor;

/// The moment at which all tests happen.
pub fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

/// A generator that draws the same in every run.
pub fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// The policy of the tests, before a test bends it.
pub fn policy_data() -> PolicyData {
    PolicyData { ek_algorithm: "p256".into(), pcrs: vec![0, 7], ..PolicyData::default() }
}

/// What the authority says of itself.
pub fn authority() -> AuthorityIdentity {
    AuthorityIdentity { id: "spiffe://demo/authority".into(), spki_sha256: [0xa5; 32] }
}

/// One vendor, one device, one authority.
pub struct World {
    pub vendor: Vendor,
    pub device: Device,
    pub policy: EnrolmentPolicy,
    pub rng: ChaCha20Rng,
}

impl World {
    /// A P-256 device that the default policy admits.
    pub fn new(seed: u64) -> Self {
        Self::with(seed, EkAlgorithm::P256, policy_data())
    }

    pub fn with(seed: u64, algorithm: EkAlgorithm, mut data: PolicyData) -> Self {
        let mut rng = rng(seed);
        let vendor = Vendor::new("vendor");
        data.ek_algorithm = algorithm.name().into();
        let device = Device::new(&vendor, algorithm, &mut rng);
        let policy = EnrolmentPolicy::new(data, vendor.anchors()).unwrap();
        Self { vendor, device, policy, rng }
    }

    /// Admits a request and challenges it.
    pub fn challenge(&mut self, request: &EnrolRequest) -> Result<Session, Refusal> {
        verify::admit(request.clone(), &self.policy, now())?.challenge(
            &authority(),
            &self.policy,
            now(),
            &mut self.rng,
        )
    }

    /// A session of the good request.
    pub fn session(&mut self) -> Session {
        let request = self.device.request();
        self.challenge(&request).unwrap()
    }

    /// What vouches for the device, as it was shown.
    pub fn shown(&self) -> ShownEndorsement {
        ShownEndorsement {
            certificate: self.device.ek_certificate.clone(),
            chain: vec![self.vendor.intermediate.clone()],
            at: now(),
        }
    }

    /// The good answer to a session.
    pub fn answer(&self, session: &Session) -> EnrolAnswer {
        self.device.answer(session.request(), session.challenge(), &authority().spki_sha256)
    }

    /// What an authority has on record of the device once it enrolled.
    pub fn known(&self, verified: &Verified) -> Known {
        Known {
            device: *verified.device(),
            keys: verified.keys().clone(),
            shown: self.shown(),
            last: verified.state(),
            serial: vec![1, 2, 3],
        }
    }

    /// The device's answer to a renewal, over what it knows of itself.
    pub fn renewal_answer(&mut self, session: &RenewalSession, own: &Known) -> RenewAnswer {
        let csr = self.device.csr();
        let renewal = Renewal {
            nonce: &session.challenge().nonce.0,
            device: &own.device,
            dk_name: &own.keys.dk_name,
            x25519_public: &own.keys.x25519_public,
            old_serial: &own.serial,
            csr: &csr,
        };
        let blank = RenewAnswer {
            session: session.id(),
            quote_attest: Bytes::default(),
            quote_signature: Bytes::default(),
            pcrs: PcrValues::default(),
            csr: Bytes(csr.clone()),
            ledger_head: None,
        };
        self.device.renew(&renewal, blank)
    }

    pub fn judge(&self, session: Session, answer: &EnrolAnswer) -> Result<Verified, Refusal> {
        verify::judge(session, answer, &self.policy, now())
    }
}

/// PCR values of one byte each.
pub fn pcrs(values: &[(u8, u8)]) -> PcrValues {
    PcrValues(values.iter().map(|(index, byte)| (*index, [*byte; 32])).collect())
}
