//! What a run prints.

use std::time::Duration;

/// What a run prints, as its code says it: `blast n=600000 s=64`. Words without `=` are for the reader.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// `n`: how many chunks. Default 1000.
    pub chunks: u64,
    /// `s`: bytes of UTF-8 in each. Default 64.
    pub bytes: usize,
    /// `rate`: chunks a second, evenly as far as a timer of one millisecond goes. Default: as fast as possible.
    pub rate: Option<f64>,
    /// `pace us=5000` is `rate=200`, and each chunk begins with the time of its making: 20 digits, nanoseconds of
    /// `CLOCK_MONOTONIC`, which Node calls `process.hrtime`.
    pub stamped: bool,
    /// `number=1`: each chunk begins with its place, 20 digits, from 0.
    pub numbered: bool,
    /// `utf8=1`: Chinese text, three bytes a character.
    pub chinese: bool,
    /// `stderr=10`: each tenth chunk goes to stderr.
    pub every_stderr: Option<u64>,
    /// `flush=1`: one system call a chunk.
    pub flush: bool,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            chunks: 1000,
            bytes: 64,
            rate: None,
            stamped: false,
            numbered: false,
            chinese: false,
            every_stderr: None,
            flush: false,
        }
    }
}

impl Workload {
    /// A stamp or a number takes this many bytes, and a space one more.
    pub(super) const LABEL: usize = 20;
    /// Larger chunks would need frames above what any service sends.
    const MOST_BYTES: usize = 16 << 20;

    /// Reads a run's code.
    ///
    /// # Errors
    /// A text that says which word is not understood.
    pub fn parse(code: &str) -> Result<Self, String> {
        let mut workload = Self::default();
        for word in code.split_whitespace() {
            let Some((name, value)) = word.split_once('=') else { continue };
            let number: u64 = value.parse().map_err(|_| format!("{word}: not a whole number"))?;
            let positive = (number > 0).then_some(number).ok_or_else(|| format!("{word}: not above 0"));
            match name {
                "n" => workload.chunks = number,
                "s" => workload.bytes = usize::try_from(number).unwrap_or(usize::MAX),
                "rate" => workload.rate = Some(positive? as f64),
                "us" => {
                    workload.rate = Some(1e6 / positive? as f64);
                    workload.stamped = true;
                }
                "number" => workload.numbered = number != 0,
                "utf8" => workload.chinese = number != 0,
                "stderr" => workload.every_stderr = Some(positive?),
                "flush" => workload.flush = number != 0,
                _ => return Err(format!("{word}: no such word")),
            }
        }
        if workload.bytes > Self::MOST_BYTES {
            return Err(format!("s={}: at most {}", workload.bytes, Self::MOST_BYTES));
        }
        if workload.has_label() && workload.bytes <= Self::LABEL {
            return Err(format!("s={}: a number or a time needs {} bytes", workload.bytes, Self::LABEL + 1));
        }
        Ok(workload)
    }

    /// Whether each chunk begins with a number or a time.
    pub(super) const fn has_label(&self) -> bool {
        self.stamped || self.numbered
    }

    /// When the chunk with this place is due, after the start. `None`: at once.
    pub(super) fn due(&self, place: u64) -> Option<Duration> {
        self.rate.map(|rate| Duration::from_secs_f64(place as f64 / rate))
    }

    /// The text of a chunk: log lines of 64 bytes, each with its end. A label is left blank as zeros.
    #[must_use]
    pub fn text(&self) -> String {
        const LINE: usize = 64;
        let mut text = String::with_capacity(self.bytes);
        if self.has_label() {
            text.push_str(&"0".repeat(Self::LABEL));
            text.push(' ');
        }
        while text.len() < self.bytes {
            let line = LINE.min(self.bytes - text.len());
            self.push_line(&mut text, line);
        }
        text
    }

    /// Appends so many bytes, the last of them a line's end.
    fn push_line(&self, text: &mut String, bytes: usize) {
        let words = if self.chinese {
            "处理第三批数据完成，耗时二十毫秒，无错误。"
        } else {
            "INFO worker-07 batch done: rows=1024 ms=20 errors=0 queue=3 ok. "
        };
        let mut left = bytes.saturating_sub(1);
        for character in words.chars() {
            if character.len_utf8() > left {
                break;
            }
            left -= character.len_utf8();
            text.push(character);
        }
        text.extend(std::iter::repeat_n('.', left));
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_run_is_to_print() {
        let blast = Workload::parse("blast n=600000 s=1024 utf8=1").expect("it is right");
        assert_eq!((blast.chunks, blast.bytes, blast.chinese, blast.rate), (600_000, 1024, true, None));
        let pace = Workload::parse("pace us=5000 n=10").expect("it is right");
        assert!(pace.stamped && pace.rate == Some(200.0));
        assert_eq!(pace.due(3), Some(Duration::from_millis(15)));
        for wrong in ["n=x", "rate=0", "speed=3", "number=1 s=20", "s=99999999"] {
            assert!(Workload::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_chunk_has_the_size_that_was_asked_for() {
        for bytes in [1, 16, 22, 64, 65, 1024, 65_536] {
            for chinese in [false, true] {
                let workload = Workload { bytes, chinese, ..Workload::default() };
                assert_eq!(workload.text().len(), bytes);
                assert_eq!(workload.text().is_ascii(), !chinese || bytes < 4);
                let labelled = Workload { bytes: bytes + 21, numbered: true, ..workload };
                assert_eq!(labelled.text().len(), bytes + 21);
            }
        }
        assert_eq!(Workload { bytes: 128, ..Workload::default() }.text().matches('\n').count(), 2);
    }
}
