//! Secrets cannot be printed, compared or copied by mistake.

use sealsum_protocol::mask::MaskSeed;
use sealsum_protocol::scalar::SecretScalar;
use sealsum_protocol::shamir::Share;

/// Does not compile if the type has the trait: two ways to be `Ambiguous` would apply.
macro_rules! assert_not {
    ($type:ty: $($bound:path),+) => {
        $({
            trait Ambiguous<Way> {
                fn exists() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            impl<T: ?Sized + $bound> Ambiguous<u8> for T {}
            <$type as Ambiguous<_>>::exists();
        })+
    };
}

fn wiped_on_drop<T: zeroize::ZeroizeOnDrop>() {}

#[test]
fn secrets_are_wiped_and_have_no_debug_no_equality_no_clone() {
    assert_not!(SecretScalar: std::fmt::Debug, PartialEq, Clone);
    assert_not!(Share: std::fmt::Debug, PartialEq, Clone);
    assert_not!(MaskSeed: std::fmt::Debug, PartialEq, Clone);
    wiped_on_drop::<SecretScalar>();
    wiped_on_drop::<Share>();
    wiped_on_drop::<MaskSeed>();
}

#[test]
fn keys_and_steps_of_a_round_have_no_debug_no_equality_no_clone() {
    use sealsum_protocol::channel::{Receiver, Sender};
    use sealsum_protocol::client::{
        Acknowledged, Advertised, Advertising, Checking, Masking, Quantized, Sharing, Signed,
        SurvivorsAgreed, Unmasking, Uploading,
    };
    use sealsum_protocol::exchange::ExchangeKey;
    use sealsum_protocol::messages::{Reveal, RevealedSecret, RevealedShare};
    use sealsum_protocol::server::Recovery;
    use sealsum_protocol::signature::SecretKey;
    assert_not!(ExchangeKey: std::fmt::Debug, PartialEq, Clone);
    assert_not!(SecretKey: std::fmt::Debug, PartialEq, Clone);
    assert_not!(Sender: std::fmt::Debug, PartialEq, Clone);
    assert_not!(Receiver: std::fmt::Debug, PartialEq, Clone);
    assert_not!(Reveal: std::fmt::Debug, PartialEq, Clone);
    assert_not!(RevealedShare: std::fmt::Debug, PartialEq, Clone);
    assert_not!(RevealedSecret: std::fmt::Debug, PartialEq, Clone);
    assert_not!(Quantized: std::fmt::Debug, PartialEq, Clone);
    assert_not!(SurvivorsAgreed: std::fmt::Debug, PartialEq, Clone);
    assert_not!(Recovery: std::fmt::Debug, PartialEq, Clone);
    assert_not!(Advertising: std::fmt::Debug, PartialEq, Clone);
    assert_not!(Advertised: std::fmt::Debug, PartialEq, Clone);
    assert_not!(Sharing: std::fmt::Debug, PartialEq, Clone);
    assert_not!(Acknowledged: std::fmt::Debug, PartialEq, Clone);
    assert_not!(Masking: std::fmt::Debug, PartialEq, Clone);
    assert_not!(Uploading: std::fmt::Debug, PartialEq, Clone);
    assert_not!(Checking: std::fmt::Debug, PartialEq, Clone);
    assert_not!(Signed: std::fmt::Debug, PartialEq, Clone);
    assert_not!(Unmasking: std::fmt::Debug, PartialEq, Clone);
}
