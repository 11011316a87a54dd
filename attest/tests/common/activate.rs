//! TPM2_ActivateCredential in software: the other side of `make_credential`, written apart from
//! it and checked against credentials made by tpm2-tools.

use aes::cipher::KeyIvInit;
use hmac::{EagerHash, Hmac, KeyInit, Mac};
use rsa::traits::Decryptor;
use sha2::digest::Digest;
use sha2::{Sha256, Sha384};

/// The private half of an endorsement key.
pub enum EkSecret {
    Rsa(Box<rsa::PrivateKey>),
    P256(p256::SecretKey),
    P384(p384::SecretKey),
}

impl EkSecret {
    /// Recovers the secret of a credential for the object `name`; `None` if its HMAC is wrong.
    pub fn activate(&self, name: &[u8], blob: &[u8], encrypted_secret: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Rsa(key) => {
                let key = rsa::oaep::DecryptingKey::<Sha256>::new_with_label(
                    (**key).clone(),
                    *b"IDENTITY\0",
                );
                let seed = key.decrypt(encrypted_secret).ok()?;
                open::<Sha256, aes::Aes128>(&seed, name, blob)
            }
            Self::P256(key) => {
                let seed = ecc_seed::<Sha256>(
                    encrypted_secret,
                    32,
                    &{ key.public_key().to_sec1_bytes()[1..33].to_vec() },
                    |point| {
                        let point = p256::PublicKey::from_sec1_bytes(point).unwrap();
                        p256::ecdh::diffie_hellman(key.to_nonzero_scalar(), point.as_affine())
                            .raw_secret_bytes()
                            .to_vec()
                    },
                );
                open::<Sha256, aes::Aes128>(&seed, name, blob)
            }
            Self::P384(key) => {
                let seed = ecc_seed::<Sha384>(
                    encrypted_secret,
                    48,
                    &{ key.public_key().to_sec1_bytes()[1..49].to_vec() },
                    |point| {
                        let point = p384::PublicKey::from_sec1_bytes(point).unwrap();
                        p384::ecdh::diffie_hellman(key.to_nonzero_scalar(), point.as_affine())
                            .raw_secret_bytes()
                            .to_vec()
                    },
                );
                open::<Sha384, aes::Aes256>(&seed, name, blob)
            }
        }
    }
}

fn ecc_seed<D: Digest>(
    point: &[u8],
    size: usize,
    own_x: &[u8],
    agree: impl FnOnce(&[u8]) -> Vec<u8>,
) -> Vec<u8> {
    let (x, y) = (&point[2..2 + size], &point[4 + size..]);
    let z = agree(&[&[4], x, y].concat());
    let input = [&[0, 0, 0, 1], &z[..], b"IDENTITY\0", x, own_x].concat();
    D::digest(input).to_vec()
}

fn open<D, C>(seed: &[u8], name: &[u8], blob: &[u8]) -> Option<Vec<u8>>
where
    D: Digest + EagerHash,
    C: aes::cipher::BlockCipherEncrypt + aes::cipher::KeyInit,
{
    let hash_size = <D as Digest>::output_size();
    let (mac, sealed) = blob[2..].split_at(hash_size);
    let mac_key = kdf::<D>(seed, b"INTEGRITY\0", &[], hash_size);
    let mut expected = Hmac::<D>::new_from_slice(&mac_key).unwrap();
    expected.update(sealed);
    expected.update(name);
    expected.verify_slice(mac).ok()?;
    let key = kdf::<D>(seed, b"STORAGE\0", name, C::key_size());
    let mut plain = sealed.to_vec();
    cfb_mode::Decryptor::<C>::new_from_slices(&key, &vec![0; C::block_size()])
        .unwrap()
        .decrypt(&mut plain);
    Some(plain[2..].to_vec())
}

fn kdf<D: Digest + EagerHash>(key: &[u8], label: &[u8], context: &[u8], size: usize) -> Vec<u8> {
    let bits = (8 * size as u32).to_be_bytes();
    let mut mac = Hmac::<D>::new_from_slice(key).unwrap();
    mac.update(&[&[0, 0, 0, 1], label, context, &bits[..]].concat());
    mac.finalize().into_bytes()[..size].to_vec()
}
