//! Each number that clip, noise and their price follow from, changed by one unit: without the owner
//! no device takes it, and with an owner that signs both versions no two devices take them together.

use sealsum_protocol::dp::Law;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::task::{
    Bins, Kind, Privacy, Range, Rotation, RoundSpec, TaskFields, Weights,
};
use sealsum_test_fleet::*;

use crate::advertise::{altered, refused};
use crate::versions::two_versions;

type Change = fn(&mut TaskFields);

const RANGE: Range = Range { low: 0.0, high: 8.0 };

fn noise(law: Law, z_permille: u32, delta: f64) -> Privacy {
    Privacy::Noise { law, z_permille, delta }
}

fn vector(fields: &mut TaskFields) {
    fields.privacy = noise(Law::Skellam, 1000, 1e-6);
    (fields.clip, fields.min_contributors, fields.start_when) = (1.0, 3, 5);
    fields.kind = Kind::Vector(Rotation::Hadamard);
}

fn query(kind: Kind) -> impl Fn(&mut TaskFields) {
    move |fields| {
        fields.privacy = noise(Law::Skellam, 1000, 1e-6);
        fields.kind = kind;
        let template = kind.template().unwrap();
        fields.coordinates = template.coordinates;
        (fields.clip, fields.scale) = (template.clip, template.scale);
    }
}

fn each_change(base: impl Fn(&mut TaskFields), changes: &[Change]) {
    let announced = |change: Option<&Change>| -> RoundSpec {
        let changed = task(6, |fields| {
            base(fields);
            if let Some(change) = change {
                change(fields);
            }
        });
        spec(changed, 1)
    };
    for change in changes {
        refused(announced(None), altered(change), Guard::OwnerSignature);
        two_versions(announced(None), announced(Some(change)));
    }
}

#[test]
fn the_noise_of_a_vector_is_as_its_owner_signed_it_for_all() {
    each_change(
        vector,
        &[
            |fields| fields.privacy = noise(Law::Skellam, 1001, 1e-6),
            |fields| fields.privacy = noise(Law::Skellam, 999, 1e-6),
            |fields| fields.privacy = noise(Law::Skellam, 1000, 1e-6f64.next_up()),
            |fields| fields.privacy = noise(Law::DiscreteGaussian, 1000, 1e-6),
            |fields| (fields.privacy, fields.name) = (Privacy::None, "test".to_owned()),
        ],
    );
}

#[test]
fn the_sensitivity_of_a_vector_is_as_its_owner_signed_it_for_all() {
    each_change(
        vector,
        &[
            |fields| fields.clip = fields.clip.next_up(),
            |fields| fields.clip = fields.clip.next_down(),
            |fields| fields.scale *= 2,
            |fields| fields.scale /= 2,
            |fields| fields.coordinates += 1,
            |fields| fields.weights = Weights::UpTo(1),
            |fields| fields.kind = Kind::Vector(Rotation::None),
            |fields| fields.ring_bits += 1,
            |fields| fields.ring_bits -= 1,
        ],
    );
}

#[test]
fn who_shares_the_noise_is_as_its_owner_signed_it_for_all() {
    each_change(
        vector,
        &[
            |fields| fields.min_contributors += 1,
            |fields| fields.corrupt_share_permille += 1,
            |fields| fields.corrupt_share_permille -= 1,
            |fields| fields.dropout_share_permille += 1,
            |fields| fields.dropout_share_permille -= 1,
            |fields| fields.max_devices += 1,
        ],
    );
}

#[test]
fn a_query_is_as_its_owner_signed_it_for_all() {
    let eight = Bins { range: RANGE, count: 8 };
    each_change(
        query(Kind::Histogram(eight)),
        &[
            |fields| query(Kind::Histogram(Bins { range: RANGE, count: 9 }))(fields),
            |fields| query(Kind::Quantiles(Bins { range: RANGE, count: 8 }))(fields),
            |fields| {
                let range = Range { low: 0.0f64.next_up(), ..RANGE };
                fields.kind = Kind::Histogram(Bins { range, count: 8 });
            },
            |fields| query(Kind::Count)(fields),
        ],
    );
    each_change(
        query(Kind::Mean(RANGE)),
        &[
            |fields| fields.kind = Kind::Mean(Range { high: 8.0f64.next_up(), ..RANGE }),
            |fields| fields.kind = Kind::Mean(Range { low: (-0.0f64).next_down(), ..RANGE }),
        ],
    );
}
