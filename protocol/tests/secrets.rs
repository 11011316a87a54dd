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
