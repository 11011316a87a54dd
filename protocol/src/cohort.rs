//! A roster with all that follows from it, computed alike by each device and the aggregator.

use crate::bitmap::Bitmap;
use crate::encoding::Layout;
use crate::error::Refusal;
use crate::graph::Graph;
use crate::guard::Guard;
use crate::ids::DeviceId;
use crate::parameters::Parameters;
use crate::roster::{Entry, roster_root};
use crate::task::{RoundSpec, Task};
use crate::transcript::Transcript;

/// The members of a round, by roster index, and what follows from who they are.
#[derive(Debug)]
pub struct Cohort {
    /// The task that the round is of.
    pub task: Task,
    /// The entries, by ascending device id.
    pub entries: Vec<Entry>,
    /// h_P and rho.
    pub transcript: Transcript,
    /// Thresholds and quorum.
    pub parameters: Parameters,
    /// Who is whose neighbour.
    pub graph: Graph,
    /// How vectors become words.
    pub layout: Layout,
}

impl Cohort {
    /// Derives everything from the round and its roster. `corrupt_fleet` is how many corrupt
    /// devices this side assumes in the whole fleet.
    ///
    /// # Errors
    /// [`Guard::Parameters`] if no parameters keep the task's promises for so many devices.
    pub fn new(spec: &RoundSpec, entries: Vec<Entry>, corrupt_fleet: u32) -> Result<Self, Refusal> {
        let task = spec.signed_task.task.clone();
        let parameters = Parameters::derive(&task.cohort_inputs(), entries.len(), corrupt_fleet)
            .map_err(|error| Refusal::new(Guard::Parameters, error.to_string()))?;
        let transcript =
            Transcript { params_hash: spec.params_hash(), roster_root: roster_root(&entries) };
        let ids: Vec<[u8; 32]> = entries.iter().map(|entry| entry.device.0).collect();
        let graph = Graph::new(&parameters, &transcript.graph_seed(), &ids);
        let layout = task.layout()?;
        Ok(Self { task, entries, transcript, parameters, graph, layout })
    }

    /// The number of members.
    pub fn size(&self) -> usize {
        self.entries.len()
    }

    /// The device at a place of the roster.
    pub fn device(&self, index: usize) -> DeviceId {
        self.entries[index].device
    }

    /// The place of a device in the roster.
    pub fn index_of(&self, device: DeviceId) -> Option<usize> {
        self.entries.binary_search_by_key(&device, |entry| entry.device).ok()
    }

    /// The devices in a set of places.
    pub fn devices(&self, places: &Bitmap) -> Vec<DeviceId> {
        places.iter().map(|index| self.device(index)).collect()
    }

    /// The neighbours of a member, by ascending roster index.
    pub fn neighbours(&self, index: usize) -> impl ExactSizeIterator<Item = usize> + '_ {
        self.graph.neighbours(index).iter().map(|neighbour| usize::from(*neighbour))
    }

    /// The neighbours of a member that are in a set.
    pub fn neighbours_in<'a>(
        &'a self,
        index: usize,
        set: &'a Bitmap,
    ) -> impl Iterator<Item = usize> + 'a {
        self.neighbours(index).filter(|neighbour| set.contains(*neighbour))
    }
}
