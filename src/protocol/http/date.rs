//! Unix times as they are written: in the Date field (RFC 9110, section 5.6.7), and in JSON (RFC 3339).
//!
//! It must not ask for the time. Whoever has a clock writes the date once a second and lends it.

/// A date such as `Sun, 06 Nov 1994 08:49:37 GMT`.
///
/// RFC 9110, section 6.6.1 obliges an origin server with a clock to date its responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpDate([u8; 29]);

impl HttpDate {
    /// The date `unix_s` seconds after the beginning of 1970; times after the year 9999 are written as its end.
    pub fn from_unix_s(unix_s: u64) -> Self {
        let unix_s = unix_s.min(LAST_S);
        let (days, second) = (unix_s / DAY_S, unix_s % DAY_S);
        let (year, month, day) = civil(days);
        let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
        text[..3].copy_from_slice(WEEKDAYS[(days % 7) as usize]);
        text[8..11].copy_from_slice(MONTHS[month as usize]);
        for (at, number) in [(5, day), (12, year / 100), (14, year % 100)] {
            two_digits(&mut text, at, number);
        }
        for (at, number) in [(17, second / 3600), (20, second / 60 % 60), (23, second % 60)] {
            two_digits(&mut text, at, number);
        }
        Self(text)
    }

    /// The date in ASCII.
    pub fn as_bytes(&self) -> &[u8; 29] {
        &self.0
    }
}

/// A date such as `1994-11-06T08:49:37Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonDate([u8; 20]);

impl JsonDate {
    /// The date `unix_s` seconds after the beginning of 1970; times after the year 9999 are written as its end.
    pub fn from_unix_s(unix_s: u64) -> Self {
        let unix_s = unix_s.min(LAST_S);
        let (days, second) = (unix_s / DAY_S, unix_s % DAY_S);
        let (year, month, day) = civil(days);
        let mut text = *b"1970-01-01T00:00:00Z";
        for (at, number) in [(0, year / 100), (2, year % 100), (5, month + 1), (8, day)] {
            two_digits(&mut text, at, number);
        }
        for (at, number) in [(11, second / 3600), (14, second / 60 % 60), (17, second % 60)] {
            two_digits(&mut text, at, number);
        }
        Self(text)
    }

    /// The date in ASCII.
    pub fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

/// Year, month from 0 and day from 1 of the day so many days after the beginning of 1970.
///
/// Counts in years that begin in March, so that the leap day is a year's last, and in eras of 400 years, which
/// are all of one length.
fn civil(days: u64) -> (u64, u64, u64) {
    let since_0000_march = days + 719_468;
    let (era, day_of_era) = (since_0000_march / 146_097, since_0000_march % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    (era * 400 + year_of_era + u64::from(month < 2), month, day)
}

fn two_digits(text: &mut [u8], at: usize, number: u64) {
    text[at] = b'0' + (number / 10) as u8;
    text[at + 1] = b'0' + (number % 10) as u8;
}

const DAY_S: u64 = 86_400;

/// The last second of the year 9999.
const LAST_S: u64 = 253_402_300_799;

/// The first day of 1970 was a Thursday.
const WEEKDAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_the_rfc_writes_them() {
        for (unix_s, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (LAST_S, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(str::from_utf8(HttpDate::from_unix_s(unix_s).as_bytes()), Ok(text));
        }
    }

    #[test]
    fn dates_in_json_are_those_of_rfc_3339() {
        for (unix_s, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (784_111_777, "1994-11-06T08:49:37Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (u64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(str::from_utf8(JsonDate::from_unix_s(unix_s).as_bytes()), Ok(text));
        }
    }

    #[test]
    fn every_day_follows_the_day_before_it() {
        let (mut year, mut month, mut day) = (1970, 0, 1);
        for days in 0..200_000 {
            assert_eq!(civil(days), (year, month, day));
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last =
                [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month as usize];
            (year, month, day) = match (day == last, month) {
                (false, _) => (year, month, day + 1),
                (true, 11) => (year + 1, 0, 1),
                (true, _) => (year, month + 1, 1),
            };
        }
    }
}
