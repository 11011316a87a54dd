//! What a task file asks for: a vector of its own numbers, or a query with those of its template.

use super::{TaskFile, TaskFileError, wrong};
use crate::task::{Bins, Kind, Range, Rotation};

const EXPECTED_KIND: &str =
    "expected \"vector\", \"count\", \"mean\", \"histogram\" or \"quantiles\"";

impl TaskFile {
    pub(super) fn kind(&self) -> Result<Kind, TaskFileError> {
        let rotation = match self.rotation.as_str() {
            "none" => Rotation::None,
            "hadamard" => Rotation::Hadamard,
            _ => return Err(wrong("rotation", "expected \"none\" or \"hadamard\"")),
        };
        let kind = match self.kind.as_str() {
            "vector" => Kind::Vector(rotation),
            "count" => Kind::Count,
            "mean" => Kind::Mean(self.range()?),
            "histogram" => Kind::Histogram(self.bins()?),
            "quantiles" => Kind::Quantiles(self.bins()?),
            _ => return Err(wrong("kind", EXPECTED_KIND)),
        };
        self.no_more_than(&kind, rotation)?;
        Ok(kind)
    }

    fn range(&self) -> Result<Range, TaskFileError> {
        match (self.low, self.high) {
            (Some(low), Some(high)) => Ok(Range { low, high }),
            _ => Err(wrong("low", format!("kind = {:?} needs low and high", self.kind))),
        }
    }

    fn bins(&self) -> Result<Bins, TaskFileError> {
        let needed = || wrong("bins", format!("kind = {:?} needs bins", self.kind));
        Ok(Bins { range: self.range()?, count: self.bins.ok_or_else(needed)? })
    }

    /// What another kind would have is a mistake.
    fn no_more_than(&self, kind: &Kind, rotation: Rotation) -> Result<(), TaskFileError> {
        let surplus = |field, there: bool| {
            let why = || wrong(field, format!("kind = {:?} has none", kind.name()));
            if there { Err(why()) } else { Ok(()) }
        };
        let ranged = !matches!(kind, Kind::Vector(_) | Kind::Count);
        surplus("low", !ranged && self.low.is_some())?;
        surplus("high", !ranged && self.high.is_some())?;
        surplus("bins", kind.bins().is_none() && self.bins.is_some())?;
        surplus("rotation", kind.template().is_some() && rotation != Rotation::None)
    }

    /// Coordinates, clip and scale: of the file for vectors, of the kind for queries.
    pub(super) fn size(&self, kind: &Kind) -> Result<(u32, f64, u64), TaskFileError> {
        if let Some(template) = kind.template() {
            let why = || format!("follows from kind = {:?}: leave it out", kind.name());
            return match (self.coordinates, self.clip, self.scale) {
                (None, None, None) => Ok((template.coordinates, template.clip, template.scale)),
                (Some(_), _, _) => Err(wrong("coordinates", why())),
                (_, Some(_), _) => Err(wrong("clip", why())),
                (_, _, Some(_)) => Err(wrong("scale", why())),
            };
        }
        let missing = |field| move || wrong(field, "a task of vectors needs it");
        Ok((
            self.coordinates.ok_or_else(missing("coordinates"))?,
            self.clip.ok_or_else(missing("clip"))?,
            self.scale.ok_or_else(missing("scale"))?,
        ))
    }
}
