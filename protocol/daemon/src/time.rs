//! Times as people and JSON read them: RFC 3339, UTC, whole seconds; durations such as `10m`.

use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

/// The present, UTC.
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Seconds since 1970, UTC.
pub fn now_unix() -> i64 {
    now().as_second()
}

/// `2026-11-24T19:00:00Z`.
pub fn rfc3339(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Seconds since 1970 as `2026-11-24T19:00:00Z`.
///
/// # Errors
/// If it lies outside the years -9999 to 9999.
pub fn rfc3339_unix(seconds: i64) -> Result<String, jiff::Error> {
    Timestamp::from_second(seconds).map(rfc3339)
}

/// Reads a time of RFC 3339, in whatever zone it names.
///
/// # Errors
/// If it is none.
pub fn parse_rfc3339(text: &str) -> Result<Timestamp, jiff::Error> {
    text.parse()
}

/// Reads a duration, `90s`, `10m`, `24h`, `7d`, `1h30m`; a day has 24 hours. For clap's
/// `value_parser`.
///
/// # Errors
/// A sentence that says what is expected.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("{text:?} is no duration; write it like 90s, 10m, 24h or 7d");
    let span: Span = text.parse().map_err(|_| expected())?;
    let signed: SignedDuration =
        span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| expected())?;
    Duration::try_from(signed).map_err(|_| expected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_seconds_of_utc() {
        assert_eq!(rfc3339_unix(0).unwrap(), "1970-01-01T00:00:00Z");
        let time = parse_rfc3339("2026-11-24T20:00:00.999+01:00").unwrap();
        assert_eq!(rfc3339(time), "2026-11-24T19:00:00Z");
        assert!(parse_rfc3339("yesterday").is_err());
        assert!(rfc3339_unix(i64::MAX).is_err());
        assert!(now_unix() > 1_700_000_000);
    }

    #[test]
    fn durations_have_a_unit() {
        let seconds = |text| parse_duration(text).map(|d| d.as_secs());
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("0s"), Ok(0));
        assert_eq!(seconds("10m"), Ok(600));
        assert_eq!(seconds("24h"), Ok(86_400));
        assert_eq!(seconds("7d"), Ok(604_800));
        assert_eq!(seconds("1h30m"), Ok(5_400));
        for wrong in ["", "10", "ten minutes", "-5m", "1mo"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
