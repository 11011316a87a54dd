//! Values of a task file that TOML writes in more than one way.

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use crate::task::Weights;

#[derive(Debug, Clone, Copy, Default)]
pub(super) enum RingBits {
    #[default]
    Auto,
    Fixed(u8),
}

impl<'de> Deserialize<'de> for RingBits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bits;

        impl Visitor<'_> for Bits {
            type Value = RingBits;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("\"auto\" or 8 to 64")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RingBits, E> {
                match text {
                    "auto" => Ok(RingBits::Auto),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_i64<E: de::Error>(self, bits: i64) -> Result<RingBits, E> {
                let unexpected = E::invalid_value(de::Unexpected::Signed(bits), &self);
                u8::try_from(bits).map(RingBits::Fixed).map_err(|_| unexpected)
            }

            fn visit_u64<E: de::Error>(self, bits: u64) -> Result<RingBits, E> {
                let unexpected = E::invalid_value(de::Unexpected::Unsigned(bits), &self);
                u8::try_from(bits).map(RingBits::Fixed).map_err(|_| unexpected)
            }
        }

        deserializer.deserialize_any(Bits)
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct WeightsField(pub(super) Weights);

impl Default for WeightsField {
    fn default() -> Self {
        Self(Weights::Equal)
    }
}

impl<'de> Deserialize<'de> for WeightsField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rule;

        impl<'de> Visitor<'de> for Rule {
            type Value = WeightsField;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("\"equal\" or { max = WEIGHT }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<WeightsField, E> {
                match text {
                    "equal" => Ok(WeightsField(Weights::Equal)),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WeightsField, A::Error> {
                let entry: Option<(String, u32)> = map.next_entry()?;
                match entry {
                    Some((key, max)) if key == "max" => Ok(WeightsField(Weights::UpTo(max))),
                    _ => Err(de::Error::missing_field("max")),
                }
            }
        }

        deserializer.deserialize_any(Rule)
    }
}

/// Seconds since 1970 UTC, written as an RFC 3339 time in UTC.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment(pub(super) u64);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Time;

        impl<'de> Visitor<'de> for Time {
            type Value = Moment;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a time in UTC such as 2026-01-31T00:00:00Z")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Moment, E> {
                unix_seconds(text)
                    .map(Moment)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }

            /// TOML's own times reach serde as a map of one entry whose value is the text.
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Moment, A::Error> {
                match map.next_entry::<String, String>()? {
                    Some((_, text)) => self.visit_str(&text),
                    None => Err(de::Error::invalid_type(de::Unexpected::Map, &self)),
                }
            }
        }

        deserializer.deserialize_any(Time)
    }
}

/// Of `YYYY-MM-DDTHH:MM:SSZ`, from 1970 on.
fn unix_seconds(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let shape = b"dddd-dd-ddTdd:dd:ddZ";
    let fits = bytes.len() == shape.len()
        && bytes.iter().zip(shape).all(|(byte, expected)| match expected {
            b'd' => byte.is_ascii_digit(),
            _ => byte == expected,
        });
    if !fits {
        return None;
    }
    let number = |from: usize, to: usize| text[from..to].parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let exists = year >= 1970
        && (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    exists.then(|| days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let years: u64 = (1970..year).map(|year| 365 + u64::from(is_leap(year))).sum();
    let months: u64 = (1..month).map(|month| days_in(year, month)).sum();
    years + months + day - 1
}

fn days_in(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_since_1970() {
        assert_eq!(unix_seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(unix_seconds("2024-02-29T12:30:01Z"), Some(1_709_209_801));
        for bad in ["2023-02-29T00:00:00Z", "2024-01-01T24:00:00Z", "2024-01-01", "+024-01-01T"] {
            assert_eq!(unix_seconds(bad), None, "{bad}");
        }
    }
}
