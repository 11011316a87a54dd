//! Who is whose neighbour in a round: a ring in an order that nobody chooses.
//!
//! The ring order is that of SHA-256(seed || id) over the roster; each device is joined to the k/2
//! devices on either side, or to all in a complete graph (Bell et al., CCS 2020, section 3; the
//! seed comes from the hash of what was agreed and of the roster instead of from the server).
//! Devices are named by their index in the roster, which is sorted by id.

use crate::parameters::Parameters;
use sha2::{Digest, Sha256};

/// The neighbour graph of one roster.
#[derive(Debug)]
pub struct Graph {
    k: usize,
    /// Roster index at each ring position.
    ring: Vec<u16>,
    /// Ring position of each roster index.
    position: Vec<u16>,
    /// Neighbours of each roster index, ascending.
    neighbours: Vec<Vec<u16>>,
}

impl Graph {
    /// The graph of the roster `ids`, whose length must be `parameters.n`.
    ///
    /// # Panics
    /// If the roster has another length than the parameters were derived for.
    pub fn new(parameters: &Parameters, seed: &[u8; 32], ids: &[[u8; 32]]) -> Self {
        assert_eq!(ids.len(), parameters.n, "parameters of another roster");
        let ring = ring_order(seed, ids);
        let mut position = vec![0; ring.len()];
        for (place, device) in ring.iter().enumerate() {
            position[usize::from(*device)] = place as u16;
        }
        let mut graph = Self { k: parameters.k, ring, position, neighbours: Vec::new() };
        graph.neighbours = (0..ids.len()).map(|device| graph.around(device)).collect();
        graph
    }

    /// The neighbours of device `i`, by ascending roster index.
    ///
    /// # Panics
    /// If `i` is not on the roster.
    pub fn neighbours(&self, i: usize) -> &[u16] {
        &self.neighbours[i]
    }

    /// Whether `i` and `j` are neighbours. The relation is symmetric; nobody neighbours itself.
    pub fn are_neighbours(&self, i: usize, j: usize) -> bool {
        self.share_position(i, j).is_some()
    }

    /// The point, 1 to k, at which holder `j` gets its shares of dealer `i`'s secrets: the ring
    /// distance from dealer to holder, in the direction of the ring. `None` if they are no
    /// neighbours.
    pub fn share_position(&self, i: usize, j: usize) -> Option<u16> {
        let n = self.ring.len();
        let (dealer, holder) = (*self.position.get(i)?, *self.position.get(j)?);
        let ahead = (usize::from(holder) + n - usize::from(dealer)) % n;
        let behind = n - ahead;
        if ahead == 0 {
            None
        } else if ahead <= self.k.div_ceil(2) {
            Some(ahead as u16)
        } else if behind <= self.k / 2 {
            Some((self.k + 1 - behind) as u16)
        } else {
            None
        }
    }

    /// Whether each window of k/2 consecutive ring positions has at least w_min members.
    /// `members` is asked by roster index. Always true in a complete graph.
    pub fn windows_hold(&self, parameters: &Parameters, members: impl Fn(usize) -> bool) -> bool {
        if parameters.complete {
            return true;
        }
        let n = self.ring.len();
        let window = parameters.k / 2;
        let present: Vec<bool> = self.ring.iter().map(|i| members(usize::from(*i))).collect();
        let mut count = present[..window].iter().filter(|member| **member).count();
        for start in 0..n {
            if count < parameters.w_min {
                return false;
            }
            count += usize::from(present[(start + window) % n]);
            count -= usize::from(present[start]);
        }
        true
    }

    /// Both halves of the neighbourhood; `share_position` splits it the same way.
    fn around(&self, device: usize) -> Vec<u16> {
        let n = self.ring.len();
        let place = usize::from(self.position[device]);
        let ahead = (1..=self.k.div_ceil(2)).map(|step| (place + step) % n);
        let behind = (1..=self.k / 2).map(|step| (place + n - step) % n);
        let mut neighbours: Vec<u16> = ahead.chain(behind).map(|at| self.ring[at]).collect();
        neighbours.sort_unstable();
        neighbours
    }
}

fn ring_order(seed: &[u8; 32], ids: &[[u8; 32]]) -> Vec<u16> {
    let mut keyed: Vec<([u8; 32], u16)> = ids
        .iter()
        .enumerate()
        .map(|(index, id)| {
            let key = Sha256::new().chain_update(seed).chain_update(id).finalize();
            (key.into(), index as u16)
        })
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, index)| index).collect()
}
