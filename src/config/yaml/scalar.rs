//! What a plain scalar of YAML 1.1 means: `on` is a boolean, `0644` octal, `12:30` a number.

use super::tree::Content;

/// The meaning of a plain scalar.
pub(super) fn resolve(text: &str) -> Content {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Content::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Content::Bool(true);
        }
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Content::Bool(false);
        }
        _ => {}
    }
    if let Some(number) = int(text) {
        return Content::Int(number, text.to_owned());
    }
    match float(text) {
        Some(number) => Content::Float(number, text.to_owned()),
        None => Content::Text(text.to_owned()),
    }
}

fn int(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let number = unsigned(digits)?;
    if negative { number.checked_neg() } else { Some(number) }
}

fn unsigned(digits: &str) -> Option<i64> {
    let in_radix = |digits: &str, radix: u32| {
        let plain = digits.replace('_', "");
        let fits = !plain.is_empty() && plain.chars().all(|c| c.is_digit(radix));
        fits.then(|| i64::from_str_radix(&plain, radix).ok())?
    };
    if let Some(binary) = digits.strip_prefix("0b") {
        return in_radix(binary, 2);
    }
    if let Some(hexadecimal) = digits.strip_prefix("0x") {
        return in_radix(hexadecimal, 16);
    }
    match digits.strip_prefix('0') {
        Some(zeros) if zeros.bytes().all(|b| b == b'_') => return Some(0),
        Some(octal) => return in_radix(octal, 8),
        None => {}
    }
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut groups = digits.split(':');
    let first = in_radix(groups.next()?, 10)?;
    groups.try_fold(first, |sum, group| {
        let sixtieth = sixtieth(group)?;
        sum.checked_mul(60)?.checked_add(sixtieth)
    })
}

/// One group of a sexagesimal number after the first: 0 to 59, one or two digits.
fn sixtieth(group: &str) -> Option<i64> {
    let well_formed = matches!(group.len(), 1 | 2) && group.bytes().all(|b| b.is_ascii_digit());
    group.parse().ok().filter(|number| well_formed && *number < 60)
}

fn float(text: &str) -> Option<f64> {
    let (sign, digits) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (if text.starts_with('-') { -1.0 } else { 1.0 }, rest),
        None => (1.0, text),
    };
    match digits {
        ".inf" | ".Inf" | ".INF" => return Some(sign * f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" if digits.len() == text.len() => return Some(f64::NAN),
        _ => {}
    }
    let starts_well = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let (before, after) = digits.split_once('.').filter(|_| starts_well)?;
    if let Some((groups, last)) = before.rsplit_once(':') {
        return sexagesimal_float(groups, last, after).map(|number| sign * number);
    }
    let (fraction, exponent) = match after.find(['e', 'E']) {
        Some(at) => (&after[..at], Some(&after[at + 1..])),
        None => (after, None),
    };
    let exponent_is_signed = exponent.is_none_or(|exponent| {
        exponent
            .strip_prefix(['-', '+'])
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
    });
    // A number that starts with its point has no sign.
    let is_unsigned = digits.len() == text.len();
    let has_digits = before.starts_with(|c: char| c.is_ascii_digit())
        || before.is_empty() && is_unsigned && fraction.starts_with(|c: char| c.is_ascii_digit());
    if !is_digits(before) || !is_digits(fraction) || !exponent_is_signed || !has_digits {
        return None;
    }
    digits.replace('_', "").parse::<f64>().ok().map(|number| sign * number)
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || b == b'_')
}

fn sexagesimal_float(groups: &str, last: &str, fraction: &str) -> Option<f64> {
    if !is_digits(fraction) || !groups.split(':').all(is_digits) {
        return None;
    }
    let mut parts = groups.split(':');
    let first: f64 = parts.next()?.replace('_', "").parse().ok()?;
    let whole = parts.chain([last]).try_fold(first, |sum, group| {
        let sixtieth = sixtieth(group)?;
        Some(sum * 60.0 + sixtieth as f64)
    })?;
    let fraction: f64 = format!("0.{}0", fraction.replace('_', "")).parse().ok()?;
    Some(whole + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_patronis_reader_takes_them_for() {
        let int = |number: i64, text: &str| Content::Int(number, text.to_owned());
        let float = |number: f64, text: &str| Content::Float(number, text.to_owned());
        let text = |text: &str| Content::Text(text.to_owned());
        for (written, meaning) in [
            ("on", Content::Bool(true)),
            ("off", Content::Bool(false)),
            ("yes", Content::Bool(true)),
            ("NO", Content::Bool(false)),
            ("True", Content::Bool(true)),
            ("y", text("y")),
            ("n", text("n")),
            ("oN", text("oN")),
            ("0644", int(420, "0644")),
            ("0o644", text("0o644")),
            ("1_000", int(1000, "1_000")),
            ("0x1F", int(31, "0x1F")),
            ("0b101", int(5, "0b101")),
            ("-17", int(-17, "-17")),
            ("+17", int(17, "+17")),
            ("0", int(0, "0")),
            ("12:30", int(750, "12:30")),
            ("22:15:10", int(80110, "22:15:10")),
            ("12:60", text("12:60")),
            ("1:5432", text("1:5432")),
            ("1e3", text("1e3")),
            ("1.5e+3", float(1500.0, "1.5e+3")),
            ("1.5e3", text("1.5e3")),
            ("1.", float(1.0, "1.")),
            (".5", float(0.5, ".5")),
            ("1:30.5", float(90.5, "1:30.5")),
            (".", text(".")),
            ("-.5", text("-.5")),
            ("-1.5", float(-1.5, "-1.5")),
            ("1e8:9.", text("1e8:9.")),
            ("0_", int(0, "0_")),
            ("1.2.3", text("1.2.3")),
            ("08", text("08")),
            ("~", Content::Null),
            ("", Content::Null),
            ("2031-01-01", text("2031-01-01")),
            ("99999999999999999999", text("99999999999999999999")),
            ("-", text("-")),
            ("_1", text("_1")),
            ("127.0.0.1:5432", text("127.0.0.1:5432")),
        ] {
            assert_eq!(resolve(written), meaning, "{written:?}");
        }
    }
}
