//! Values of flags that need more than a number's own parser, and their way back into words.

use std::time::Duration;

/// Longest time accepted, so that sums of times never overflow.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// `10s`, `500ms`, `2m`, `1.5h`, or a bare number of seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let usage =
        || format!("'{text}' is not a time; write 10s, 500ms, 2m, 1h or a number of seconds");
    let text = text.trim();
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let seconds_per_unit = match unit.trim() {
        "us" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(usage()),
    };
    let number: f64 = number.parse().map_err(|_| usage())?;
    let time = Duration::try_from_secs_f64(number * seconds_per_unit).map_err(|_| usage())?;
    if time > LONGEST {
        return Err("longer than a year; 0 means until Ctrl-C".into());
    }
    let micros = time.as_micros() as u64;
    if micros == 0 && number > 0.0 {
        // Rounded down it would mean "without end".
        return Err("shorter than a microsecond; 0 means until Ctrl-C".into());
    }
    Ok(Duration::from_micros(micros))
}

/// A time as people write it: `10 s`, `500 ms`, `2 min 5 s`.
pub(super) fn time_words(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        _ if time < Duration::from_secs(1) => format!("{} ms", time.as_millis()),
        0..120 => {
            let text = format!("{:.1}", time.as_secs_f64());
            format!("{} s", text.strip_suffix(".0").unwrap_or(&text))
        }
        120..7200 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A number with its thousands apart: `12,345`.
pub(super) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_people_write() {
        for (text, micros) in [
            ("10s", 10_000_000),
            ("10", 10_000_000),
            ("500ms", 500_000),
            ("2m", 120_000_000),
            ("0.5", 500_000),
            ("1.5h", 5_400_000_000),
            ("0", 0),
            ("50 ms", 50_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_micros(micros)), "{text}");
        }
    }

    #[test]
    fn times_that_are_none() {
        for text in ["", "s", "-1", "10x", "1e9999", "..", "nan", "inf", "10s5"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(duration("400d").unwrap_err().contains("Ctrl-C"));
        for text in ["0.0000001", "0.1us", "0.0004ms"] {
            assert!(
                duration(text).is_err_and(|e| e.contains("shorter")),
                "{text}"
            );
        }
    }

    #[test]
    fn words() {
        assert_eq!(time_words(Duration::from_millis(500)), "500 ms");
        assert_eq!(time_words(Duration::from_secs(10)), "10 s");
        assert_eq!(time_words(Duration::from_millis(10_500)), "10.5 s");
        assert_eq!(time_words(Duration::from_secs(125)), "2 min 5 s");
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(thousands(123), "123");
    }
}
