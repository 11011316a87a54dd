//! Writing `agent.toml` without losing what its owner wrote into it.

/// The text of a TOML string. JSON's escapes are TOML's too.
pub(crate) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// `text` with `key = value` in `[section]` (or above all sections for an empty name), replaced
/// where it stands and added where it does not. Everything else stays as it is.
pub(crate) fn set(text: &str, section: &str, key: &str, value: &str) -> String {
    let line = format!("{key} = {value}");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let begin = if section.is_empty() { Some(0) } else { header(&lines, section) };
    match begin {
        None => lines.extend([String::new(), format!("[{section}]"), line]),
        Some(begin) => {
            let length = lines[begin..].iter().position(|line| line.trim_start().starts_with('['));
            let end = length.map_or(lines.len(), |length| begin + length);
            match lines[begin..end].iter().position(|line| names(line, key)) {
                Some(offset) => lines[begin + offset] = line,
                None => lines.insert(begin, line),
            }
        }
    }
    lines.join("\n") + "\n"
}

/// The line after `[section]`.
fn header(lines: &[String], section: &str) -> Option<usize> {
    let wanted = format!("[{section}]");
    let is_it = |line: &String| line.split('#').next().unwrap_or_default().trim() == wanted;
    lines.iter().position(is_it).map(|index| index + 1)
}

fn names(line: &str, key: &str) -> bool {
    line.split_once('=').is_some_and(|(name, _)| name.trim() == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "# mine\nfleet = \"a\"\n\n[authority] # who\nurl = \"x\"\n\n[policy]\nurl = 1\n";

    #[test]
    fn a_key_is_replaced_in_its_own_section_only() {
        let edited = set(TEXT, "authority", "url", "\"y\"");
        assert_eq!(edited, TEXT.replace("\"x\"", "\"y\""));
        let edited = set(TEXT, "", "fleet", "\"b\"");
        assert_eq!(edited, TEXT.replace("\"a\"", "\"b\""));
    }

    #[test]
    fn a_missing_key_or_section_is_added() {
        let edited = set(TEXT, "", "url", "0");
        assert!(edited.starts_with("url = 0\n# mine\n"), "{edited}");
        let edited = set(TEXT, "policy", "owners", "[]");
        assert!(edited.contains("[policy]\nowners = []\nurl = 1\n"), "{edited}");
        let edited = set(TEXT, "aggregator", "url", "2");
        assert!(edited.ends_with("\n[aggregator]\nurl = 2\n"), "{edited}");
    }

    #[test]
    fn quotes_and_line_ends_cannot_leave_a_string() {
        assert_eq!(quote("a\"\n\\"), r#""a\"\n\\""#);
    }
}
