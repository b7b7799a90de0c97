//! What a session uses: the tool `get_metrics`.

use serde_json::Value;

use super::Toolbox;
use super::toolbox::text_of;
use crate::error::{ApiError, Malformed};
use crate::http::Answered;
use crate::json::{self, Object};
use crate::procedure::Single;

/// The public name of each number, and its names on the wire: the first that is found counts.
const NUMBERS: [(&str, &[&str]); 10] = [
    ("cpuCount", &["cpu_count"]),
    ("cpuUsedPct", &["cpu_used_pct"]),
    ("memTotal", &["mem_total"]),
    ("memUsed", &["mem_used"]),
    ("diskTotal", &["disk_total"]),
    ("diskUsed", &["disk_used"]),
    ("rxRateKbytePerS", &["rx_rate_kbyte_per_s", "rx_rate_kbps", "rx_rate_KBps"]),
    ("txRateKbytePerS", &["tx_rate_kbyte_per_s", "tx_rate_kbps", "tx_rate_KBps"]),
    ("rxUsedKbyte", &["rx_used_kbyte", "rx_used_kb", "rx_used_KB"]),
    ("txUsedKbyte", &["tx_used_kbyte", "tx_used_kb", "tx_used_KB"]),
];

/// What a session uses, as the service measured it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionMetrics {
    numbers: [f64; NUMBERS.len()],
    /// When it was measured, as the service writes it.
    pub timestamp: String,
    /// All that the service said.
    pub raw: Object,
}

impl SessionMetrics {
    /// Asks for it.
    #[must_use]
    pub fn of(toolbox: &Toolbox<'_>) -> Single<Self> {
        let call = toolbox.tool("get_metrics").call([]);
        Single::new(call, |answered| {
            let Answered { value: text, request_id } = text_of(answered)?;
            match json::parse(&text).map(json::unquote) {
                Some(Value::Object(raw)) => Ok(Answered { value: Self::read(raw), request_id }),
                _ => Err(ApiError::Malformed(Malformed {
                    status: 200,
                    problem: String::from("the tool get_metrics did not answer a JSON object"),
                    request_id,
                    ..Malformed::default()
                })),
            }
        })
    }

    /// A number by its public name, such as `memUsed`; 0 where the service does not say it.
    #[must_use]
    pub fn get(&self, name: &str) -> f64 {
        NUMBERS.iter().position(|(known, _)| *known == name).map_or(0.0, |at| self.numbers[at])
    }

    fn read(raw: Object) -> Self {
        let number = |names: &[&str]| match json::field(&raw, names) {
            Some(Value::String(text)) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
            Some(value) => value.as_f64(),
            None => None,
        };
        let numbers = NUMBERS.map(|(_, names)| number(names).unwrap_or(0.0));
        let timestamp = json::field(&raw, &["timestamp"]).and_then(|time| json::plain(time, ",")).unwrap_or_default();
        Self { numbers, timestamp, raw }
    }
}

impl From<SessionMetrics> for Value {
    fn from(metrics: SessionMetrics) -> Self {
        let named = NUMBERS.iter().zip(metrics.numbers).map(|((name, _), number)| ((*name).to_owned(), number.into()));
        let mut fields: Object = named.collect();
        fields.insert(String::from("timestamp"), metrics.timestamp.into());
        super::object([("metrics", Self::Object(fields)), ("raw", Self::Object(metrics.raw))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::played::{Played, by_gateway, tool, tool_error};

    #[test]
    fn numbers_have_several_names_and_are_0_where_they_are_missing() {
        let mut played = Played::new(SessionMetrics::of(&by_gateway().toolbox()));
        assert_eq!(played.tool(), ("get_metrics".to_owned(), Value::Object(Object::new())));
        let text = r#"{"cpu_count":2,"cpu_used_pct":"12.5","mem_used":true,"rx_rate_KBps":3,"tx_used_kb":4,"timestamp":"t","x":1}"#;
        let metrics = played.end(tool(text)).unwrap();
        let get = |name: &str| metrics.get(name);
        assert_eq!([get("cpuCount"), get("cpuUsedPct"), get("memUsed")], [2.0, 12.5, 0.0]);
        assert_eq!([get("rxRateKbytePerS"), get("txUsedKbyte"), get("nothing")], [3.0, 4.0, 0.0]);
        let value = Value::from(metrics);
        assert_eq!(value["raw"]["x"], 1);
        assert_eq!(
            (&value["metrics"]["timestamp"], value["metrics"].as_object().unwrap().len()),
            (&Value::from("t"), 11)
        );
    }

    #[test]
    fn what_is_no_object_is_a_failure() {
        for (reply, code) in [(tool("[]"), "MALFORMED"), (tool_error("Unknown tool"), "TOOL_FAILED")] {
            let mut played = Played::new(SessionMetrics::of(&by_gateway().toolbox()));
            played.call();
            assert_eq!(played.end(reply).unwrap_err().code(), code);
        }
    }
}
