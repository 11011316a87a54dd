//! From the integers of a sum to the vector that its owner wants: rotated back, in the task's units,
//! the weight apart, and what the padding says of the noise.

use std::io;
use std::path::Path;

use sealsum_protocol::dp::hadamard::Rotation;
use sealsum_protocol::task::{RoundSpec, Task, Weights};

use crate::audit::Padding;
use crate::vector_file::{VectorFile, Written};

/// A sum on its way to the disk. Dropped before [`Decoding::finish`], it leaves nothing behind.
pub(super) struct Decoding {
    coordinates: usize,
    unit: f64,
    vector: VectorFile,
    /// Coordinates seen.
    seen: usize,
    weight: Option<f64>,
    /// All of it, where one coordinate alone means nothing.
    held: Option<(Rotation, Vec<f64>)>,
    padding: Option<Padding>,
}

/// What the sum is.
pub(super) struct Decoded {
    pub(super) written: Written,
    /// Sum of the weights, if the task has some.
    pub(super) weight: Option<f64>,
}

impl Decoding {
    /// Starts the file.
    pub(super) fn create(path: &Path, spec: &RoundSpec) -> io::Result<Self> {
        let task = &spec.signed_task.task;
        let rotation = task.rotation(&spec.params_hash());
        Ok(Self {
            coordinates: task.coordinates as usize,
            unit: unit(task),
            vector: VectorFile::create(path, task.coordinates.into())?,
            seen: 0,
            weight: None,
            padding: None,
            held: rotation
                .map(|rotation| (rotation, Vec::with_capacity(task.summed_coordinates()))),
        })
    }

    /// The next coordinates of the sum, in order.
    pub(super) fn push(&mut self, integers: &[i64]) -> io::Result<()> {
        if let Some((_, held)) = &mut self.held {
            held.extend(integers.iter().map(|integer| *integer as f64));
            return Ok(());
        }
        let values: Vec<f64> = integers.iter().map(|integer| *integer as f64).collect();
        self.put(&values)
    }

    /// All coordinates were pushed: turns back what was rotated.
    pub(super) fn complete(&mut self) -> io::Result<()> {
        let Some((rotation, mut held)) = self.held.take() else { return Ok(()) };
        rotation.invert(&mut held);
        let (filled, padding) = held.split_at(rotation.coordinates());
        self.padding = Padding::of(padding);
        self.put(filled)
    }

    /// What was found where nothing but noise is, once the sum is complete.
    pub(super) fn padding(&self) -> Option<Padding> {
        self.padding
    }

    /// Makes the file durable.
    pub(super) fn finish(self) -> io::Result<Decoded> {
        let written = self.vector.finish()?;
        Ok(Decoded { written, weight: self.weight })
    }

    /// Coordinates in integer units. Behind the vector's there is the weight, or nothing.
    fn put(&mut self, coordinates: &[f64]) -> io::Result<()> {
        let values: Vec<f64> = coordinates.iter().map(|value| value * self.unit).collect();
        let own = self.coordinates.saturating_sub(self.seen).min(values.len());
        self.vector.push(&values[..own])?;
        self.weight = values.get(own).copied().or(self.weight);
        self.seen += values.len();
        Ok(())
    }
}

/// The sum's unit in the task's own: of vectors, or of vectors times their weights.
fn unit(task: &Task) -> f64 {
    let largest_weight = match task.weights {
        Weights::Equal => 1.0,
        Weights::UpTo(max) => f64::from(max),
    };
    largest_weight / task.scale as f64
}
