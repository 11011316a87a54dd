//! A history in a file: its world and the choices that were not 0. Told again it is the same, also
//! when later code draws other worlds from its seed.

use std::path::Path;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use crate::choices::Trace;
use crate::history::{History, Told};
use crate::world::World;

/// The format of the file.
const FORMAT: u32 = 1;

/// What is in the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// The format, 1.
    pub format: u32,
    /// The seed that the history was found under.
    pub seed: u64,
    /// The invariant that it broke, or `panic`.
    pub invariant: String,
    /// What was seen.
    pub detail: String,
    /// Without which guard it breaks the invariant, of a history that is kept.
    #[serde(default)]
    pub kills: String,
    /// The world.
    pub world: World,
    /// The choices.
    pub choices: Trace,
}

impl Replay {
    /// A history that broke an invariant.
    pub fn new(world: World, choices: Trace, invariant: &str, detail: &str) -> Self {
        Self {
            format: FORMAT,
            seed: world.seed,
            invariant: invariant.to_owned(),
            detail: detail.to_owned(),
            kills: String::new(),
            world,
            choices,
        }
    }

    /// Tells it again.
    pub fn tell(&self) -> Told {
        History::again(self.world.clone(), self.choices.clone())
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or is of another format.
    pub fn read(path: &Path) -> io::Result<Self> {
        let replay: Self = serde_json::from_slice(&fs::read(path)?)?;
        if replay.format == FORMAT {
            return Ok(replay);
        }
        let why = format!("format {} is not {FORMAT}", replay.format);
        Err(io::Error::new(io::ErrorKind::InvalidData, why))
    }

    /// Writes `DIR/seed-N.json`, and says its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, dir: &Path) -> io::Result<std::path::PathBuf> {
        fs::create_dir_all(dir)?;
        let path = dir.join(format!("seed-{}.json", self.seed));
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(&path, text)?;
        Ok(path)
    }
}
