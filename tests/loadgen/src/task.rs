//! The tasks of the tool's rounds: exact sums without noise, so that one wrong bit is seen.

use std::fmt::Write as _;

use sealsum_protocol::parameters::{CohortInputs, ParameterError, Parameters};
use sealsum_protocol::task::TaskFile;
use sha2::{Digest, Sha256};

/// Share of a cohort assumed corrupt, in per mille.
const CORRUPT_PERMILLE: u32 = 100;
/// Share of a cohort that may be lost, in per mille.
const DROPOUT_PERMILLE: u32 = 300;
/// Units per 1.0: values of vectors are multiples of its inverse.
pub const SCALE: i32 = 64;

/// How many devices there are, and how long their vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Devices of a round.
    pub devices: usize,
    /// Coordinates of a vector.
    pub coordinates: u32,
}

/// The terms of a round that differ from case to case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Terms {
    /// Devices that the roster waits for.
    pub start_when: usize,
    /// Whether the roster closes early for want of devices.
    pub short_entry: bool,
    /// Whether signing the survivors closes early for want of a signature.
    pub short_check: bool,
}

impl Size {
    /// Fewest devices that contribute to a sum.
    pub fn min_contributors(self) -> usize {
        self.devices - self.devices * DROPOUT_PERMILLE as usize / 1000
    }

    /// What each device computes for a roster of `roster` devices.
    ///
    /// # Errors
    /// When there are no parameters for so many.
    pub fn parameters(self, roster: usize) -> Result<Parameters, ParameterError> {
        let inputs = CohortInputs {
            min_contributors: u32::try_from(self.min_contributors()).unwrap_or(u32::MAX),
            corrupt_share_permille: CORRUPT_PERMILLE,
            dropout_share_permille: DROPOUT_PERMILLE,
        };
        Parameters::derive(&inputs, roster, 0)
    }

    /// The terms of a round that nobody delays.
    pub fn usual_terms(self) -> Terms {
        Terms { start_when: self.devices, short_entry: false, short_check: false }
    }

    /// Bytes of one masked vector, as a device sends it; nothing if there is no such task.
    pub fn vector_bytes(self) -> Option<usize> {
        let file: TaskFile = toml::from_str(&task(self, self.usual_terms(), 0).toml).ok()?;
        let layout = file.into_task().ok()?.layout().ok()?;
        Some((0..layout.chunks()).map(|chunk| layout.chunk_wire_len(chunk)).sum())
    }

    /// Seconds for each step that closes as soon as everybody has answered.
    fn patience_s(self) -> usize {
        30 + self.devices
    }
}

/// A task file, and the name in it.
pub struct TaskText {
    /// The name.
    pub name: String,
    /// The file, TOML.
    pub toml: String,
}

/// The task of these terms. Its name follows from what it says and from `lane`, so that the same
/// round again is of the same task, and rounds at the same time are of different ones.
pub fn task(size: Size, terms: Terms, lane: usize) -> TaskText {
    let body = body(size, terms);
    let digest = Sha256::new().chain_update(lane.to_string()).chain_update(&body).finalize();
    let name = format!("loadgen-{}", &sealsum_attest::hex::encode(&digest)[..12]);
    TaskText { toml: format!("name = \"{name}\"\n{body}"), name }
}

/// Longest that such a round can take, in seconds.
pub fn longest_s(size: Size) -> usize {
    6 * size.patience_s() + 30
}

fn body(size: Size, terms: Terms) -> String {
    let usual = size.patience_s();
    let [advertise, check] = [(terms.short_entry, 4), (terms.short_check, 8 + size.devices / 20)]
        .map(|(short, seconds)| if short { seconds } else { usual });
    let mut text = String::new();
    let share = |permille: u32| f64::from(permille) / 1000.0;
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "coordinates = {}\nclip = 4096.0\nscale = {SCALE}\nstart_when = {}\n\
         min_contributors = {}\nmax_devices = {}\ncorrupt_share = {}\ndropout_share = {}\n\
         max_rounds = 1000000\nnot_before = 2020-01-01T00:00:00Z\n\
         not_after = 2100-01-01T00:00:00Z\n[privacy]\nmechanism = \"none\"\n[deadlines_s]\n\
         advertise = {advertise}\nshare = {usual}\nmask = {usual}\ncheck = {check}\n\
         unmask = {usual}\n",
        size.coordinates,
        terms.start_when,
        size.min_contributors(),
        size.devices,
        share(CORRUPT_PERMILLE),
        share(DROPOUT_PERMILLE),
    );
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that panics fails")]

    use super::*;

    #[test]
    fn there_are_parameters_for_every_size_and_for_what_losses_leave_of_it() {
        for devices in (6..=120).chain([200, 300, 500]) {
            let size = Size { devices, coordinates: 1 };
            let fewest = size.min_contributors();
            for roster in [devices, devices - 1, fewest] {
                let parameters = size.parameters(roster);
                assert!(parameters.is_ok(), "{roster} of {devices}: {parameters:?}");
            }
            assert!(size.parameters(devices).unwrap().tolerated() > 0, "{devices}");
        }
    }

    #[test]
    fn a_vector_has_the_bytes_of_its_lanes_and_two_canaries_for_each_chunk() {
        let size = Size { devices: 1000, coordinates: 1_000_000 };
        // A thousand values of 18 bits sum to 28 bits, and there is a sign.
        let bytes = size.vector_bytes().unwrap();
        let lanes = 29 * size.coordinates as usize / 8;
        assert!(bytes > lanes && bytes < lanes + lanes / 1000, "{bytes}");
    }

    #[test]
    fn tasks_have_one_name_for_each_lane_and_terms() {
        let size = Size { devices: 6, coordinates: 4 };
        let terms = size.usual_terms();
        let name = |terms, lane| task(size, terms, lane).name;
        assert_eq!(name(terms, 0), name(terms, 0));
        assert_ne!(name(terms, 0), name(terms, 1));
        assert_ne!(name(terms, 0), name(Terms { start_when: 5, ..terms }, 0));
    }
}
