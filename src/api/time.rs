//! Moments as text and as numbers, the way Patroni's documents write them.

use jiff::Timestamp;

/// `2025-03-02 08:15:44.120000+00:00`; the fraction is left out where it is zero.
pub fn timestamp_text(unix_micros: i64) -> Option<String> {
    let moment = Timestamp::from_microsecond(unix_micros).ok()?;
    let micros = unix_micros.rem_euclid(1_000_000);
    let seconds = moment.strftime("%Y-%m-%d %H:%M:%S");
    Some(if micros == 0 {
        format!("{seconds}+00:00")
    } else {
        format!("{seconds}.{micros:06}+00:00")
    })
}

/// Unix seconds, with the fraction.
pub fn unix_seconds(unix_micros: i64) -> f64 {
    unix_micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_patroni_writes_it() {
        let expected = "2025-03-02 08:15:44.120000+00:00";
        assert_eq!(timestamp_text(1_740_903_344_120_000).unwrap(), expected);
        assert_eq!(timestamp_text(0).unwrap(), "1970-01-01 00:00:00+00:00");
        assert_eq!(timestamp_text(-1).unwrap(), "1969-12-31 23:59:59.999999+00:00");
        assert_eq!(timestamp_text(i64::MAX), None);
        assert_eq!(unix_seconds(1_740_903_344_120_000).to_string(), "1740903344.12");
    }
}
