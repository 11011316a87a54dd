//! A corrupt device: it enters like any other, and from then on does what its holder wants with
//! its keys, without the shipped client and its rules.

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::channel::{self, OwnKeys, Receiver, SEALED_BYTES, Sender, Side};
use sealsum_protocol::client::{self, Answers};
use sealsum_protocol::cohort::Cohort;
use sealsum_protocol::exchange::ExchangeKey;
use sealsum_protocol::ids::Hash;
use sealsum_protocol::mask;
use sealsum_protocol::merkle;
use sealsum_protocol::messages::{Advertise, DealtShare, MaskedInput, SharedKeys};
use sealsum_protocol::roster::SignedEntry;
use sealsum_protocol::scalar::SecretScalar;
use sealsum_protocol::shamir::{self, Share};
use sealsum_protocol::signature::{SecretKey, Signature};
use sealsum_protocol::task::RoundSpec;
use sealsum_protocol::transcript::{self, SecretKind};

use crate::device::{Device, Marks, entry_rng, rng};
use crate::task::policy;
use crate::{START, root_of};

/// A corrupt device's secrets of one round, all in the open.
pub struct Colluder {
    pub device: Device,
    pub signed: SignedEntry,
    /// a, which its mask key is derived from.
    pub mask: SecretScalar,
    pub channel: ExchangeKey,
    /// Signs everything after the entry.
    pub signing: SecretKey,
    /// b.
    pub self_mask: SecretScalar,
}

/// What a dealer sends to one holder, before it is sealed and signed.
pub struct Piece {
    pub mask_key: [u8; 32],
    pub self_mask: [u8; 32],
    pub mask_key_commitment: Hash,
    pub self_mask_commitment: Hash,
    /// Whether there is a ciphertext that opens, or zeros.
    pub opens: bool,
}

impl Colluder {
    /// Enters a round. Device `index` draws what it would draw if it were honest.
    pub fn enter(index: usize, spec: &RoundSpec) -> Self {
        let (device, mut marks) = (Device::new(index), Marks::default());
        let answers = Answers { round: None, model: spec.model() };
        let (identity, policy) = (device.identity(), policy());
        let advertising = client::advertise(
            spec.clone(),
            &identity,
            &policy,
            &answers,
            &mut marks,
            START,
            &mut entry_rng(index),
        )
        .unwrap();
        let signature = device.tpm.sign(advertising.statement()).0.to_vec();
        let (_, Advertise { signed }) = advertising.sign(signature);
        // The client draws the three in this order.
        let mut drawn = entry_rng(index);
        let (mask, channel) = (SecretScalar::random(&mut drawn), ExchangeKey::draw(&mut drawn));
        let signing = SecretKey::draw(&mut drawn);
        assert_eq!(signed.entry.signing_key, signing.public());
        let self_mask = SecretScalar::random(&mut drawn);
        Self { device, signed, mask, channel, signing, self_mask }
    }

    fn side(cohort: &Cohort, index: usize) -> Side<'_> {
        Side { index, entry: &cohort.entries[index] }
    }

    /// Its place in a roster.
    pub fn place(&self, cohort: &Cohort) -> usize {
        cohort.index_of(self.device.id).expect("in the roster")
    }

    fn ends(&self, cohort: &Cohort, peer: usize) -> (Sender, Receiver) {
        let own = Self::side(cohort, self.place(cohort));
        let keys = OwnKeys { identity: &self.device.identity, channel: &self.channel };
        channel::establish(&cohort.transcript, own, keys, Self::side(cohort, peer)).unwrap()
    }

    /// Deals as an honest device does, to the holders that count.
    pub fn deal_to(&self, cohort: &Cohort, counts: impl Fn(usize) -> bool) -> SharedKeys {
        let only = |holder, piece: &mut Piece| piece.opens = counts(holder);
        self.deal_with(cohort, &self.mask, &self.self_mask, only)
    }

    /// Deals shares of `mask` and `self_mask`, commits to its own b, and lets `tamper` change what
    /// each holder gets before it is sealed and all is signed.
    pub fn deal_with(
        &self,
        cohort: &Cohort,
        mask: &SecretScalar,
        self_mask: &SecretScalar,
        tamper: impl Fn(usize, &mut Piece),
    ) -> SharedKeys {
        let own = self.place(cohort);
        let holders: Vec<usize> = cohort.neighbours(own).collect();
        let point = |holder: &usize| cohort.graph.share_position(own, *holder).unwrap();
        let points: Vec<u16> = holders.iter().map(point).collect();
        let mut rng = rng(3_000_000 + own as u64);
        let mut split =
            |secret| shamir::split(secret, cohort.parameters.t, &points, &mut rng).unwrap();
        let (of_mask, of_self) = (split(mask), split(self_mask));
        let commitment = cohort.transcript.self_mask_commitment(own, &self.self_mask);
        let shares: Vec<DealtShare> = holders
            .iter()
            .zip(of_mask.iter().zip(&of_self))
            .map(|(holder, (a, b))| {
                let mut piece = Self::piece(cohort, (own, *holder), a, b);
                tamper(*holder, &mut piece);
                self.seal(cohort, *holder, &piece, &commitment)
            })
            .collect();
        self.sign_deal(cohort, commitment, shares)
    }

    fn piece(cohort: &Cohort, (own, holder): (usize, usize), a: &Share, b: &Share) -> Piece {
        let commit = |kind, share: &Share| {
            cohort.transcript.share_commitment(kind, own, holder, share.as_bytes())
        };
        Piece {
            mask_key: *a.as_bytes(),
            self_mask: *b.as_bytes(),
            mask_key_commitment: commit(SecretKind::MaskKey, a),
            self_mask_commitment: commit(SecretKind::SelfMask, b),
            opens: true,
        }
    }

    fn seal(&self, cohort: &Cohort, holder: usize, piece: &Piece, dealer: &Hash) -> DealtShare {
        let Piece { mask_key_commitment, self_mask_commitment, .. } = *piece;
        let data =
            cohort.transcript.share_data(dealer, &mask_key_commitment, &self_mask_commitment);
        let plain: [u8; 64] = [piece.mask_key, piece.self_mask].concat().try_into().unwrap();
        let sealed = if piece.opens {
            self.ends(cohort, holder).0.seal(&plain, &data)
        } else {
            [0; SEALED_BYTES]
        };
        DealtShare { mask_key_commitment, self_mask_commitment, sealed }
    }

    /// Signs a deal, whatever is in it.
    pub fn sign_deal(
        &self,
        cohort: &Cohort,
        self_mask_commitment: Hash,
        shares: Vec<DealtShare>,
    ) -> SharedKeys {
        let own = self.place(cohort);
        let leaves = cohort.neighbours(own).zip(&shares);
        let leaves = leaves.map(|(holder, dealt)| cohort.transcript.deal_leaf(holder, dealt));
        let root = merkle::root(leaves.collect());
        let string = cohort.transcript.deal_string(own, &self_mask_commitment, &root);
        SharedKeys { self_mask_commitment, shares, signature: self.signing.sign(&string) }
    }

    /// The shares of both secrets that a dealer dealt to this device, if its ciphertext opens.
    pub fn open(&self, cohort: &Cohort, dealer: usize, deal: &SharedKeys) -> Option<[Share; 2]> {
        let own = self.place(cohort);
        let place = cohort.neighbours(dealer).position(|holder| holder == own)?;
        self.open_dealt(cohort, dealer, &deal.self_mask_commitment, &deal.shares[place])
    }

    /// The same from the part of the deal that is for this device.
    pub fn open_dealt(
        &self,
        cohort: &Cohort,
        dealer: usize,
        commitment: &Hash,
        dealt: &DealtShare,
    ) -> Option<[Share; 2]> {
        let DealtShare { mask_key_commitment, self_mask_commitment, sealed } = dealt;
        let data =
            cohort.transcript.share_data(commitment, mask_key_commitment, self_mask_commitment);
        let plain = self.ends(cohort, dealer).1.open(sealed, &data).ok()?;
        let share = |bytes: &[u8]| Share::from_canonical_bytes(bytes.try_into().unwrap());
        Some([share(&plain[..32])?, share(&plain[32..])?])
    }

    /// The chunks of `values`, masked as an honest device masks against this U2.
    pub fn chunks(&self, cohort: &Cohort, shared: &Bitmap, values: &[i64]) -> Vec<Vec<u8>> {
        let (own, suite) = (self.place(cohort), cohort.task.mask_suite);
        let transcript = cohort.transcript.with_sharers(shared);
        let key = transcript::mask_key(&cohort.transcript.params_hash, &self.mask);
        let mut masks = vec![(transcript.self_seed(suite, own, &self.self_mask), mask::Sign::Plus)];
        for peer in cohort.neighbours_in(own, shared) {
            let peer_key = (peer, &cohort.entries[peer].mask_key);
            let seed = transcript.pair_seed(suite, (own, &key), peer_key).unwrap();
            masks.push((seed, mask::Sign::of_pair(own, peer)));
        }
        let layout = &cohort.layout;
        let masked = |chunk: usize| {
            let coordinates = layout.chunk_coordinates(chunk);
            let mut words = layout.encode_chunk(chunk, &values[coordinates]);
            masks
                .iter()
                .for_each(|(seed, sign)| mask::apply(suite, seed, chunk, &mut words, *sign));
            layout.to_wire(chunk, &words)
        };
        (0..layout.chunks()).map(masked).collect()
    }

    /// tau over any U2 and any chunks.
    pub fn masked_input(
        &self,
        cohort: &Cohort,
        shared: &Bitmap,
        chunks: &[Vec<u8>],
    ) -> MaskedInput {
        let root = root_of(chunks);
        let string = cohort.transcript.with_sharers(shared).masked_string(&root);
        MaskedInput { root, signature: self.signing.sign(&string) }
    }

    /// Its signature over any U2, A and D, as often as it is asked.
    pub fn alive(&self, cohort: &Cohort, sets: [&Bitmap; 3]) -> Signature {
        let [shared, survivors, lost] = sets;
        let transcript = cohort.transcript.with_sharers(shared);
        self.signing.sign(&transcript.alive_string(survivors, lost))
    }
}
