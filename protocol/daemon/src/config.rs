//! Configuration: one TOML file, overridden by the environment, with no key too many.
//!
//! `SEALSUM_AGENT_AUTHORITY__URL=https://…` sets `authority.url`: the names in lower case, `__`
//! between the levels. The value is read as TOML (`8`, `true`, `[7, 11]`, `"text"`); what is not
//! TOML, or replaces a string of the file, is a string as it stands.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::Program;
use crate::codes;
use crate::failure::Failure;
use crate::files;

/// The largest configuration file, bytes.
const LIMIT: u64 = 1024 * 1024;

/// Reads the configuration file, lets the environment override it, and gives it its type.
///
/// Every struct of `T` must be `#[serde(deny_unknown_fields)]`, so that a misspelt key is refused.
///
/// # Errors
/// `file_not_found`; `config_unknown_key` with the nearest key that exists; `config_invalid` with
/// the line, for anything else that cannot be read.
pub fn load<T: DeserializeOwned>(program: Program, path: &Path) -> Result<T, Failure> {
    let text = files::read_text(path, LIMIT).map_err(|mut failure| {
        if failure.code == codes::FILE_NOT_FOUND {
            failure.message = format!("configuration {}", failure.message);
            failure.hint = missing_hint(program).to_owned();
        }
        failure
    })?;
    read(&text, path, &overrides_from(program, std::env::vars_os()))
}

/// Reads a TOML file that the environment does not override: a task, a policy.
///
/// # Errors
/// As [`load`].
pub fn load_file<T: DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    read(&files::read_text(path, LIMIT)?, path, &BTreeMap::new())
}

/// Reads a TOML text that came from `path` and is not overridden.
///
/// # Errors
/// `config_unknown_key` and `config_invalid`, as [`load`].
pub fn parse<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T, Failure> {
    read(text, path, &BTreeMap::new())
}

/// A value that has the right type and is still wrong: `config_invalid` for `key` in `path`.
pub fn invalid(path: &Path, key: &str, why: &str, hint: &str) -> Failure {
    Failure::new(codes::CONFIG_INVALID, format!("{}: {key}: {why}", path.display()), hint)
}

const fn missing_hint(program: Program) -> &'static str {
    match program {
        Program::Authority => "sealsum-authority init --dir DIR, or --config FILE",
        Program::Aggregator => "sealsum-aggregator init --dir DIR, or --config FILE",
        Program::Agent => "sealsum-agent enroll --dir DIR, or --config FILE",
    }
}

/// What the environment overrides: the name of the variable, the path of the key, the raw value.
type Overrides = BTreeMap<String, (Vec<String>, String)>;

fn overrides_from(
    program: Program,
    variables: impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
) -> Overrides {
    let prefix = program.environment_prefix();
    variables
        .filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            let key = name.strip_prefix(prefix)?.to_ascii_lowercase();
            let path = key.split("__").map(str::to_owned).collect();
            Some((name, (path, value.to_string_lossy().into_owned())))
        })
        .collect()
}

fn read<T: DeserializeOwned>(text: &str, path: &Path, overrides: &Overrides) -> Result<T, Failure> {
    let from_file = |error: &toml::de::Error| explain(error, &place(path, text, error));
    if overrides.is_empty() {
        return toml::from_str(text).map_err(|error| from_file(&error));
    }
    let mut table: Table = toml::from_str(text).map_err(|error| from_file(&error))?;
    for (variable, (key, raw)) in overrides {
        set(&mut table, key, raw).map_err(|why| {
            Failure::new(
                codes::CONFIG_INVALID,
                format!("{variable}: {why}"),
                format!("unset {variable}, or correct it"),
            )
        })?;
    }
    table.try_into().map_err(|error: toml::de::Error| {
        // Only the text knows its lines. If it fails in the same way alone, it is at fault.
        match toml::from_str::<T>(text) {
            Err(alone) if alone.message() == error.message() => from_file(&alone),
            _ => {
                let names: Vec<&str> = overrides.keys().map(String::as_str).collect();
                explain(&error, &format!("{} with {}", path.display(), names.join(", ")))
            }
        }
    })
}

/// Puts the raw value where the key points, making tables on the way.
fn set(table: &mut Table, key: &[String], raw: &str) -> Result<(), String> {
    let Some((last, parents)) = key.split_last() else {
        return Err("names no key".to_owned());
    };
    let mut table = table;
    for name in parents {
        let entry = table.entry(name).or_insert_with(|| Value::Table(Table::new()));
        table = entry.as_table_mut().ok_or_else(|| format!("`{name}` is not a table"))?;
    }
    let replaces_string = table.get(last).is_some_and(Value::is_str);
    table.insert(last.clone(), value_of(raw, replaces_string));
    Ok(())
}

fn value_of(raw: &str, replaces_string: bool) -> Value {
    match parse_value(raw) {
        Some(value) if !replaces_string || value.is_str() => value,
        _ => Value::String(raw.to_owned()),
    }
}

fn parse_value(raw: &str) -> Option<Value> {
    let mut table: Table = toml::from_str(&format!("value = {raw}")).ok()?;
    // `1\nother = 2` is not one value.
    if table.len() == 1 { table.remove("value") } else { None }
}

/// `FILE line 3`, counted from 1.
fn place(path: &Path, text: &str, error: &toml::de::Error) -> String {
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => {
            format!("{} line {}", path.display(), before.matches('\n').count() + 1)
        }
        None => path.display().to_string(),
    }
}

fn explain(error: &toml::de::Error, place: &str) -> Failure {
    let message = error.message();
    let Some((key, candidates)) = unknown_field(message) else {
        return Failure::new(
            codes::CONFIG_INVALID,
            format!("{place}: {message}"),
            "correct it; docs/reference.md lists the keys",
        );
    };
    let (guess, hint) = match nearest(key, &candidates) {
        Some(near) => {
            (format!(" (did you mean `{near}`?)"), format!("write `{near}`, or remove `{key}`"))
        }
        None if candidates.is_empty() => (String::new(), format!("remove `{key}`")),
        None => (String::new(), format!("remove `{key}`; there are {}", candidates.join(", "))),
    };
    Failure::new(codes::CONFIG_UNKNOWN_KEY, format!("{place}: unknown key `{key}`{guess}"), hint)
}

/// serde's sentence, "unknown field `a`, expected one of `b`, `c`", taken apart.
fn unknown_field(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field `")?;
    let (key, rest) = rest.split_once('`')?;
    Some((key, rest.split('`').skip(1).step_by(2).collect()))
}

/// The candidate a person most likely meant, if any is close.
fn nearest<'a>(key: &str, candidates: &[&'a str]) -> Option<&'a str> {
    candidates
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(key, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(key.len()) / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Config {
        fleet: String,
        #[serde(default)]
        seal_pcrs: Vec<u8>,
        authority: Server,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Server {
        url: String,
        #[serde(default)]
        port: u16,
    }

    const GOOD: &str = "fleet = \"demo\"\nseal_pcrs = [7]\n[authority]\nurl = \"https://a\"\n";

    fn read_with(text: &str, variables: &[(&str, &str)]) -> Result<Config, Failure> {
        let variables = variables.iter().map(|(n, v)| ((*n).into(), (*v).into()));
        read(text, Path::new("agent.toml"), &overrides_from(Program::Agent, variables))
    }

    fn failure(text: &str) -> Failure {
        read_with(text, &[]).unwrap_err()
    }

    #[test]
    fn a_good_file_is_read() {
        let config = read_with(GOOD, &[]).unwrap();
        assert_eq!(config.fleet, "demo");
        assert_eq!(config.authority.url, "https://a");
    }

    #[test]
    fn the_environment_overrides_and_adds() {
        let config = read_with(
            GOOD,
            &[
                ("SEALSUM_AGENT_AUTHORITY__URL", "https://b:1"),
                ("SEALSUM_AGENT_AUTHORITY__PORT", "8441"),
                ("SEALSUM_AGENT_SEAL_PCRS", "[0, 7]"),
                ("SEALSUM_AGENT_FLEET", "123"),
                ("SEALSUM_AGGREGATOR_FLEET", "not ours"),
            ],
        )
        .unwrap();
        let authority = Server { url: "https://b:1".into(), port: 8441 };
        assert_eq!(config, Config { fleet: "123".into(), seal_pcrs: vec![0, 7], authority });

        let from_nothing = read_with(
            "",
            &[("SEALSUM_AGENT_FLEET", "\"7\""), ("SEALSUM_AGENT_AUTHORITY__URL", "https://c")],
        );
        assert_eq!(from_nothing.unwrap().fleet, "7");
    }

    #[test]
    fn an_unknown_key_names_the_nearest_and_the_line() {
        let failure = failure("fleet = \"demo\"\n[authority]\nurl = \"x\"\nprot = 1\n");
        assert_eq!(failure.code, codes::CONFIG_UNKNOWN_KEY);
        assert_eq!(
            failure.to_string(),
            "agent.toml line 4: unknown key `prot` (did you mean `port`?). \
             Try: write `port`, or remove `prot`"
        );
    }

    #[test]
    fn an_unknown_key_far_from_all_lists_them() {
        let failure = failure("colour = 1\n");
        assert_eq!(failure.code, codes::CONFIG_UNKNOWN_KEY);
        assert!(failure.hint.contains("fleet, seal_pcrs, authority"), "{failure}");
    }

    #[test]
    fn a_wrong_type_names_the_line() {
        let wrong = failure("fleet = 7\n");
        assert_eq!(wrong.code, codes::CONFIG_INVALID);
        assert!(wrong.message.starts_with("agent.toml line 1: invalid type"), "{wrong}");

        let syntax = failure("fleet = \"demo\"\n\nauthority = {\n");
        assert_eq!(syntax.code, codes::CONFIG_INVALID);
        assert!(syntax.message.starts_with("agent.toml line "), "{syntax}");
    }

    #[test]
    fn a_missing_key_is_invalid() {
        let failure = failure("fleet = \"demo\"\n");
        assert_eq!(failure.code, codes::CONFIG_INVALID);
        assert!(failure.message.contains("missing field `authority`"), "{failure}");
    }

    #[test]
    fn with_an_override_the_files_own_errors_keep_their_line() {
        let variables = [("SEALSUM_AGENT_FLEET", "x")];
        let wrong = GOOD.replace("[7]", "\"seven\"");
        let failure = read_with(&wrong, &variables).unwrap_err();
        assert!(failure.message.starts_with("agent.toml line 2: "), "{failure}");
        let failure = read_with("broken", &variables).unwrap_err();
        assert!(failure.message.starts_with("agent.toml line 1: "), "{failure}");
    }

    #[test]
    fn a_wrong_override_is_named() {
        let unknown = read_with(GOOD, &[("SEALSUM_AGENT_FLEAT", "x")]).unwrap_err();
        assert_eq!(unknown.code, codes::CONFIG_UNKNOWN_KEY);
        assert!(unknown.message.contains("SEALSUM_AGENT_FLEAT"), "{unknown}");
        assert!(unknown.message.contains("did you mean `fleet`?"), "{unknown}");

        let wrong = read_with(GOOD, &[("SEALSUM_AGENT_AUTHORITY__PORT", "many")]).unwrap_err();
        assert_eq!(wrong.code, codes::CONFIG_INVALID);
        assert!(wrong.message.contains("SEALSUM_AGENT_AUTHORITY__PORT"), "{wrong}");

        let through = read_with(GOOD, &[("SEALSUM_AGENT_FLEET__NAME", "x")]).unwrap_err();
        assert_eq!(through.message, "SEALSUM_AGENT_FLEET__NAME: `fleet` is not a table");
    }

    #[test]
    fn a_missing_file_says_how_to_make_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        let failure = load::<Config>(Program::Agent, &path).unwrap_err();
        assert_eq!(failure.code, codes::FILE_NOT_FOUND);
        assert!(failure.hint.contains("sealsum-agent enroll"), "{failure}");
        let failure = load_file::<Config>(&path).unwrap_err();
        assert_eq!(failure.code, codes::FILE_NOT_FOUND);
    }

    #[test]
    fn a_value_cannot_bring_a_second_key() {
        assert_eq!(parse_value("1\nother = 2"), None);
        assert_eq!(value_of("1\nother = 2", false), Value::String("1\nother = 2".into()));
    }
}
