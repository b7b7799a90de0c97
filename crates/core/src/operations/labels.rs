//! `POST /sdk/SetLabel` and `GET /sdk/GetLabel`.

use serde_json::Value;

use crate::error::ApiError;
use crate::http::{Answered, Envelope, HttpRequest, HttpResponse, Method, Operation, Repeat};
use crate::json::{self, Object};

/// Gives a session these labels in place of those it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetLabels {
    /// Which.
    pub session_id: String,
    /// Of a name that comes twice the last one counts.
    pub labels: Vec<(String, String)>,
}

impl Operation for SetLabels {
    type Output = ();

    fn request(&self) -> HttpRequest {
        HttpRequest::new(Method::Post, "/sdk/SetLabel", Repeat::Safe)
            .query("sessionId", &self.session_id)
            .query("Labels", labels_text(&self.labels))
    }

    fn parse(&self, response: &HttpResponse) -> Result<Answered<Self::Output>, ApiError> {
        Ok(Envelope::open(response)?.answer(()))
    }
}

/// The labels of a session, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetLabels {
    /// Which.
    pub session_id: String,
}

impl Operation for GetLabels {
    type Output = Vec<(String, String)>;

    fn request(&self) -> HttpRequest {
        HttpRequest::new(Method::Get, "/sdk/GetLabel", Repeat::Safe).query("sessionId", &self.session_id)
    }

    fn parse(&self, response: &HttpResponse) -> Result<Answered<Self::Output>, ApiError> {
        let mut envelope = Envelope::open(response)?;
        let data = match json::unquote_object(envelope.data.take()) {
            Ok(data) => data,
            // A session without labels may have no data either.
            Err(Value::Null) => Object::new(),
            Err(_) => return Err(envelope.malformed("its data is not an object")),
        };
        match json::field(&data, &["labels"]).cloned().map(json::unquote) {
            Some(Value::Object(labels)) => Ok(envelope.answer(pairs(labels))),
            None => Ok(envelope.answer(Vec::new())),
            Some(Value::String(text)) if text.trim().is_empty() => Ok(envelope.answer(Vec::new())),
            Some(_) => Err(envelope.malformed("its labels are not an object")),
        }
    }
}

/// Labels as the service takes them: the text of a JSON object.
pub(super) fn labels_text(labels: &[(String, String)]) -> String {
    let object: Object = labels.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    Value::Object(object).to_string()
}

fn pairs(labels: Object) -> Vec<(String, String)> {
    labels.into_iter().map(|(name, value)| (name, json::plain(&value, ",").unwrap_or_default())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operations::fixtures::{endure, fine, line, read};

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn labels_go_as_text_in_the_query() {
        let set = SetLabels {
            session_id: String::from("s-1"),
            labels: vec![pair("b", "2"), pair("a", "ü"), pair("b", "3")],
        };
        let request = set.request();
        assert_eq!(
            line(&request),
            "POST https://h/sdk/SetLabel?sessionId=s-1&Labels=%7B%22a%22%3A%22%C3%BC%22%2C%22b%22%3A%223%22%7D"
        );
        assert_eq!(request.body, None);
        read(&set, json!(null));
        assert_eq!(labels_text(&[]), "{}");
        endure(&set);
    }

    #[test]
    fn labels_come_back_in_every_quoting() {
        let get = GetLabels { session_id: String::from("s-1") };
        assert_eq!(line(&get.request()), "GET https://h/sdk/GetLabel?sessionId=s-1");
        let labels = json!({"a": "1", "n": 2, "z": null});
        let expected = [pair("a", "1"), pair("n", "2"), pair("z", "")];
        for data in [
            json!({"labels": labels}),
            json!({"labels": labels.to_string()}),
            json!(json!({"labels": labels.to_string()}).to_string()),
        ] {
            assert_eq!(read(&get, data), expected);
        }
        for data in [json!(null), json!({}), json!({"labels": null}), json!({"labels": ""}), json!({"labels": "{}"})] {
            assert_eq!(read(&get, data), []);
        }
        for data in [json!({"labels": 1}), json!({"labels": "x"}), json!({"labels": []}), json!("x"), json!(1)] {
            assert_eq!(get.parse(&fine(data)).unwrap_err().code(), "MALFORMED");
        }
        endure(&get);
    }
}
