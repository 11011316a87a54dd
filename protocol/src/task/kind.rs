//! What a task asks devices for: a vector of their own making, or an answer to a query whose
//! sensitivity follows from its template and is never written by hand.

use crate::codec::{CodecError, Reader, Writer};
use crate::dp::hadamard;
use crate::error::{Refusal, require};
use crate::guard::Guard;

/// Most bins of a histogram or of quantiles.
pub const MAX_BINS: u32 = 1 << 20;
/// Units per half of the range of a mean: rounding is lost in any noise.
const MEAN_SCALE: u64 = 1 << 16;

/// What a device's part holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A vector that a local application made.
    Vector(Rotation),
    /// Whether something holds, summed: one coordinate, 0 or 1.
    Count,
    /// A value, for mean and variance: value and square, each scaled to the range.
    Mean(Range),
    /// A value, as a one in its bin.
    Histogram(Bins),
    /// A value, as ones on its path through a binary tree over the bins.
    Quantiles(Bins),
}

/// What is done to a clipped vector before rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// Nothing.
    None,
    /// The randomized Hadamard rotation of [`crate::dp::hadamard`]: sums need fewer bits.
    Hadamard,
}

/// Where values lie, in their own unit. What lies outside counts as the nearer end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// The least value.
    pub low: f64,
    /// The largest value, above `low`.
    pub high: f64,
}

/// A range in equal parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bins {
    /// The whole.
    pub range: Range,
    /// How many parts.
    pub count: u32,
}

/// The numbers of a task that a query fixes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Template {
    /// Coordinates that are summed.
    pub coordinates: u32,
    /// L2 norm of a device's part at most.
    pub clip: f64,
    /// Units per 1.0.
    pub scale: u64,
    /// The square of that norm, where parts are integers already and no rounding adds to it.
    pub squared_norm: Option<u32>,
}

impl Kind {
    /// The name in task files.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Vector(_) => "vector",
            Kind::Count => "count",
            Kind::Mean(_) => "mean",
            Kind::Histogram(_) => "histogram",
            Kind::Quantiles(_) => "quantiles",
        }
    }

    /// What a query fixes; `None` for vectors.
    pub fn template(&self) -> Option<Template> {
        let integers = |coordinates: u32, squared_norm: u32| Template {
            coordinates,
            clip: f64::from(squared_norm).sqrt(),
            scale: 1,
            squared_norm: Some(squared_norm),
        };
        match self {
            Kind::Vector(_) => None,
            Kind::Count => Some(integers(1, 1)),
            Kind::Mean(_) => Some(Template {
                coordinates: 2,
                clip: std::f64::consts::SQRT_2,
                scale: MEAN_SCALE,
                squared_norm: None,
            }),
            Kind::Histogram(bins) => Some(integers(bins.count, 1)),
            Kind::Quantiles(bins) => Some(integers(2 * bins.count - 2, bins.count.ilog2())),
        }
    }

    /// How many values a local application submits, for a task of `coordinates`.
    pub fn submitted(&self, coordinates: u32) -> u32 {
        if self.template().is_some() { 1 } else { coordinates }
    }

    /// Whether vectors are rotated.
    pub fn rotated(&self) -> bool {
        *self == Kind::Vector(Rotation::Hadamard)
    }

    /// Coordinates that are summed, of `weighed` ones: with the padding of a rotation.
    pub(super) fn summed(&self, weighed: usize) -> usize {
        if self.rotated() { hadamard::padded(weighed) } else { weighed }
    }

    /// The bins of a query, if it has some.
    pub fn bins(&self) -> Option<Bins> {
        match self {
            Kind::Histogram(bins) | Kind::Quantiles(bins) => Some(*bins),
            Kind::Vector(_) | Kind::Count | Kind::Mean(_) => None,
        }
    }

    /// Refuses ranges and bins that mean nothing.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let check = |holds: bool, why: &str| require(holds, Guard::TaskInvalid, || why.to_owned());
        let range = match self {
            Kind::Vector(_) | Kind::Count => return Ok(()),
            Kind::Mean(range) => range,
            Kind::Histogram(bins) | Kind::Quantiles(bins) => &bins.range,
        };
        let finite = range.low.is_finite() && (range.high - range.low).is_finite();
        check(finite && range.low < range.high, "low must be below high, and both be numbers")?;
        let Some(bins) = self.bins() else { return Ok(()) };
        check((2..=MAX_BINS).contains(&bins.count), "bins must be 2 to 1048576")?;
        let tree = matches!(self, Kind::Quantiles(_));
        check(!tree || bins.count.is_power_of_two(), "bins of quantiles must be a power of two")
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        let (code, range, bins) = match self {
            Kind::Vector(Rotation::None) => (0, None, None),
            Kind::Vector(Rotation::Hadamard) => (1, None, None),
            Kind::Count => (2, None, None),
            Kind::Mean(range) => (3, Some(range), None),
            Kind::Histogram(bins) => (4, Some(&bins.range), Some(bins.count)),
            Kind::Quantiles(bins) => (5, Some(&bins.range), Some(bins.count)),
        };
        writer.u8(code);
        if let Some(range) = range {
            writer.u64(range.low.to_bits());
            writer.u64(range.high.to_bits());
        }
        if let Some(bins) = bins {
            writer.u32(bins);
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(match reader.u8()? {
            0 => Kind::Vector(Rotation::None),
            1 => Kind::Vector(Rotation::Hadamard),
            2 => Kind::Count,
            3 => Kind::Mean(Range::decode(reader)?),
            4 => Kind::Histogram(Bins::decode(reader)?),
            5 => Kind::Quantiles(Bins::decode(reader)?),
            _ => return Err(CodecError::NotCanonical("kind")),
        })
    }
}

impl Range {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { low: f64::from_bits(reader.u64()?), high: f64::from_bits(reader.u64()?) })
    }
}

impl Bins {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { range: Range::decode(reader)?, count: reader.u32()? })
    }

    /// The bin of a value; the first or the last for what lies outside.
    pub fn of(&self, value: f64) -> u32 {
        let place = (value - self.range.low) / (self.range.high - self.range.low);
        // As a cast saturates, what lies below is 0.
        ((place * f64::from(self.count)).floor() as u32).min(self.count - 1)
    }

    /// Where a bin begins; that of `count` is where the last one ends.
    pub fn edge(&self, bin: u32) -> f64 {
        let share = f64::from(bin) / f64::from(self.count);
        self.range.low * (1.0 - share) + self.range.high * share
    }
}
