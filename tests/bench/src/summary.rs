//! What is written: `target/bench/summary.json`.

use std::fmt::Write;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One figure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// Ours.
    pub(crate) value: f64,
    pub(crate) unit: String,
    /// What it is held against.
    pub(crate) peer: String,
    /// What has a target.
    pub(crate) ratio: f64,
    pub(crate) higher_is_better: bool,
    /// What the ratio must reach, or stay below, on this machine.
    pub(crate) target: Option<f64>,
    /// How masks were made.
    pub(crate) backend: String,
}

impl Row {
    /// Whether it is met; nothing without a target.
    pub(crate) fn met(&self) -> Option<bool> {
        let met = |target| {
            if self.higher_is_better { self.ratio >= target } else { self.ratio <= target }
        };
        self.target.map(met)
    }
}

/// All figures of a run.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct Summary(pub(crate) Vec<Written>);

/// A row with what it was measured on.
#[derive(Serialize)]
pub(crate) struct Written {
    #[serde(flatten)]
    pub(crate) row: Row,
    cpu: Vec<String>,
}

/// Of the flags of `/proc/cpuinfo`, those that change what runs.
const FLAGS: [&str; 7] = ["aes", "avx2", "avx512f", "avx512bw", "vaes", "sha_ni", "adx"];

impl Summary {
    pub(crate) fn of(rows: Vec<Row>) -> Self {
        let cpu = cpu_flags();
        Self(rows.into_iter().map(|row| Written { row, cpu: cpu.clone() }).collect())
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut table = String::new();
        for Written { row, .. } in &self.0 {
            let Row { name, value, unit, peer, ratio, backend, .. } = row;
            let _ =
                writeln!(table, "{name:36} {ratio:8.3}  {value:10.3} {unit:5} {backend:8} {peer}");
        }
        table
    }

    /// Below the target folder, where `make bench` leaves it.
    pub(crate) fn write(&self) -> std::io::Result<PathBuf> {
        let folder = target().join("bench");
        std::fs::create_dir_all(&folder)?;
        let path = folder.join("summary.json");
        std::fs::write(&path, serde_json::to_string_pretty(self)? + "\n")?;
        Ok(path)
    }
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    let set = std::env::var_os("CARGO_TARGET_DIR").filter(|folder| !folder.is_empty());
    set.unwrap_or_else(|| "target".into()).into()
}

/// Flags of this CPU, of those that change what runs.
pub(crate) fn cpu_flags() -> Vec<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let has = |flag: &str| info.split_whitespace().any(|word| word == flag);
    FLAGS.into_iter().filter(|flag| has(flag)).map(str::to_owned).collect()
}
